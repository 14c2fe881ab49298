"""The listening socket: bound once by the supervisor, accepted from by every worker a few connections a turn."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from funade.errors import ServeError

_A_TURN = 4
_BACKLOG = 4096
_TRIES = 10


class Listener:
    """The worker's share of the listening socket, which is open in the supervisor and the other workers too.

    ``accepted`` is called with each new connection. With ``most`` open at once, new ones wait in the socket's backlog.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        accepted: Callable[[socket.socket], None],
        most: int,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._accepted = accepted
        self._most = most
        self._wanted = False
        self._reading = False

    def start(self) -> None:
        """Accept from now on."""
        self._wanted = True
        self._resume()

    def stop(self) -> None:
        """Accept no more; what waits in the backlog is left to others."""
        self._wanted = False
        self._pause()
        self._sock.close()  # the supervisor's own stays open; were it dead, the port would now be free

    def tick(self, open_now: int) -> None:
        """Called once a second: pause above the bound, go on below it and after the system was out of files."""
        if open_now >= self._most:
            self._pause()
        elif self._wanted:
            self._resume()

    def _resume(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._accept)

    def _pause(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())

    def _accept(self) -> None:
        for _ in range(_A_TURN):
            if not self._reading:
                return
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # out of files or memory: try again at the next tick
                self._pause()
                return
            self._accepted(sock)


async def listening(host: str, port: int, option: str = "--port") -> socket.socket:
    """The listening socket; a port that workers of a dead supervisor still hold is waited for, a second at most.

    Raises:
        ServeError: the port is taken or the address is not this machine's.
    """
    for tried in range(_TRIES):
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
            sock.listen(_BACKLOG)
            sock.setblocking(False)
            return sock
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRINUSE or tried == _TRIES - 1:
                what = f"server expected to listen on {host}:{port}, got: {error.strerror}"
                raise ServeError(what, do=f"choose another: {option}") from None
        await asyncio.sleep(0.1)
    raise AssertionError("unreachable")
