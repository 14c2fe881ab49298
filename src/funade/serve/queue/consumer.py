"""Claimed requests on their way through a worker: claimed while nobody else asks, admitted to their apis, settled."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from funade.serve.answer.admit import admit
from funade.serve.answer.runtime import Runtime
from funade.serve.queue.background import BackgroundThread
from funade.serve.queue.request import QueueExchange
from funade.store.ports.queue import Queue
from funade.store.queue_records import Claim, Failure, Result

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

    ``done`` is told which requests were answered, once that is on disk.
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
        self._writer.call(lambda: self._queue.claim(rows), self._claimed)

    def feed(self) -> None:
        """Give claimed requests to their apis as far as there is room."""
        while self._held:
            claim = self._held[0].claim
            batcher = self._runtime.queues[claim.api]
            if batcher.waiting_rows and claim.rows > batcher.spare_rows:
                return
            exchange = self._held.popleft()
            self._fed.add(exchange)
            admit(self._runtime, claim.api, exchange, claim.body)

    def tick(self) -> None:
        """Renew what is held."""
        now = time.monotonic()
        if (self._held or self._fed) and now - self._renewed > self._queue.rules.lease_s / 4:
            self._renewed = now
            ids = [exchange.claim.id for exchange in (*self._held, *self._fed)]
            self._writer.call(lambda: self._queue.renew(ids), self._renewal)
        self.feed()

    def stop(self) -> None:
        """Claim no more; what no api was given goes back."""
        self.on = False
        for exchange in list(self._held):
            exchange.give_back("the worker ended before it began")

    def cut(self) -> None:
        """What is not answered goes back."""
        self.stop()
        for exchange in list(self._fed):
            exchange.give_back("the worker ended before it answered")

    # -- claiming

    def _claimed(self, claims: Sequence[Claim] | Exception) -> None:
        self._claiming = False
        if isinstance(claims, Exception):
            self._failed(claims)
            return
        self._renewed = self._began = time.monotonic()
        self._full = sum(claim.rows for claim in claims) >= self._rows
        release, recorder = self._runtime.loaded.release, self._runtime.recorder
        for claim in claims:
            if claim.api in self._runtime.queues:
                self._held.append(QueueExchange(claim, release, recorder, self._settle))
            else:
                recorder.meter.refused("", 404, QueueExchange.door)
                self._note(Failure(claim.id, claim.attempt, f"release {release} has no api `{claim.api}`", again=False))
        if not self.on:
            self.stop()
        self.feed()

    # -- settling

    def _settle(self, exchange: QueueExchange, outcome: Result | Failure) -> None:
        if exchange in self._fed:
            self._fed.discard(exchange)
        else:
            self._held.remove(exchange)
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
        self._write(outcomes)
        self.feed()
        self.look()

    def _write(self, outcomes: list[Result | Failure]) -> None:
        self._writer.ask(self._settle_all, outcomes, lambda error: self._written(outcomes, error))

    def _settle_all(self, outcomes: list[list[Result | Failure]]) -> list[None]:
        self._queue.settle([outcome for batch in outcomes for outcome in batch])
        return [None] * len(outcomes)

    def _written(self, outcomes: list[Result | Failure], error: Exception | None) -> None:
        if error is not None:  # a full disk, say: what was answered is not forgotten
            self._failed(error)
            self._runtime.loop.call_later(_AGAIN_S, self._write, outcomes)
            return
        self._writing -= 1
        self._done([outcome.id for outcome in outcomes if isinstance(outcome, Result)])
        for outcome in outcomes:
            if isinstance(outcome, Failure) and self._dead(outcome):
                facts = {"request": outcome.id, "attempts": outcome.attempt, "error": outcome.error}
                self._runtime.recorder.events.event("dead letter", **facts)

    def _dead(self, failure: Failure) -> bool:
        """Whether the request is not tried again."""
        return failure.counted and (failure.attempt >= self._queue.rules.tries or not failure.again)

    def _learn(self, took_s: float) -> None:
        """Claim more at once while that is quick."""
        if took_s > _SLOW_S:
            self._rows = max(self._rows // 2, 1)
        elif took_s < _QUICK_S and self._full:
            self._rows = min(self._rows * 2, _MOST_ROWS)

    def _renewal(self, error: Exception | None) -> None:
        if error is not None:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self._runtime.recorder.events.failed("queue", error)
