"""Stock clients, run in the environment that is theirs alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.repository import REPOSITORY

_SCRIPTS = Path(__file__).parent / "scripts"
PYTHON = REPOSITORY / ".venv-clients" / "bin" / "python"


def ask(script: str, *arguments: object, timeout: float = 120.0) -> str:
    """What a script of the folder `scripts` prints, run by the clients' own Python.

    Where that is absent the test is skipped; in CI it fails.
    """
    if not PYTHON.exists():
        absent("the stock clients are not installed; run: make .venv-clients/.ready")
    return _run(str(PYTHON), script, arguments, timeout)


def node(script: str, *arguments: object, timeout: float = 120.0) -> str:
    """The same of a script for Node."""
    found = shutil.which("node")
    if found is None:
        absent("node is not installed")
    return _run(str(found), script, arguments, timeout)


def _run(program: str, script: str, arguments: tuple[object, ...], timeout: float) -> str:
    command = [program, str(_SCRIPTS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
    return done.stdout


def absent(why: str) -> None:
    """Skip the test for what is not on this machine; in CI it fails."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


def script(name: str) -> Path:
    """A program for subprocesses."""
    return _SCRIPTS / name


def free_port() -> int:
    """A port that nobody listens on just now."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
