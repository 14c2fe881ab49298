"""One request and the place of its response among its connection's responses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from funade.serve.reply import CLOSE, error_json

if TYPE_CHECKING:
    from funade.serve.http import Connection


class Exchange:
    """What a connection was asked, until it is answered.

    Args:
        connection: whom to answer.
        ending: the header that ends or keeps the connection, or none.
    """

    __slots__ = ("connection", "done", "ending", "last", "response", "rows", "single", "timer")

    def __init__(self, connection: Connection, ending: bytes) -> None:
        self.connection = connection
        self.ending = ending
        self.last = ending is CLOSE  # nothing follows it
        self.rows: list[Any] = []
        self.single = False
        self.done = False
        self.timer: asyncio.TimerHandle | None = None
        self.response = b""

    def answer(self, body: bytes, fallback: str = "") -> None:
        """Respond with predictions."""
        self._finish(self.connection.door.replies.answer(body, self._end(), fallback))

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Respond with an error; the connection goes on."""
        self._finish(self.connection.door.replies.page(error_json(error, path), self._end(), status=status))

    def page(self, status: int, body: bytes, extra: str = "", *, head: bool = False) -> None:
        """Respond with a page."""
        reply = self.connection.door.replies.page(body, self._end(), status=status, head=head, extra=extra)
        self._finish(reply)

    def _end(self) -> bytes:
        if self.connection.door.closing:
            self.last = True
        return CLOSE if self.last else self.ending

    def _finish(self, response: bytes) -> None:
        self.done = True
        if self.timer is not None:
            self.timer.cancel()
        self.response = response
        self.connection.flush()
