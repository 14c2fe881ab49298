"""The HTTP door: the listening socket and its open connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from funade.serve.http.connection import Connection
from funade.serve.http.shared import HttpShared
from funade.serve.listener import Listener


class HttpDoor:
    """A ``door.Door``: the open connections of a worker, ``most`` at once.

    A retired worker hands its connections over, but closes those that are encrypted: what encrypts them cannot be
    handed over.
    """

    def __init__(self, shared: HttpShared, sock: socket.socket, *, most: int) -> None:
        self._shared = shared
        self._opened: set[Connection] = set()
        self._making: set[asyncio.Task[object]] = set()
        self._listener = Listener(sock, shared.loop, self.adopt, most)

    def start(self) -> None:
        """Accept from now on."""
        self._listener.start()

    def adopt(self, sock: socket.socket, unread: bytes = b"") -> None:
        """Serve an accepted connection; ``unread`` was read from it before."""
        sock.setblocking(False)
        shared, opened = self._shared, self._opened
        making = shared.loop.create_task(self._connect(lambda: Connection(shared, opened, unread), sock))
        self._making.add(making)
        making.add_done_callback(self._made)

    async def _connect(self, made: Callable[[], Connection], sock: socket.socket) -> object:
        shared, limits = self._shared, self._shared.limits
        if shared.tls is None:
            return await shared.loop.connect_accepted_socket(made, sock)
        times = {"ssl_handshake_timeout": limits.head_s, "ssl_shutdown_timeout": limits.linger_s}
        return await shared.loop.connect_accepted_socket(made, sock, ssl=shared.tls.context, **times)

    def _made(self, making: asyncio.Task[object]) -> None:
        self._making.discard(making)
        if not making.cancelled() and (error := making.exception()) is not None:
            events = self._shared.runtime.recorder.events
            events.event("connection lost", error=str(error))  # a client gone meanwhile is no error

    @property
    def empty(self) -> bool:
        """Whether no connection is left."""
        return not self._opened and not self._making

    def tick(self) -> None:
        """Once a second: the date, and clients that are too slow."""
        shared = self._shared
        shared.now = shared.loop.time()
        shared.responses.tick()
        if shared.runtime.tokens.tick():
            shared.heads.forget()
        if shared.tls is not None:
            shared.tls.tick()
        self._listener.tick(len(self._opened) + len(self._making))
        for connection in list(self._opened):
            connection.sweep(shared.now)

    def retire(self) -> None:
        """Accept no more; hand every connection over, each at its next message boundary."""
        shared = self._shared
        if shared.tls is not None:
            self.shut()
            return
        self._listener.stop()
        shared.handing = not shared.responses.closing
        for connection in list(self._opened):
            connection.leave()

    def shut(self) -> None:
        """Accept no more; close every connection, each when nothing is being answered or received."""
        shared = self._shared
        self._listener.stop()
        shared.responses.closing = True
        shared.handing = False
        for connection in list(self._opened):
            connection.shut()

    def cut(self) -> None:
        """Answer 503 to whatever is not answered yet, and close."""
        for connection in list(self._opened):
            connection.cut()
