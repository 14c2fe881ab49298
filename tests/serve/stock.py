"""Stock clients, run in the environment that is theirs alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_PYTHON = _HERE.parents[1] / ".venv-clients" / "bin" / "python"


def ask(script: str, *arguments: object, timeout: float = 120.0) -> str:
    """What a script beside this file prints, run by the clients' own Python; where that is absent the test is skipped.

    In CI it fails instead.
    """
    if not _PYTHON.exists():
        _absent("the stock clients are not installed; run: make .venv-clients/.ready")
    return _run(str(_PYTHON), script, arguments, timeout)


def node(script: str, *arguments: object, timeout: float = 60.0) -> str:
    """The same of a script for Node."""
    found = shutil.which("node")
    if found is None:
        _absent("node is not installed")
    return _run(str(found), script, arguments, timeout)


def _run(program: str, script: str, arguments: tuple[object, ...], timeout: float) -> str:
    command = [program, str(_HERE / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
    return done.stdout


def _absent(why: str) -> None:
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)


def free_port() -> int:
    """A port that nobody listens on just now."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
