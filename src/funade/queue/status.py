"""A kept request as those who ask for it read it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from funade.store.queue_records import QueuedRequest, State


class RequestStatus(msgspec.Struct, omit_defaults=True, kw_only=True):
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


_SAME = {*RequestStatus.__struct_fields__} & {*QueuedRequest._fields} - {"answer", "callback"}


def status(request: QueuedRequest) -> RequestStatus:
    """The request without its body."""
    return RequestStatus(
        **{name: getattr(request, name) for name in _SAME},
        submitted_at=_moment(request.made),
        ended_at=_moment(request.ended),
        answer=msgspec.Raw(request.answer) if request.answer else msgspec.UNSET,
        callback=request.call,
        callback_error=request.call_error,
    )


def status_json(request: QueuedRequest) -> bytes:
    """The same as JSON."""
    return msgspec.json.encode(status(request))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds") if seconds else ""
