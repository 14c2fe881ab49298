"""A queue in memory: requests in the order they came, each verb under one lock."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from funade.clock import Clock
from funade.errors import Misuse
from funade.queue import claimant
from funade.store.queue_records import (
    KEY_USED,
    Callback,
    Claim,
    Delivery,
    Failure,
    QueueCounts,
    QueuedRequest,
    Receipt,
    Refusal,
    Result,
    State,
    Submission,
    Sweep,
    new_id,
)
from funade.store.queue_rules import SWEPT, QueueRules, together


@dataclass
class _Call:
    """A callback that is still to be delivered."""

    due: float
    state: State = "waiting"
    attempts: int = 0
    worker: str = ""
    until: float = 0.0
    error: str = ""


@dataclass
class _Queued:
    """A request and what became of it; ``asked`` is what was submitted."""

    id: str
    asked: Submission
    made: float
    due: float
    state: State = "waiting"
    attempts: int = 0
    alone: bool = False
    worker: str = ""
    until: float = 0.0
    ended: float = 0.0
    error: str = ""
    result: Result | None = None
    call: _Call | None = None

    @property
    def open(self) -> bool:
        return self.state in ("waiting", "claimed")

    @property
    def bytes(self) -> int:
        return len(self.asked.body) + (len(self.result.answer) if self.result else 0)

    def claimed_by(self, worker: str, attempt: int) -> bool:
        return (self.state, self.worker, self.attempts) == ("claimed", worker, attempt)

    def rest(self, due: float, error: str) -> None:
        self.state, self.worker, self.due, self.error = "waiting", "", due, error

    def end(self, state: State, now: float, error: str = "") -> None:
        self.state, self.worker, self.ended, self.error = state, "", now, error
        if self.asked.callback:
            self.call = _Call(now)

    def shown(self) -> QueuedRequest:
        call, result = self.call, self.result or Result(self.id, b"", "", 0)
        return QueuedRequest(
            self.id,
            self.asked.api,
            self.state,
            self.asked.rows,
            self.made,
            self.due,
            self.ended,
            self.attempts,
            self.error,
            self.asked.callback,
            "" if call is None else "dead" if call.state == "dead" else "waiting",
            "" if call is None else call.error,
            *result[1:],
        )


@dataclass
class QueueContents:
    """What all who open one queue share."""

    requests: dict[str, _Queued] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryQueue:
    """One worker's view of a queue.

    Args:
        contents: the queue itself.
        clock: gives the time.
        rules: bounds.
        seed: what the spread of the waits between tries is drawn from.
        worker: by which name claims are made; this process's own if "".
    """

    def __init__(
        self, contents: QueueContents, clock: Clock, rules: QueueRules, *, seed: int = 0, worker: str = ""
    ) -> None:
        self.rules = rules
        self.worker = worker or claimant.own()
        self.contents = contents
        self.callbacks = MemoryCallbacks(self)
        self._clock = clock
        self._chance = random.Random(seed).random

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock().timestamp()

    def wait_s(self, attempt: int) -> float:
        """How long to wait after that attempt."""
        return self.rules.backoff_s(attempt, self._chance)

    def close(self) -> None:
        """Nothing to let go of."""

    # -- those who ask

    def submit(self, requests: Sequence[Submission]) -> list[Receipt | Refusal]:
        """Keep requests, and then say under which ids; in order."""
        with self.contents.lock:
            return [self._submit(request, self.now()) for request in requests]

    def _submit(self, asked: Submission, now: float) -> Receipt | Refusal:
        for other in self.contents.requests.values() if asked.key else ():
            if (other.asked.api, other.asked.key) == (asked.api, asked.key):
                return KEY_USED if other.asked.digest != asked.digest else Receipt(other.id, other.state)
        refusal = self.rules.refusal(
            sum(request.open for request in self.contents.requests.values()),
            sum(request.bytes for request in self.contents.requests.values()) + len(asked.body),
        )
        if refusal:
            return Refusal(503, refusal)
        id = new_id(now)
        self.contents.requests[id] = _Queued(id, asked, now, now)
        return Receipt(id, "waiting")

    def look(self, ids: Sequence[str]) -> dict[str, QueuedRequest]:
        """Those of the requests that are kept, by id."""
        with self.contents.lock:
            return {id: self.contents.requests[id].shown() for id in ids if id in self.contents.requests}

    def ended(self, ids: Iterable[str]) -> list[str]:
        """Those of the requests that wait for nothing any more."""
        with self.contents.lock:
            return [id for id in ids if id not in self.contents.requests or not self.contents.requests[id].open]

    # -- those who answer

    def due(self) -> bool:
        """Whether there is anything to claim."""
        with self.contents.lock:
            return any(
                request.state == "waiting" and request.due <= self.now() for request in self.contents.requests.values()
            )

    def claim(self, rows: int) -> list[Claim]:
        """The longest due requests, up to so many rows but at least one request."""
        with self.contents.lock:
            now = self.now()
            due = [
                request
                for request in self.contents.requests.values()
                if request.state == "waiting" and request.due <= now
            ]
            due.sort(key=lambda request: request.due)
            ids = together([(request.id, request.asked.rows, request.alone) for request in due[:rows]], rows)
            claimed = [self.contents.requests[id] for id in ids]
            for request in claimed:
                request.state, request.worker, request.until = "claimed", self.worker, now + self.rules.lease_s
                request.attempts += 1
            return [Claim(k.id, k.asked.api, k.asked.body, k.asked.rows, k.attempts) for k in claimed]

    def renew(self, ids: Sequence[str]) -> None:
        """Let these of this worker's claims last another lease from now."""
        with self.contents.lock:
            for request in self._among(ids):
                if request.state == "claimed" and request.worker == self.worker:
                    request.until = self.now() + self.rules.lease_s

    def settle(self, outcomes: Sequence[Result | Failure]) -> None:
        """Say what became of claimed requests."""
        with self.contents.lock:
            for outcome in outcomes:
                for request in self._among([outcome.id]):
                    if isinstance(outcome, Failure):
                        self._fail(request, outcome)
                    elif request.open:
                        request.result = outcome
                        request.end("done", self.now())

    def _fail(self, request: _Queued, failure: Failure) -> None:
        if not request.claimed_by(self.worker, failure.attempt):
            return
        if not failure.counted:
            request.attempts -= 1
            request.rest(self.now() + self.wait_s(1), failure.error)
        elif failure.again and failure.attempt < self.rules.tries:
            request.rest(self.now() + self.wait_s(failure.attempt), failure.error)
        else:
            request.end("dead", self.now(), failure.error)

    def sweep(self) -> Sweep:
        """Take back the claims of workers that have ended or let their lease pass; forget what was kept long enough."""
        with self.contents.lock:
            now = self.now()
            gone = {worker for worker in self._claimants() if worker and claimant.gone(worker)}
            lapsed = [k for k in self.contents.requests.values() if k.state == "claimed" and _lapsed(k, now, gone)]
            dead = sum(self._lapse(request, now) for request in lapsed)
            for request in self.contents.requests.values():
                if request.call and request.call.state == "claimed" and _lapsed(request.call, now, gone):
                    request.call.state, request.call.worker = "waiting", ""
            old = [request.id for request in self.contents.requests.values() if self._old(request, now)][:SWEPT]
            for id in old:
                del self.contents.requests[id]
            return Sweep(len(lapsed), dead, len(old))

    def _claimants(self) -> set[str]:
        requests = list(self.contents.requests.values())
        return {request.worker for request in requests} | {request.call.worker for request in requests if request.call}

    def _lapse(self, request: _Queued, now: float) -> bool:
        """Whether the request is dead by now."""
        why = "its worker ended before it answered" if request.until > now else "its worker did not answer in time"
        if request.alone and request.attempts >= self.rules.tries:
            request.end("dead", now, why)
            return True
        request.rest(now + self.wait_s(request.attempts) if request.alone else now, why)
        request.alone = True
        return False

    def _old(self, request: _Queued, now: float) -> bool:
        bounds = {"done": self.rules.keep_s, "dead": self.rules.keep_dead_s}
        return request.state in bounds and request.ended <= now - bounds[request.state]

    # -- those who look after it

    def counts(self) -> QueueCounts:
        """What the queue holds."""
        with self.contents.lock:
            every, now = list(self.contents.requests.values()), self.now()
            states = [request.state for request in every]
            calls = [request.call.state == "dead" for request in every if request.call]
            oldest = min([request.made for request in every if request.state == "waiting"], default=now)
            return QueueCounts(
                waiting=states.count("waiting"),
                claimed=states.count("claimed"),
                done=states.count("done"),
                dead=states.count("dead"),
                calls=calls.count(False),
                dead_calls=calls.count(True),
                bytes=sum(request.bytes for request in every),
                oldest_age_s=max(now - oldest, 0.0),
            )

    def dead(self, most: int = 100) -> list[QueuedRequest]:
        """The newest dead letters, those of callbacks too; newest first."""
        with self.contents.lock:
            return [request.shown() for request in reversed(self._dead())][:most]

    def _dead(self) -> list[_Queued]:
        return [k for k in self.contents.requests.values() if k.state == "dead" or (k.call and k.call.state == "dead")]

    def body(self, id: str) -> bytes:
        """What was submitted; b"" for an unknown id."""
        with self.contents.lock:
            return self.contents.requests[id].asked.body if id in self.contents.requests else b""

    def requeue(self, ids: Sequence[str] | None = None) -> int:
        """Give dead letters all their tries again, and dead callbacks theirs; all of them unless ids are given."""
        with self.contents.lock:
            dead = {request.id: request for request in self._dead()}
            if ids is not None:
                _refuse_missing(ids, dead, "a dead letter")
                dead = {id: dead[id] for id in ids}
            for request in dead.values():
                if request.state == "dead":
                    request.call, request.attempts, request.ended = None, 0, 0.0
                    request.rest(self.now(), "")
                elif request.call is not None:
                    request.call = _Call(self.now())
            return len(dead)

    def drop(self, ids: Sequence[str]) -> int:
        """Forget requests, whatever became of them, but none that is being answered."""
        with self.contents.lock:
            _refuse_missing(ids, self.contents.requests, "a request")
            claimed = [id for id in ids if self.contents.requests[id].state == "claimed"]
            if claimed:
                raise Misuse(f"queue expected a request that rests, got `{claimed[0]}`, which is being answered")
            for id in set(ids):
                del self.contents.requests[id]
            return len(set(ids))

    def _among(self, ids: Sequence[str]) -> list[_Queued]:
        return [self.contents.requests[id] for id in ids if id in self.contents.requests]


