"""One request over HTTP and the place of its response among its connection's responses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from funade.bind.api import BoundApi
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.serve.http.response import CLOSE, Responses, error_json


class Exchange:
    """What a client asked, until it is answered; ``response`` is b"" until then, ``last`` says that nothing follows it.

    ``flush`` sends the responses of the connection whose turn has come. ``ending`` is the header that ends or keeps the
    connection, or none; with ``head``, only the head of the response is wanted.
    """

    __slots__ = (
        "_flush", "_head", "_responses", "api", "done", "ending", "last", "response", "rows", "since", "single",
        "timer", "within_s",
    )  # fmt: skip
    door = "http"

    def __init__(
        self,
        responses: Responses,
        flush: Callable[[], None],
        ending: bytes,
        within_s: float | None = None,
        *,
        head: bool = False,
    ) -> None:
        self._responses = responses
        self._flush = flush
        self._head = head
        self.ending = ending
        self.last = ending is CLOSE
        self.within_s = within_s
        self.api: BoundApi
        self.rows: list[Any] = []
        self.single = False
        self.done = False
        self.timer: asyncio.TimerHandle | None = None
        self.since = time.monotonic()
        self.response = b""

    def read(self, api: BoundApi, message: bytes) -> None:
        """The rows of a JSON body."""
        self.api = api
        self.rows, self.single = api.decode(message)

    def write(self, answers: ApiAnswers, start: int, stop: int) -> bytes:
        """The rows as JSON."""
        return self.api.answers.written(answers.structs, start, stop, single=self.single)

    def answer(self, body: bytes, number: int, notes: Notes = PLAIN) -> None:
        """Respond with predictions."""
        self._finish(self._responses.answer(body, self._end(), number, notes))

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Respond with an error; the connection goes on."""
        self.page(status, error_json(error, path))

    def page(self, status: int, body: bytes, extra: str = "", content: str = "application/json") -> None:
        """Respond with a page; ``extra`` are whole header lines."""
        end = self._end()
        self._finish(self._responses.page(body, end, status=status, head=self._head, extra=extra, content=content))

    def headers(self, number: int, notes: Notes) -> str:
        """The header lines that an answer written as a page bears."""
        return self._responses.headers(number, notes)

    def _end(self) -> bytes:
        if self._responses.closing:
            self.last = True
        return CLOSE if self.last else self.ending

    def _finish(self, response: bytes) -> None:
        self.done = True
        if self.timer is not None:
            self.timer.cancel()
        self.response = response
        self._flush()
