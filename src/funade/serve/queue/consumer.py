"""Claimed requests on their way through a worker: claimed while nobody else asks, fed to their apis, settled."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from funade.errors import ContractViolation
from funade.queue.queue import Queue
from funade.queue.records import Claim, Failure, Result
from funade.serve.queue.background import BackgroundThread
from funade.serve.queue.request import QueueExchange

if TYPE_CHECKING:
    from funade.serve.answer.runtime import Runtime

_FIRST_ROWS = 50
_MOST_ROWS = 512
_CROWDED_ROWS = 8
_CROWDED_S = 1.0
_QUICK_S = 0.025
_SLOW_S = 0.1
_AGAIN_S = 1.0


class Consumer:
    """What a worker has claimed; every method on the loop's thread.

    As many rows are claimed at once as are answered in about 25 to 100 ms. While others wait for an answer, a few rows
    a second are claimed, so that the queue still moves.

    Args:
        desk: the worker's.
        queue: the queue.
        writer: writes to it.
        done: told which requests were answered, once that is on disk.
    """

    def __init__(
        self, runtime: Runtime, queue: Queue, writer: BackgroundThread, done: Callable[[Sequence[str]], None]
    ) -> None:
        self._runtime = runtime
        self._queue = queue
        self._writer = writer
        self._done = done
        self._rows = _FIRST_ROWS
        self._held: deque[QueueExchange] = deque()
        self._fed: set[QueueExchange] = set()
        self._outcomes: list[Result | Failure] = []
        self._writing = 0
        self._claiming = False
        self._full = False
        self._last = 0.0
        self._renewed = 0.0
        self._began = 0.0
        self.on = False

    @property
    def empty(self) -> bool:
        """Whether nothing is claimed and everything is settled."""
        return not (self._claiming or self._held or self._fed or self._outcomes or self._writing)

    def look(self) -> None:
        """Claim what is due, unless something is claimed already or others are to go first."""
        if not self.on or self._claiming or self._held or self._fed:
            return
        now = time.monotonic()
        rows = self._rows
        if any(batcher.waiting_rows for batcher in self._runtime.queues.values()):
            if now - self._last < _CROWDED_S:
                return
            rows = min(rows, _CROWDED_ROWS)
        self._claiming, self._last = True, now
        self._writer.ask(self._claim, rows, self._claimed)

    def feed(self) -> None:
        """Give claimed requests to their apis as far as there is room."""
        while self._held:
            ask = self._held[0]
            batcher = self._runtime.queues[ask.api.name]
            if batcher.waiting_rows and len(ask.rows) > batcher.spare_rows:
                return
            self._fed.add(self._held.popleft())
            batcher.add(ask)

    def tick(self) -> None:
        """Renew what is held."""
        now = time.monotonic()
        if (self._held or self._fed) and now - self._renewed > self._queue.rules.lease_s / 4:
            self._renewed = now
            self._writer.ask(self._renew, [ask.id for ask in (*self._held, *self._fed)], self._told)
        self.feed()

    def stop(self) -> None:
        """Claim no more; what no api was given goes back."""
        self.on = False
        for ask in list(self._held):
            ask.give_back("the worker ended before it began")

    def cut(self) -> None:
        """What is not answered goes back."""
        self.stop()
        for ask in list(self._fed):
            ask.give_back("the worker ended before it answered")

    # -- claiming

    def _claim(self, rows: list[int]) -> list[list[Claim]]:
        return [self._queue.claim(rows[0])]

    def _claimed(self, found: Sequence[Claim] | Exception) -> None:
        self._claiming = False
        if isinstance(found, Exception):
            self._failed(found)
            return
        self._renewed = self._began = time.monotonic()
        self._full = sum(claimed.rows for claimed in found) >= self._rows
        for claimed in found:
            ask = self._ask(claimed)
            if ask is not None:
                self._held.append(ask)
        if not self.on:
            self.stop()
        self.feed()

    def _ask(self, claimed: Claim) -> QueueExchange | None:
        """The request, read under the contract of this release; None where it breaks it."""
        batcher = self._runtime.queues.get(claimed.api)
        if batcher is None:
            release = self._runtime.loaded.release
            self._refuse(claimed, f"release {release} has no api `{claimed.api}`")
            return None
        try:
            rows, single = batcher.api.decode(claimed.body)
        except ContractViolation as error:
            self._refuse(claimed, f"release {self._runtime.loaded.release}: {error}")
            return None
        return QueueExchange(self._runtime, batcher.api, claimed, rows, single, self._settle)

    def _refuse(self, claimed: Claim, error: str) -> None:
        self._note(Failure(claimed.id, claimed.attempt, error, again=False))

    # -- settling

    def _settle(self, ask: QueueExchange, outcome: Result | Failure) -> None:
        if ask in self._fed:
            self._fed.discard(ask)
        else:
            self._held.remove(ask)
        self._note(outcome)
        if not self._fed and not self._held:
            self._learn(time.monotonic() - self._began)

    def _note(self, outcome: Result | Failure) -> None:
        if not self._outcomes:
            self._runtime.loop.call_soon(self._flush)
        self._outcomes.append(outcome)

    def _flush(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        if not outcomes:
            return
        self._writing += 1
        self._writer.ask(self._write, outcomes, lambda failed: self._written(outcomes, failed))
        self.feed()
        self.look()

    def _write(self, outcomes: list[list[Result | Failure]]) -> list[None]:
        self._queue.settle([one for many in outcomes for one in many])
        return [None] * len(outcomes)

    def _written(self, outcomes: list[Result | Failure], failed: Exception | None) -> None:
        self._writing -= 1
        if failed is not None:  # a full disk, say: what was answered is not forgotten
            self._failed(failed)
            self._writing += 1
            self._runtime.loop.call_later(_AGAIN_S, self._again, outcomes)
            return
        self._done([one.id for one in outcomes if isinstance(one, Result)])
        tries = self._queue.rules.tries
        for one in outcomes:
            if isinstance(one, Failure) and one.counted and (one.attempt >= tries or not one.again):
                self._runtime.events.event("dead letter", request=one.id, attempts=one.attempt, error=one.error)

    def _again(self, outcomes: list[Result | Failure]) -> None:
        self._writer.ask(self._write, outcomes, lambda failed: self._written(outcomes, failed))

    def _learn(self, took_s: float) -> None:
        """Claim more at once while that is quick."""
        if took_s > _SLOW_S:
            self._rows = max(self._rows // 2, 1)
        elif took_s < _QUICK_S and self._full:
            self._rows = min(self._rows * 2, _MOST_ROWS)

    def _renew(self, asked: list[list[str]]) -> list[None]:
        self._queue.renew([id for ids in asked for id in ids])
        return [None] * len(asked)

    def _told(self, failed: Exception | None) -> None:
        if failed is not None:
            self._failed(failed)

    def _failed(self, error: Exception) -> None:
        self._runtime.events.failed("queue", error)
