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
class _Kept:
    """A request and what became of it."""

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
class QueueRoom:
    """What all who open one queue share."""

    kept: dict[str, _Kept] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


class MemoryQueue:
    """One worker's view of a queue.

    Args:
        room: the queue itself.
        clock: gives the time.
        rules: bounds.
        seed: what the spread of the waits between tries is drawn from.
        worker: by which name claims are made; this process's own if "".
    """

    def __init__(self, room: QueueRoom, clock: Clock, rules: QueueRules, *, seed: int = 0, worker: str = "") -> None:
        self.rules = rules
        self.worker = worker or claimant.own()
        self.room = room
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
        with self.room.lock:
            return [self._submit(request, self.now()) for request in requests]

    def _submit(self, asked: Submission, now: float) -> Receipt | Refusal:
        for other in self.room.kept.values() if asked.key else ():
            if (other.asked.api, other.asked.key) == (asked.api, asked.key):
                return KEY_USED if other.asked.digest != asked.digest else Receipt(other.id, other.state)
        refusal = self.rules.refusal(
            sum(kept.open for kept in self.room.kept.values()),
            sum(kept.bytes for kept in self.room.kept.values()) + len(asked.body),
        )
        if refusal:
            return Refusal(503, refusal)
        id = new_id(now)
        self.room.kept[id] = _Kept(id, asked, now, now)
        return Receipt(id, "waiting")

    def look(self, ids: Sequence[str]) -> dict[str, QueuedRequest]:
        """Those of the requests that are kept, by id."""
        with self.room.lock:
            return {id: self.room.kept[id].shown() for id in ids if id in self.room.kept}

    def ended(self, ids: Iterable[str]) -> list[str]:
        """Those of the requests that wait for nothing any more."""
        with self.room.lock:
            return [id for id in ids if id not in self.room.kept or not self.room.kept[id].open]

    # -- those who answer

    def due(self) -> bool:
        """Whether there is anything to claim."""
        with self.room.lock:
            return any(kept.state == "waiting" and kept.due <= self.now() for kept in self.room.kept.values())

    def claim(self, rows: int) -> list[Claim]:
        """The longest due requests, up to so many rows but at least one request."""
        with self.room.lock:
            now = self.now()
            due = [kept for kept in self.room.kept.values() if kept.state == "waiting" and kept.due <= now]
            due.sort(key=lambda kept: kept.due)
            ids = together([(kept.id, kept.asked.rows, kept.alone) for kept in due[:rows]], rows)
            claimed = [self.room.kept[id] for id in ids]
            for kept in claimed:
                kept.state, kept.worker, kept.until = "claimed", self.worker, now + self.rules.lease_s
                kept.attempts += 1
            return [Claim(k.id, k.asked.api, k.asked.body, k.asked.rows, k.attempts) for k in claimed]

    def renew(self, ids: Sequence[str]) -> None:
        """Let these of this worker's claims last another lease from now."""
        with self.room.lock:
            for kept in self._among(ids):
                if kept.state == "claimed" and kept.worker == self.worker:
                    kept.until = self.now() + self.rules.lease_s

    def settle(self, outcomes: Sequence[Result | Failure]) -> None:
        """Say what became of claimed requests."""
        with self.room.lock:
            for outcome in outcomes:
                for kept in self._among([outcome.id]):
                    if isinstance(outcome, Failure):
                        self._fail(kept, outcome)
                    elif kept.open:
                        kept.result = outcome
                        kept.end("done", self.now())

    def _fail(self, kept: _Kept, failure: Failure) -> None:
        if not kept.claimed_by(self.worker, failure.attempt):
            return
        if not failure.counted:
            kept.attempts -= 1
            kept.rest(self.now() + self.wait_s(1), failure.error)
        elif failure.again and failure.attempt < self.rules.tries:
            kept.rest(self.now() + self.wait_s(failure.attempt), failure.error)
        else:
            kept.end("dead", self.now(), failure.error)

    def sweep(self) -> Sweep:
        """Take back the claims of workers that have ended or let their lease pass; forget what was kept long enough."""
        with self.room.lock:
            now = self.now()
            gone = {worker for worker in self._claimants() if worker and claimant.gone(worker)}
            lapsed = [k for k in self.room.kept.values() if k.state == "claimed" and _lapsed(k, now, gone)]
            dead = sum(self._lapse(kept, now) for kept in lapsed)
            for kept in self.room.kept.values():
                if kept.call and kept.call.state == "claimed" and _lapsed(kept.call, now, gone):
                    kept.call.state, kept.call.worker = "waiting", ""
            old = [kept.id for kept in self.room.kept.values() if self._old(kept, now)][:SWEPT]
            for id in old:
                del self.room.kept[id]
            return Sweep(len(lapsed), dead, len(old))

    def _claimants(self) -> set[str]:
        kept = list(self.room.kept.values())
        return {request.worker for request in kept} | {request.call.worker for request in kept if request.call}

    def _lapse(self, kept: _Kept, now: float) -> bool:
        """Whether the request is dead by now."""
        why = "its worker ended before it answered" if kept.until > now else "its worker did not answer in time"
        if kept.alone and kept.attempts >= self.rules.tries:
            kept.end("dead", now, why)
            return True
        kept.rest(now + self.wait_s(kept.attempts) if kept.alone else now, why)
        kept.alone = True
        return False

    def _old(self, kept: _Kept, now: float) -> bool:
        bounds = {"done": self.rules.keep_s, "dead": self.rules.keep_dead_s}
        return kept.state in bounds and kept.ended <= now - bounds[kept.state]

    # -- those who look after it

    def counts(self) -> QueueCounts:
        """What the queue holds."""
        with self.room.lock:
            every, now = list(self.room.kept.values()), self.now()
            states = [kept.state for kept in every]
            calls = [kept.call.state == "dead" for kept in every if kept.call]
            oldest = min([kept.made for kept in every if kept.state == "waiting"], default=now)
            return QueueCounts(
                waiting=states.count("waiting"),
                claimed=states.count("claimed"),
                done=states.count("done"),
                dead=states.count("dead"),
                calls=calls.count(False),
                dead_calls=calls.count(True),
                bytes=sum(kept.bytes for kept in every),
                oldest_age_s=max(now - oldest, 0.0),
            )

    def dead(self, most: int = 100) -> list[QueuedRequest]:
        """The newest dead letters, those of callbacks too; newest first."""
        with self.room.lock:
            return [kept.shown() for kept in reversed(self._dead())][:most]

    def _dead(self) -> list[_Kept]:
        return [k for k in self.room.kept.values() if k.state == "dead" or (k.call and k.call.state == "dead")]

    def body(self, id: str) -> bytes:
        """What was submitted; b"" for an unknown id."""
        with self.room.lock:
            return self.room.kept[id].asked.body if id in self.room.kept else b""

    def requeue(self, ids: Sequence[str] | None = None) -> int:
        """Give dead letters all their tries again, and dead callbacks theirs; all of them unless ids are given."""
        with self.room.lock:
            dead = {kept.id: kept for kept in self._dead()}
            if ids is not None:
                _refuse_missing(ids, dead, "a dead letter")
                dead = {id: dead[id] for id in ids}
            for kept in dead.values():
                if kept.state == "dead":
                    kept.call, kept.attempts, kept.ended = None, 0, 0.0
                    kept.rest(self.now(), "")
                elif kept.call is not None:
                    kept.call = _Call(self.now())
            return len(dead)

    def drop(self, ids: Sequence[str]) -> int:
        """Forget requests, whatever became of them, but none that is being answered."""
        with self.room.lock:
            _refuse_missing(ids, self.room.kept, "a request")
            claimed = [id for id in ids if self.room.kept[id].state == "claimed"]
            if claimed:
                raise Misuse(f"queue expected a request that rests, got `{claimed[0]}`, which is being answered")
            for id in set(ids):
                del self.room.kept[id]
            return len(set(ids))

    def _among(self, ids: Sequence[str]) -> list[_Kept]:
        return [self.room.kept[id] for id in ids if id in self.room.kept]


