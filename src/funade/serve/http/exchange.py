"""One request over HTTP and the place of its response among its connection's responses."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from funade.serve.answer.api import Api
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.serve.http.response import CLOSE, error_json

if TYPE_CHECKING:
    from funade.serve.http.connection import Connection


class Exchange:
    """What a connection was asked, until it is answered.

    Args:
        connection: whom to answer.
        ending: the header that ends or keeps the connection, or none.
        head: whether only the head of the response is wanted.
    """

    __slots__ = ("api", "connection", "done", "ending", "head", "last", "response", "rows", "since", "single", "timer")
    door = "http"

    def __init__(self, connection: Connection, ending: bytes, *, head: bool = False) -> None:
        self.connection = connection
        self.ending = ending
        self.head = head
        self.last = ending is CLOSE  # nothing follows it
        self.api: Api
        self.rows: list[Any] = []
        self.single = False
        self.done = False
        self.timer: asyncio.TimerHandle | None = None
        self.since = time.monotonic()
        self.response = b""

    def write(self, answers: ApiAnswers, start: int, stop: int) -> bytes:
        """The rows as JSON."""
        return self.api.answers.written(answers.structs, start, stop, single=self.single)

    def answer(self, body: bytes, number: int, said: Notes = PLAIN) -> None:
        """Respond with predictions."""
        self._finish(self.connection.door.responses.answer(body, self._end(), number, said))

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Respond with an error; the connection goes on."""
        self.page(status, error_json(error, path))

    def page(self, status: int, body: bytes, extra: str = "", content: str = "application/json") -> None:
        """Respond with a page; ``extra`` are whole header lines."""
        responses = self.connection.door.responses
        self._finish(responses.page(body, self._end(), status=status, head=self.head, extra=extra, content=content))

    def headers(self, number: int, said: Notes) -> str:
        """The header lines that an answer written as a page bears."""
        return self.connection.door.responses.headers(number, said)

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
