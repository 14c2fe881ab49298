"""The queue of asynchronous requests: how much waits, the dead letters, and one request."""

from __future__ import annotations

import msgspec

from funade.errors import Misuse
from funade.project.project import Project
from funade.queue.status import RequestStatus, status
from funade.store.queue_records import QueueCounts, QueuedRequest

SHOWN = 100
"""Dead letters that are shown, the newest."""


class DeadLetter(msgspec.Struct, frozen=True):
    """A request, or its callback, that was given up: how old it is (seconds) and why."""

    id: str
    api: str
    attempts: int
    age_s: float
    why: str


class QueueView(msgspec.Struct, frozen=True):
    """What the queue holds; its newest dead letters, newest first, as they are read and as they are asked for."""

    counts: QueueCounts
    letters: tuple[DeadLetter, ...]
    requests: tuple[RequestStatus, ...]

    @property
    def more(self) -> int:
        """Dead letters that are not among those shown."""
        return self.counts.dead + self.counts.dead_calls - len(self.letters)

    def json(self) -> object:
        """What ``queue --json`` prints."""
        return {**self.counts._asdict(), "dead_letters": self.requests}


class RequestView(msgspec.Struct, frozen=True):
    """One request and what it asked."""

    request: QueuedRequest
    body: bytes

    def json(self) -> object:
        """What ``queue show --json`` prints."""
        return status(self.request)


def queue(project: Project) -> QueueView:
    """How many requests are in each state, and the dead letters."""
    requests, now = project.queue.dead(SHOWN), project.clock().timestamp()
    return QueueView(
        project.queue.counts(),
        letters=tuple(_dead_letter(request, now) for request in requests),
        requests=tuple(map(status, requests)),
    )


def request(project: Project, id: str) -> RequestView:
    """One request.

    Raises:
        Misuse: the queue has no such request.
    """
    queued = project.queue.look([id]).get(id)
    if queued is None:
        raise Misuse(f"queue expected a request, got `{id}`", do="see them: funade queue")
    return RequestView(queued, project.queue.body(id))


def _dead_letter(request: QueuedRequest, now: float) -> DeadLetter:
    why = request.error if request.state == "dead" else f"callback: {request.call_error}"
    return DeadLetter(request.id, request.api, request.attempts, max(now - request.made, 0.0), why)
