"""Which process a claim is of, and whether that process is gone."""

from __future__ import annotations

import os
from pathlib import Path


def own(proc: Path = Path("/proc")) -> str:
    """This process's name: its namespace, number and the moment it began, in ticks since the machine did."""
    return f"{_namespace(proc)}.{os.getpid()}.{_began(proc, os.getpid())}"


def gone(name: str, proc: Path = Path("/proc")) -> bool:
    """Whether the process of that name is seen to have ended.

    False where it cannot be seen: in another container, or on a system without ``/proc``. There leases say.
    """
    namespace, pid, began = name.split(".")
    if not namespace or namespace != _namespace(proc):
        return False
    return _began(proc, int(pid)) != began


def _namespace(proc: Path) -> str:
    try:
        return (proc / "self/ns/pid").readlink().name.strip("pid:[]")
    except OSError:
        return ""


def _began(proc: Path, pid: int) -> str:
    """When the process began; "" where it has ended."""
    try:
        state, *rest = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else rest[18]
