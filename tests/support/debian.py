"""Servers of Debian's, installed when a test first needs one."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def installed(package: str, program: str) -> str:
    """The path of a program, whose package is installed if it may be; else the test is skipped, or fails in CI."""
    found = shutil.which(program)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # starts no service
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
            subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, timeout=300)
        found = shutil.which(program)
    if found is None:
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"{program} is not installed and could not be: apt-get install {package}")
    return found
