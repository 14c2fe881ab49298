"""The queue over gRPC: ``funade.queue.Queue`` with ``Submit`` and ``Look``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from funade.serve.answer.admit import before
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc
from funade.serve.grpc.messages import messages
from funade.serve.queue.submit import BEAT_S, LONGEST_S, SubmitRequest, Submitter
from funade.store.queue_records import QueuedRequest, Receipt, Refusal

SERVICE = "funade.queue.Queue"

FILE = Path(__file__).with_name("queue.binpb").read_bytes()
"""What ``queue.proto`` declares, as a serialised ``FileDescriptorProto``; ``tests/support/protoc.py`` compiles it."""

MESSAGES = messages(FILE)
"""Name → class of each message."""


def services(runtime: Runtime, submitter: Submitter | None) -> list[rpc.Service]:
    """The service, where there is a queue; none where there is not."""
    if submitter is None:
        return []
    queue = QueueMethods(runtime, submitter)
    return [rpc.Service({f"/{SERVICE}/Submit": queue.submit, f"/{SERVICE}/Look": queue.look}, [FILE], "submit")]


class QueueMethods:
    """What answers the calls of the service."""

    def __init__(self, runtime: Runtime, submitter: Submitter) -> None:
        self._submitter = submitter
        self._apis = runtime.queues
        self._meter = runtime.recorder.meter

    def submit(self, body: bytes, call: rpc.Call) -> None:
        """Keep a request."""
        request = self._parsed("SubmitRequest", body, call)
        if request is None:
            return
        if request.api not in self._apis:
            self._refuse(call, Refusal(404, "no such api here"))
            return

        def then(receipt: Receipt | Refusal) -> None:
            if isinstance(receipt, Refusal):
                _fail(call, receipt)
            else:
                call.reply(MESSAGES["SubmitReply"](id=receipt.id, state=receipt.state).SerializeToString())

        self._submitter.submit(request.api, request.body, request.idempotency_key, request.callback, then)

    def look(self, body: bytes, call: rpc.Call) -> None:
        """Tell how a request stands; who waits is told so before the call's deadline."""
        request = self._parsed("LookRequest", body, call)
        if request is None:
            return
        if not 0 <= request.wait_seconds <= LONGEST_S:
            self._refuse(call, Refusal(400, f"`wait_seconds` expected 0 to {LONGEST_S:g}"))
            return
        left = LONGEST_S if call.within_s is None else max(before(call.within_s) - BEAT_S, 0.0)

        def then(status: QueuedRequest | Refusal) -> None:
            if isinstance(status, Refusal):
                _fail(call, status)
            else:
                call.reply(_reply(status))

        self._submitter.look(request.id, min(request.wait_seconds, left), then, lambda: call.done)

    def _parsed(self, name: str, body: bytes, call: rpc.Call) -> Any:
        """The message, or None where the bytes are none and the call was refused."""
        try:
            return MESSAGES[name].FromString(body)
        except DecodeError:
            what = f"request expected a {MESSAGES[name].DESCRIPTOR.full_name}, got bytes that are none"
            self._refuse(call, Refusal(400, what))
            return None

    def _refuse(self, call: rpc.Call, refusal: Refusal) -> None:
        """Refuse what asks for no api here."""
        self._meter.refused("", refusal.status, SubmitRequest.door)
        _fail(call, refusal)


def _reply(request: QueuedRequest) -> bytes:
    reply = MESSAGES["LookReply"]
    message: bytes = reply(**{n: getattr(request, n) for n in reply.DESCRIPTOR.fields_by_name}).SerializeToString()
    return message


def _fail(call: rpc.Call, refusal: Refusal) -> None:
    where = f" - at {refusal.path}" if refusal.path else ""
    call.fail(rpc.STATUSES[refusal.status], refusal.error + where)
