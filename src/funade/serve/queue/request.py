"""A claimed request in the queue of its api."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from funade.queue.records import Claim, Failure, Result
from funade.serve.answer.api import Api
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes

if TYPE_CHECKING:
    from funade.serve.answer.runtime import Runtime

Settle = Callable[["QueueExchange", Result | Failure], None]

_NO_ANSWER = {"error": "api `{}` failed to answer", "busy": "the server was busy", "late": "the server was late"}


class QueueExchange:
    """One claimed request; an ``ask.Ask``.

    The fallback is no answer where the function failed or had no time: the request is tried again. It is one where it
    stands for a value that the api's guards or its contract keep back, since that is how the function answered.

    Args:
        desk: the worker's.
        api: the api.
        claimed: the request as the queue has it.
        rows: its rows.
        single: whether it was one object.
        settle: told what became of it, once.
    """

    __slots__ = ("_claimed", "_runtime", "_settle", "api", "done", "rows", "since", "single", "timer")
    door = "queue"

    def __init__(
        self, runtime: Runtime, api: Api, claimed: Claim, rows: list[Any], single: bool, settle: Settle
    ) -> None:
        self._runtime = runtime
        self.api = api
        self._claimed = claimed
        self.rows = rows
        self.single = single
        self._settle = settle
        self.done = False
        self.timer: asyncio.TimerHandle | None = None
        self.since = time.monotonic()

    @property
    def id(self) -> str:
        """The request's."""
        return self._claimed.id

    def write(self, answers: ApiAnswers, start: int, stop: int) -> bytes:
        """The rows as JSON."""
        return self.api.answers.written(answers.structs, start, stop, single=self.single)

    def answer(self, body: bytes, number: int, said: Notes = PLAIN) -> None:
        """Keep the answer, unless it is none."""
        reasons = {text.partition(";")[0]: text for text in said.fallback.split(", ")} if said.fallback else {}
        for reason, what in _NO_ANSWER.items():
            if reason in reasons:
                where = reasons[reason].partition(";")[2].strip()
                text = what.format(self.api.name) + (f" ({where})" if where else "")
                self._end(self._failed(text, counted=reason == "error"))
                return
        id, prediction = self._claimed.id, f"{self._runtime.mark}-{number:x}"
        self._end(Result(id, body, prediction, self._runtime.loaded.release, *said))

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Have it tried again."""
        text = f"{error} - at {path}" if path else error
        self._end(self._failed(text.removesuffix("; see the server's log"), counted=status not in (503, 504)))

    def give_back(self, why: str) -> None:
        """Nobody will answer it here."""
        if not self.done:
            self._end(self._failed(why, counted=False))

    def _failed(self, error: str, *, counted: bool) -> Failure:
        return Failure(self._claimed.id, self._claimed.attempt, error, counted=counted)

    def _end(self, outcome: Result | Failure) -> None:
        self.done = True
        if self.timer is not None:
            self.timer.cancel()
        self._settle(self, outcome)
