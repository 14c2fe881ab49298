"""Waiting for a state."""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(found: Callable[[], T | None], seconds: float = 120.0) -> T:
    """What ``found`` returns once it is true."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


def unread(sock: socket.socket) -> int:
    """Bytes that have come and are not read yet."""
    size = fcntl.ioctl(sock, termios.FIONREAD, bytes(4))
    return int.from_bytes(size, sys.byteorder)
