"""The port of the queue: requests that are answered later, and the callbacks that tell of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from funade.store.queue_records import (
    Callback,
    Claim,
    Delivery,
    Failure,
    QueueCounts,
    QueuedRequest,
    Receipt,
    Refusal,
    Result,
    Submission,
    Sweep,
)
from funade.store.queue_rules import QueueRules


class Callbacks(Protocol):
    """The callbacks still to be delivered of a queue's requests; each verb takes many and is one transaction."""

    def due(self) -> bool:
        """Whether there is any to deliver."""

    def claim(self, most: int) -> list[Callback]:
        """The longest due, for this worker to deliver; nobody else is given them before the lease ends."""

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Say what became of claimed callbacks: delivered, tried again later, or given up.

        Counts only while the claim is this worker's.
        """


class Queue(Protocol):
    """Requests that are answered later; each verb takes many and is one transaction, durable when it returns.

    A request *waits*, is *claimed* by a worker until its lease ends, and is *done* or, after its last try, *dead*. The
    first answer of a request is its only one. Attempts are counted when claimed. What a worker that ended had claimed
    is claimed alone from then on, and is given up only when it was alone: so what ends workers becomes a dead letter,
    and what was claimed beside it does not. Reading verbs make nothing.
    """

    @property
    def rules(self) -> QueueRules:
        """Its bounds, as this process was told."""

    @property
    def callbacks(self) -> Callbacks:
        """Its callbacks."""

    def submit(self, requests: Sequence[Submission]) -> list[Receipt | Refusal]:
        """Keep requests, and then say under which ids; in order.

        A key used before gives the id that it gave then, if the request is the same; else it is refused.
        """

    def look(self, ids: Sequence[str]) -> dict[str, QueuedRequest]:
        """Those of the requests that are kept, by id."""

    def ended(self, ids: Iterable[str]) -> list[str]:
        """Those of the requests that wait for nothing any more: done, dead or forgotten."""

    def due(self) -> bool:
        """Whether there is anything to claim."""

    def claim(self, rows: int) -> list[Claim]:
        """The longest due requests, up to so many rows but at least one request, for this worker to answer.

        No request is given to two workers before its lease ends.
        """

    def renew(self, ids: Sequence[str]) -> None:
        """Let these of this worker's claims last another lease from now."""

    def settle(self, outcomes: Sequence[Result | Failure]) -> None:
        """Say what became of claimed requests.

        The first answer counts, whoever gives it; a failure counts only while the claim is this worker's.
        """

    def sweep(self) -> Sweep:
        """Take back the claims of workers that have ended or let their lease pass; forget what was kept long enough."""

    def counts(self) -> QueueCounts:
        """What the queue holds."""

    def dead(self, most: int = 100) -> list[QueuedRequest]:
        """The newest dead letters, those of callbacks too; newest first."""

    def body(self, id: str) -> bytes:
        """What was submitted; b"" for an unknown id."""

    def requeue(self, ids: Sequence[str] | None = None) -> int:
        """Give dead letters all their tries again, and dead callbacks theirs; all of them unless ids are given.

        Raises:
            Misuse: an id of no dead letter; nothing was changed.
        """

    def drop(self, ids: Sequence[str]) -> int:
        """Forget requests, whatever became of them, but none that is being answered.

        Raises:
            Misuse: an unknown id, or one that is being answered; nothing was changed.
        """

    def close(self) -> None:
        """Let go of connections; the next use opens again."""
