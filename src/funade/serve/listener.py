"""Accepting connections on the inherited socket, a few a turn so that workers share them evenly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_A_TURN = 4


class Listener:
    """The worker's share of the listening socket.

    Args:
        sock: the listening socket, also open in the supervisor and the other workers.
        loop: the event loop.
        accepted: called with each new connection.
        most: connections open at once; beyond, new ones wait in the socket's backlog.
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
