"""The supervisor's listening socket in the place of one that a gRPC library opened for itself.

A library can only open its own port, and what waits in the backlog of a port that closes is lost. So it opens one that
nobody knows, and the shared socket is put in its place: same file number, same entry in the library's epoll.
Connections then wait in one backlog that outlives every worker, as they do for HTTP.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from funade.errors import ServeError

_FILES = Path("/proc/self/fd")
_FACTS = Path("/proc/self/fdinfo")
_WATCHED = re.compile(r"^tfd:\s+(\d+) events:\s+([0-9a-f]+) data:\s+([0-9a-f]+)", re.MULTILINE)
_ADD, _REMOVE = 1, 2


class Lent:
    """A shared listening socket, lent to a library.

    Args:
        shared: the listening socket that the supervisor opened.
        opens: makes the library listen on a port of its own.

    Raises:
        ServeError: the library opened no socket that could be replaced, or this is not Linux.
    """

    def __init__(self, shared: socket.socket, opens: Callable[[], object]) -> None:
        before = set(_listening())
        opens()
        made = set(_listening()) - before
        if len(made) != 1 or not _FACTS.exists():
            raise ServeError(
                f"gRPC library expected to open one socket on Linux, got {len(made)}", do="set grpc_port = 0"
            )
        self._file = made.pop()
        self._spare = socket.create_server(("127.0.0.1", 0))  # what the library closes in the end
        self._spare.setblocking(False)
        self._watched = list(_watching(self._file))
        shared.setblocking(False)
        os.dup2(shared.fileno(), self._file, inheritable=False)
        for queue, events, data in self._watched:
            _control(queue, _ADD, self._file, events, data)
        self.lent = True

    def take_back(self) -> None:
        """The library accepts no more; what waits in the backlog is left to others. May be called often."""
        if not self.lent:
            return
        self.lent = False
        for queue, _, _ in self._watched:
            with contextlib.suppress(OSError):
                _control(queue, _REMOVE, self._file, 0, 0)
        # A library may shut the socket down, not only close it: that would end it for every process.
        os.dup2(self._spare.fileno(), self._file, inheritable=False)
        self._spare.close()


def _listening() -> Iterator[int]:
    """The file numbers of this process's listening sockets."""
    for file, what in _links():
        if what.startswith("socket:"):
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(file)) as sock:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    yield file


def _watching(file: int) -> Iterator[tuple[int, int, int]]:
    """Which epolls watch a file: their file number, the events, and what they say when there is one."""
    for queue, what in _links():
        if what == "anon_inode:[eventpoll]":
            with contextlib.suppress(OSError):
                for number, events, data in _WATCHED.findall((_FACTS / str(queue)).read_text()):
                    if int(number) == file:
                        yield queue, int(events, 16), int(data, 16)


def _links() -> list[tuple[int, str]]:
    found = []
    for path in _FILES.iterdir() if _FILES.exists() else ():
        with contextlib.suppress(OSError):
            found.append((int(path.name), str(path.readlink())))
    return found


class _Event(ctypes.Structure):
    # x86-64 alone packs it.
    _pack_ = 1 if os.uname().machine in ("x86_64", "amd64", "i386", "i686") else 8
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


def _control(queue: int, what: int, file: int, events: int, data: int) -> None:
    """``epoll_ctl`` with the data that Python's own keeps to itself."""
    library = ctypes.CDLL(None, use_errno=True)
    event = _Event(events & ~select.EPOLLHUP & ~select.EPOLLERR, data)
    if library.epoll_ctl(queue, what, file, ctypes.byref(event)) != 0:
        number = ctypes.get_errno()
        if number != errno.EEXIST:  # two numbers of one epoll
            raise OSError(number, os.strerror(number))
