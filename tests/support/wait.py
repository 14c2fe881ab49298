"""Waiting for a state."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
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


def two_more(counts: Callable[[], Sequence[int]]) -> None:
    """Wait until each client has had two more answers: one that was on its way, and one that it asked for since."""
    before = counts()
    until(lambda: all(now >= then + 2 for now, then in zip(counts(), before, strict=True)))


@contextmanager
def read_for_ever(fifo: Path) -> Iterator[None]:
    """The block that begins once somebody reads a pipe of that name; nothing comes by it until the block ends."""

    def opened() -> int | None:
        with suppress(OSError):  # nobody reads it yet
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        return None

    file = until(opened)
    yield
    os.close(file)


def unread(sock: socket.socket) -> int:
    """Bytes that have come and are not read yet."""
    size = fcntl.ioctl(sock, termios.FIONREAD, bytes(4))
    return int.from_bytes(size, sys.byteorder)


def backlog(port: int) -> int:
    """Connections at a listening port of this machine that nobody has accepted yet."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].partition(":")[2], 16) for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A")
