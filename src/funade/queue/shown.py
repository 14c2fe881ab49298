"""A kept request as those who ask for it read it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from funade.store.queue_records import QueuedRequest, State


class RequestStatus(msgspec.Struct, omit_defaults=True):
    """``answer`` is what ``POST /v1/<api>`` would have answered; what is not known yet is left out.

    ``fallback``, ``guard`` and ``defaults`` say of it what the headers of an answer say. ``error`` is what came of the
    last attempt, ``callback`` how the callback stands: "waiting" or "dead".
    """

    id: str
    api: str
    state: State
    attempts: int | msgspec.UnsetType = msgspec.UNSET
    submitted_at: str = ""
    ended_at: str = ""
    release: int = 0
    prediction: str = ""
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    fallback: str = ""
    guard: str = ""
    defaults: str = ""
    error: str = ""
    callback: str = ""
    callback_error: str = ""


def of(kept: QueuedRequest) -> RequestStatus:
    """The request without its body."""
    return RequestStatus(
        kept.id,
        kept.api,
        kept.state,
        attempts=kept.attempts,
        submitted_at=_moment(kept.made),
        ended_at=_moment(kept.ended),
        release=kept.release,
        prediction=kept.prediction,
        answer=msgspec.Raw(kept.answer) if kept.answer else msgspec.UNSET,
        fallback=kept.fallback,
        guard=kept.guard,
        defaults=kept.defaults,
        error=kept.error,
        callback=kept.call,
        callback_error=kept.call_error,
    )


def shown(kept: QueuedRequest) -> bytes:
    """The same as JSON."""
    return msgspec.json.encode(of(kept))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else ""
