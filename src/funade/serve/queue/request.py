"""A claimed request in the queue of its api."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from funade.bind.api import BoundApi
from funade.serve.answer.recorder import Recorder
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.store.queue_records import Claim, Failure, Result

Settle = Callable[["QueueExchange", Result | Failure], None]

_NO_ANSWER = {"error": "api `{}` failed to answer", "busy": "the server was busy", "late": "the server was late"}


class QueueExchange:
    """One claimed request.

    The fallback is no answer where the function failed or had no time: the request is tried again. It is one where it
    stands for a value that the api's guards or its contract keep back, since that is how the function answered.

    ``settle`` is told what became of it, once.
    """

    __slots__ = (
        "_api", "_recorder", "_release", "_settle", "claim", "done", "rows", "since", "single", "timer", "within_s",
    )  # fmt: skip
    door = "queue"

    def __init__(self, claim: Claim, release: int, recorder: Recorder, settle: Settle) -> None:
        self.claim = claim
        self._release = release
        self._recorder = recorder
        self._settle = settle
        self._api: BoundApi
        self.rows: list[Any] = []
        self.single = False
        self.within_s: float | None = None
        self.done = False
        self.timer: asyncio.TimerHandle | None = None
        self.since = time.monotonic()

    def read(self, api: BoundApi, message: bytes) -> None:
        """The rows of a JSON body, under the contract of this release."""
        self._api = api
        self.rows, self.single = api.decode(message)

    def write(self, answers: ApiAnswers, start: int, stop: int) -> bytes:
        """The rows as JSON."""
        return self._api.answers.written(answers.structs, start, stop, single=self.single)

    def answer(self, body: bytes, number: int, notes: Notes = PLAIN) -> None:
        """Keep the answer, unless it is none."""
        reasons = {text.partition(";")[0]: text for text in notes.fallback.split(", ")} if notes.fallback else {}
        for reason, what in _NO_ANSWER.items():
            if reason in reasons:
                where = reasons[reason].partition(";")[2].strip()
                text = what.format(self.claim.api) + (f" ({where})" if where else "")
                self._fail(text, counted=reason == "error")
                return
        self._end(Result(self.claim.id, body, self._recorder.prediction(number), self._release, *notes))

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Have it tried again, but not what breaks the contract."""
        text = (f"{error} - at {path}" if path else error).removesuffix("; see the server's log")
        if status == 422:
            self._fail(f"release {self._release}: {text}", again=False)
        else:
            self._fail(text, counted=status not in (503, 504))

    def give_back(self, why: str) -> None:
        """Nobody will answer it here."""
        if not self.done:
            self._fail(why, counted=False)

    def _fail(self, error: str, *, again: bool = True, counted: bool = True) -> None:
        self._end(Failure(self.claim.id, self.claim.attempt, error, again=again, counted=counted))

    def _end(self, outcome: Result | Failure) -> None:
        self.done = True
        if self.timer is not None:
            self.timer.cancel()
        self._settle(self, outcome)
