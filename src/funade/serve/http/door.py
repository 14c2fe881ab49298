"""The HTTP door: the listening socket, its open connections, and what they answer from."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from funade.serve.answer.runtime import Runtime
from funade.serve.http.connection import Connection
from funade.serve.http.head import HeadCache
from funade.serve.http.response import Responses
from funade.serve.http.routes import Routes
from funade.serve.listener import Listener
from funade.serve.tls import Tls


class HttpDoor:
    """The open connections of a worker.

    ``now`` is the loop's time, at most about a second old; ``held`` counts bytes of half-received bodies.
    While ``handing``, connections leave at their next message boundary; while ``closing``, responses close them: so do
    a retired worker's where they are encrypted, since what encrypts them cannot be handed over.

    Args:
        desk: the worker's.
        routes: paths to queues and pages.
        sock: the listening socket.
        most: connections open at once.
        hosts: the host names a request may name; None for any.
        hand: called with a connection's open file and the bytes read from it but not answered.
        tls: what connections are encrypted with; None where they are not.
    """

    def __init__(
        self,
        runtime: Runtime,
        routes: Routes,
        sock: socket.socket,
        *,
        most: int,
        hosts: frozenset[bytes] | None,
        hand: Callable[[int, bytes], None],
        tls: Tls | None = None,
    ) -> None:
        self.runtime = runtime
        self.loop = runtime.loop
        self.routes = routes
        self.responses = Responses(runtime.loaded.release, runtime.mark)
        self.events = runtime.events
        self.limits = runtime.limits
        self.heads = HeadCache()
        self.hosts = hosts
        self.hand = hand
        self.tls = tls
        self.connections: set[Connection] = set()
        self._making: set[asyncio.Task[object]] = set()
        self._listener = Listener(sock, runtime.loop, self.adopt, most)
        self.now = runtime.loop.time()
        self.held = 0
        self.handing = False
        self.closing = False

    def start(self) -> None:
        """Accept from now on."""
        self._listener.start()

    def adopt(self, sock: socket.socket, unread: bytes = b"") -> None:
        """Serve an accepted connection; ``unread`` was read from it before."""
        sock.setblocking(False)
        making = self.loop.create_task(self._connect(lambda: Connection(self, unread), sock))
        self._making.add(making)
        making.add_done_callback(self._made)

    async def _connect(self, made: Callable[[], Connection], sock: socket.socket) -> object:
        connect, limits = self.loop.connect_accepted_socket, self.limits
        if self.tls is None:
            return await connect(made, sock)
        times = {"ssl_handshake_timeout": limits.head_s, "ssl_shutdown_timeout": limits.linger_s}
        return await connect(made, sock, ssl=self.tls.context, **times)

    def _made(self, making: asyncio.Task[object]) -> None:
        self._making.discard(making)
        if not making.cancelled() and (error := making.exception()) is not None:
            self.events.event("connection lost", error=str(error))  # a client gone meanwhile is no error

    @property
    def empty(self) -> bool:
        """Whether no connection is left."""
        return not self.connections and not self._making

    def tick(self) -> None:
        """Once a second: the date, and clients that are too slow."""
        self.now = self.loop.time()
        self.responses.tick()
        if self.runtime.tokens.tick():
            self.heads.forget()
        if self.tls is not None:
            self.tls.tick()
        self._listener.tick(len(self.connections) + len(self._making))
        for connection in list(self.connections):
            connection.sweep(self.now)

    def retire(self) -> None:
        """Accept no more; hand every connection over, each at its next message boundary."""
        if self.tls is not None:
            self.shut()
            return
        self._listener.stop()
        self.handing = not self.closing
        for connection in list(self.connections):
            connection.leave()

    def shut(self) -> None:
        """Accept no more; close every connection, each when nothing is being answered or received."""
        self._listener.stop()
        self.closing = True
        self.handing = False
        for connection in list(self.connections):
            connection.shut()

    def cut(self) -> None:
        """Answer 503 to whatever is not answered yet, and close."""
        for connection in list(self.connections):
            connection.cut()