class MemoryCallbacks:
    """The callbacks of a queue in memory."""

    def __init__(self, queue: MemoryQueue) -> None:
        self._queue = queue

    def due(self) -> bool:
        """Whether there is any to deliver."""
        with self._queue.room.lock:
            return bool(self._due())

    def _due(self) -> list[tuple[_Kept, _Call]]:
        now = self._queue.now()
        calls = [(kept, kept.call) for kept in self._queue.room.kept.values() if kept.call]
        return [(kept, call) for kept, call in calls if call.state == "waiting" and call.due <= now]

    def claim(self, most: int) -> list[Callback]:
        """The longest due, for this worker to deliver."""
        with self._queue.room.lock:
            due = sorted(self._due(), key=lambda pair: pair[1].due)[:most]
            for _, call in due:
                call.state, call.worker = "claimed", self._queue.worker
                call.until = self._queue.now() + self._queue.rules.lease_s
                call.attempts += 1
            return [Callback(kept.asked.callback, call.attempts, kept.shown()) for kept, call in due]

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Say what became of claimed callbacks."""
        with self._queue.room.lock:
            for delivery in deliveries:
                kept = self._queue.room.kept.get(delivery.id)
                if kept and kept.call and self._mine(kept.call, delivery.attempt):
                    kept.call = self._settled(kept.call, delivery) if delivery.error else None

    def _mine(self, call: _Call, attempt: int) -> bool:
        return (call.state, call.worker, call.attempts) == ("claimed", self._queue.worker, attempt)

    def _settled(self, call: _Call, delivery: Delivery) -> _Call:
        dead = delivery.counted and delivery.attempt >= self._queue.rules.call_tries
        due = self._queue.now() + self._queue.wait_s(delivery.attempt)
        attempts = call.attempts - (0 if delivery.counted else 1)
        return _Call(due, "dead" if dead else "waiting", attempts, error=delivery.error)


def _lapsed(claim: _Kept | _Call, now: float, gone: set[str]) -> bool:
    return claim.until <= now or claim.worker in gone


def _refuse_missing(ids: Sequence[str], kept: Mapping[str, _Kept], what: str) -> None:
    missing = [id for id in ids if id not in kept]
    if missing:
        raise Misuse(f"queue expected {what}, got `{missing[0]}`", do="see them: funade queue")
