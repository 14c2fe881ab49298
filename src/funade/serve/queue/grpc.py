"""The queue over gRPC: ``funade.queue.Queue`` with ``Submit`` and ``Look``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from funade.queue.records import QueuedRequest, Receipt, Refusal
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc
from funade.serve.grpc.messages import messages
from funade.serve.queue.door import QueueDoor
from funade.serve.queue.submit import LONGEST_S

SERVICE = "funade.queue.Queue"

FILE = Path(__file__).with_name("queue.binpb").read_bytes()
"""What ``queue.proto`` declares, as a serialised ``FileDescriptorProto``; ``tests/support/protoc.py`` compiles it."""

MESSAGES = messages(FILE)
"""Name → class of each message."""

_MARGIN_S = 0.2


def services(runtime: Runtime) -> list[rpc.Service]:
    """The service, where there is a queue; none where there is not."""
    if runtime.later is None:
        return []
    return [rpc.Service(methods(runtime.later), [FILE], "submit")]


def methods(door: QueueDoor) -> rpc.Methods:
    """``/funade.queue.Queue/…`` → what answers it."""

    def submit(body: bytes, call: rpc.Call) -> None:
        request = _parsed(MESSAGES["SubmitRequest"], body, call)
        if request is None:
            return
        if request.api not in door.runtime.queues:
            call.fail(rpc.NOT_FOUND, "no such api here")
            return

        def kept(said: Receipt | Refusal) -> None:
            if isinstance(said, Refusal):
                _fail(call, said)
            else:
                call.reply(MESSAGES["SubmitReply"](id=said.id, state=said.state).SerializeToString())

        door.front.submit(request.api, request.body, request.idempotency_key, request.callback, kept)

    def look(body: bytes, call: rpc.Call) -> None:
        request = _parsed(MESSAGES["LookRequest"], body, call)
        if request is None:
            return
        if not 0 <= request.wait_seconds <= LONGEST_S:
            call.fail(rpc.INVALID_ARGUMENT, f"`wait_seconds` expected 0 to {LONGEST_S:g}")
            return
        left = LONGEST_S if call.within_s is None else max(call.within_s - _MARGIN_S, 0.0)

        def told(found: QueuedRequest | Refusal) -> None:
            if isinstance(found, Refusal):
                _fail(call, found)
            else:
                call.reply(_reply(found))

        door.front.look(request.id, min(request.wait_seconds, left), told, lambda: call.done)

    return {f"/{SERVICE}/Submit": submit, f"/{SERVICE}/Look": look}


def _reply(request: QueuedRequest) -> bytes:
    reply = MESSAGES["LookReply"]
    message: bytes = reply(**{n: getattr(request, n) for n in reply.DESCRIPTOR.fields_by_name}).SerializeToString()
    return message


def _parsed(message: Any, body: bytes, call: rpc.Call) -> Any:
    try:
        return message.FromString(body)
    except DecodeError:
        call.fail(rpc.INVALID_ARGUMENT, f"request expected a {message.DESCRIPTOR.full_name}, got bytes that are none")
        return None


def _fail(call: rpc.Call, refused: Refusal) -> None:
    where = f" - at {refused.path}" if refused.path else ""
    call.fail(rpc.STATUSES[refused.status], refused.error + where)
