"""How much one client and one worker may ask for."""

from __future__ import annotations

import contextlib
import resource

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one worker; times in seconds.

    At most ``waiting_rows`` wait for one api, beyond what is being answered; ``batch_rows`` are answered by one call
    unless a single request brings more; a call longer than ``call_s`` ends the worker; ``held_bytes`` of what is not
    begun, half-received bodies above all, are kept for all clients together.
    """

    head_bytes: int = 32 * 1024
    headers: int = 100
    body_bytes: int = 4 * 1024 * 1024
    held_bytes: int = 256 * 1024 * 1024
    pipelined: int = 64
    connections: int = 10_000
    waiting_rows: int = 65_536
    batch_rows: int = 1024
    head_s: float = 10.0
    body_s: float = 30.0
    idle_s: float = 75.0
    write_s: float = 30.0
    linger_s: float = 2.0
    call_s: float = 120.0


def more_files() -> int:
    """Let this process open as many files as the system allows it; returns that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # some systems name a bound they do not allow
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
