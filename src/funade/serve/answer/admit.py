"""The funnel: what comes by any door is read, refused or put into its api's queue here."""

from __future__ import annotations

from typing import Any

from funade.bind.api import BoundApi
from funade.errors import ContractViolation
from funade.serve.answer.recorder import Recorder
from funade.serve.answer.request import AnswerRequest, IncomingRequest
from funade.serve.answer.runtime import Runtime

MARGIN_S = 0.05
"""How many seconds before a client stops waiting the fallback or an error is sent in the function's stead.

50 ms carry an answer through the loop's turn and back over a network within a region; more would be taken from the
function. Of a short time it is a tenth, so that a client which waits 100 ms has its function tried for 90 of them.
"""


def admit(runtime: Runtime, name: str, request: AnswerRequest, message: Any) -> None:
    """Read a request and queue it; one that cannot be read is refused, counted once under its door.

    ``name`` is one of the runtime's apis, ``message`` the request as its door has it.
    """
    queue = runtime.queues[name]
    try:
        request.read(queue.api, message)
    except Exception as error:  # the client waits for an answer whatever is wrong here
        refuse_unread(runtime.recorder, queue.api, request, error)
        return
    within_s = request.within_s
    queue.add(request, within_s if within_s is None else before(within_s))


def before(within_s: float) -> float:
    """The seconds after which to answer a client that waits ``within_s``: ``MARGIN_S`` less, at most a tenth.

    >>> before(2.0), before(0.1)
    (1.95, 0.09)
    """
    return within_s - min(MARGIN_S, within_s / 10)


def refuse_unread(recorder: Recorder, api: BoundApi, request: IncomingRequest, error: Exception) -> None:
    """Refuse a request whose reading raised: as one that breaks the contract, or else as a defect, which is logged."""
    if isinstance(error, ContractViolation):
        recorder.refuse(api.name, request, 422, error.what, str(error.facts.get("path", "$")))
    else:
        recorder.events.failed(api.name, error)
        recorder.refuse(api.name, request, 500, f"api `{api.name}` could not read the request; see the server's log")
