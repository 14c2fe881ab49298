"""What goes into a queue and what comes out of it."""

from __future__ import annotations

import hashlib
import os
from typing import Literal, NamedTuple

State = Literal["waiting", "claimed", "done", "dead"]


class Submission(NamedTuple):
    """A request to keep: the JSON ``body`` of ``rows`` rows for an api.

    ``key`` is the caller's idempotency key, "" for none; ``callback`` the URL that is told of the end, "" for none.
    """

    api: str
    body: bytes
    rows: int = 1
    key: str = ""
    callback: str = ""

    @property
    def digest(self) -> str:
        """Tells requests under one key apart; "" without a key."""
        if not self.key:
            return ""
        return hashlib.sha256(self.body + b"\0" + self.callback.encode()).hexdigest()


def new_id(now: float) -> str:
    """A request's id: its milliseconds since 1970, then what nobody guesses."""
    return f"{int(now * 1000):012x}{os.urandom(10).hex()}"


class Receipt(NamedTuple):
    """A request is kept under this id."""

    id: str
    state: State


class Refusal(NamedTuple):
    """A request is not kept; ``status`` says why as HTTP has it: 409 a key used before, 422 a bad row, 503 full.

    ``path`` points at the value that breaks the contract.
    """

    status: int
    error: str
    path: str = ""


KEY_USED = Refusal(409, "idempotency key was used before, with another request; use a new one")


class Claim(NamedTuple):
    """A request that this worker is to answer; ``attempt`` counts from 1."""

    id: str
    api: str
    body: bytes
    rows: int
    attempt: int


class Result(NamedTuple):
    """A request was answered: ``answer`` is JSON, ``prediction`` its prediction id."""

    id: str
    answer: bytes
    prediction: str
    release: int
    fallback: str = ""
    guard: str = ""
    defaults: str = ""


class Failure(NamedTuple):
    """An attempt gave no answer.

    ``again``: the request may be tried once more; ``counted``: this attempt counts as one of its tries.
    """

    id: str
    attempt: int
    error: str
    again: bool = True
    counted: bool = True


class QueuedRequest(NamedTuple):
    """A request as the queue has it; times are seconds since 1970, 0 for not yet.

    ``answer`` is JSON, b"" while there is none. ``call`` says how its callback stands: "" (none, or delivered),
    "waiting" or "dead", and ``call_error`` what came of its last attempt.
    """

    id: str
    api: str
    state: State
    rows: int
    made: float
    due: float
    ended: float
    attempts: int
    error: str
    callback: str
    call: str
    call_error: str
    answer: bytes
    prediction: str
    release: int
    fallback: str
    guard: str
    defaults: str


class QueueCounts(NamedTuple):
    """How many requests are in each state, callbacks that wait or are dead, bytes kept, and the oldest's age."""

    waiting: int = 0
    claimed: int = 0
    done: int = 0
    dead: int = 0
    calls: int = 0
    dead_calls: int = 0
    bytes: int = 0
    oldest_age_s: float = 0.0

    @property
    def gauges(self) -> dict[str, float]:
        """What a monitoring system asks: ``waiting`` (claimed ones too), ``dead``, ``oldest_age_seconds``."""
        return {
            "waiting": self.waiting + self.claimed,
            "dead": self.dead,
            "oldest_age_seconds": self.oldest_age_s,
        }


class Sweep(NamedTuple):
    """What a sweep found: claims taken back, of them dead letters, and requests forgotten."""

    lapsed: int = 0
    dead: int = 0
    forgotten: int = 0


class Callback(NamedTuple):
    """A callback to deliver: who is told, of which request; ``attempt`` counts from 1."""

    url: str
    attempt: int
    request: QueuedRequest


class Delivery(NamedTuple):
    """What became of one attempt: ``error`` is "" when it was delivered; ``counted``: it was one of its tries."""

    id: str
    attempt: int
    error: str = ""
    counted: bool = True