class MemoryCallbacks:
    """The callbacks of a queue in memory."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue

    def due(self) -> bool:
        """Whether there is any to deliver."""
        with self._queue.contents.lock:
            return bool(self._due())

    def _due(self) -> list[tuple[_Queued, _Call]]:
        now = self._queue.now()
        calls = [(request, request.call) for request in self._queue.contents.requests.values() if request.call]
        return [(request, call) for request, call in calls if call.state == "waiting" and call.due <= now]

    def claim(self, most: int) -> list[Callback]:
        """The longest due, for this worker to deliver."""
        with self._queue.contents.lock:
            due = sorted(self._due(), key=lambda pair: pair[1].due)[:most]
            for _, call in due:
                call.state, call.worker = "claimed", self._queue.worker
                call.until = self._queue.now() + self._queue.rules.lease_s
                call.attempts += 1
            return [Callback(request.asked.callback, call.attempts, request.shown()) for request, call in due]

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Say what became of claimed callbacks."""
        with self._queue.contents.lock:
            for delivery in deliveries:
                request = self._queue.contents.requests.get(delivery.id)
                if request and request.call and self._mine(request.call, delivery.attempt):
                    request.call = self._settled(request.call, delivery) if delivery.error else None

    def _mine(self, call: _Call, attempt: int) -> bool:
        return (call.state, call.worker, call.attempts) == ("claimed", self._queue.worker, attempt)

    def _settled(self, call: _Call, delivery: Delivery) -> _Call:
        dead = delivery.counted and delivery.attempt >= self._queue.rules.call_tries
        due = self._queue.now() + self._queue.wait_s(delivery.attempt)
        attempts = call.attempts - (0 if delivery.counted else 1)
        return _Call(due, "dead" if dead else "waiting", attempts, error=delivery.error)


def _lapsed(claim: _Queued | _Call, now: float, gone: set[str]) -> bool:
    return claim.until <= now or claim.worker in gone


def _refuse_missing(ids: Sequence[str], known: Mapping[str, _Queued], what: str) -> None:
    missing = [id for id in ids if id not in known]
    if missing:
        raise Misuse(f"queue expected {what}, got `{missing[0]}`", do="see them: funade queue")
