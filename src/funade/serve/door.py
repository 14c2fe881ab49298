"""What all connections of one worker share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from funade.serve.journal import Journal
from funade.serve.limits import Limits
from funade.serve.reply import Replies
from funade.serve.route import Routes

if TYPE_CHECKING:
    from funade.serve.http import Connection


class Door:
    """The open connections of a worker, and what they answer from.

    ``now`` is the loop's time, at most about a second old; ``held`` counts bytes of half-received bodies.
    While ``handing``, connections leave at their next message boundary; while ``closing``, responses close them.

    Args:
        loop: the loop they live on.
        routes: paths to queues and pages.
        replies: writes responses.
        journal: the log.
        limits: bounds.
        hosts: the host names a request may name; None for any.
        hand: called with a connection's open file and the bytes read from it but not answered.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        routes: Routes,
        replies: Replies,
        journal: Journal,
        limits: Limits,
        *,
        hosts: frozenset[bytes] | None,
        hand: Callable[[int, bytes], None],
    ) -> None:
        self.loop = loop
        self.routes = routes
        self.replies = replies
        self.journal = journal
        self.limits = limits
        self.hosts = hosts
        self.hand = hand
        self.connections: set[Connection] = set()
        self._making: set[asyncio.Task[object]] = set()
        self.now = loop.time()
        self.held = 0
        self.handing = False
        self.closing = False

    def keep(self, making: asyncio.Task[object]) -> None:
        """Hold a connection that is being made; a client gone meanwhile is no error."""
        self._making.add(making)
        making.add_done_callback(self._made)

    def _made(self, making: asyncio.Task[object]) -> None:
        self._making.discard(making)
        if not making.cancelled() and (error := making.exception()) is not None:
            self.journal.event("connection lost", error=str(error))

    @property
    def empty(self) -> bool:
        """Whether no connection is left."""
        return not self.connections and not self._making

    def tick(self) -> None:
        """Once a second: the date, and clients that are too slow."""
        self.now = self.loop.time()
        self.replies.tick()
        for connection in list(self.connections):
            connection.sweep(self.now)

    def retire(self) -> None:
        """Hand every connection over, each at its next message boundary."""
        self.handing = True
        for connection in list(self.connections):
            connection.leave()

    def shut(self) -> None:
        """Close every connection, each when nothing is being answered or received."""
        self.closing = True
        self.handing = False
        for connection in list(self.connections):
            connection.shut()

    def cut(self) -> None:
        """Answer 503 to whatever is not answered yet, and close."""
        for connection in list(self.connections):
            connection.cut()
