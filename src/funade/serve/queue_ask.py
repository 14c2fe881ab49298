"""A claimed request in the queue of its api."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from funade.serve.ask import PLAIN, Answered, Said
from funade.store.queue_records import Claimed, Failed, Finished

if TYPE_CHECKING:
    from funade.serve.desk import Desk
    from funade.serve.served import Api

Settle = Callable[["QueuedAsk", Finished | Failed], None]

_NO_ANSWER = {"error": "api `{}` failed to answer", "busy": "the server was busy", "late": "the server was late"}


class QueuedAsk:
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

    __slots__ = ("_claimed", "_desk", "_settle", "api", "done", "rows", "since", "single", "timer")
    door = "queue"

    def __init__(self, desk: Desk, api: Api, claimed: Claimed, rows: list[Any], single: bool, settle: Settle) -> None:
        self._desk = desk
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

    def write(self, answers: Answered, start: int, stop: int) -> bytes:
        """The rows as JSON."""
        return self.api.answers.written(answers.structs, start, stop, single=self.single)

    def answer(self, body: bytes, number: int, said: Said = PLAIN) -> None:
        """Keep the answer, unless it is none."""
        reasons = {text.partition(";")[0]: text for text in said.fallback.split(", ")} if said.fallback else {}
        for reason, what in _NO_ANSWER.items():
            if reason in reasons:
                where = reasons[reason].partition(";")[2].strip()
                text = what.format(self.api.name) + (f" ({where})" if where else "")
                self._end(self._failed(text, counted=reason == "error"))
                return
        id, prediction = self._claimed.id, f"{self._desk.mark}-{number:x}"
        self._end(Finished(id, body, prediction, self._desk.loaded.release, *said))

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Have it tried again."""
        text = f"{error} - at {path}" if path else error
        self._end(self._failed(text.removesuffix("; see the server's log"), counted=status not in (503, 504)))

    def give_back(self, why: str) -> None:
        """Nobody will answer it here."""
        if not self.done:
            self._end(self._failed(why, counted=False))

    def _failed(self, error: str, *, counted: bool) -> Failed:
        return Failed(self._claimed.id, self._claimed.attempt, error, counted=counted)

    def _end(self, outcome: Finished | Failed) -> None:
        self.done = True
        if self.timer is not None:
            self.timer.cancel()
        self._settle(self, outcome)
