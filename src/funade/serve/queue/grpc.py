"""The queue over gRPC: ``funade.queue.Queue`` with ``Submit`` and ``Look``."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from funade.queue.records import QueuedRequest, Receipt, Refusal
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import port as rpc
from funade.serve.queue.door import QueueDoor
from funade.serve.queue.submit import LONGEST_S

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto


SERVICE = "funade.queue.Queue"

_PACKAGE = "funade.queue"
_FILE = "funade/queue.proto"
_MARGIN_S = 0.2

# Message → its fields, numbered from 1 in this order; a number is never given again.
_MESSAGES: dict[str, tuple[tuple[str, str], ...]] = {
    "SubmitRequest": (("api", "string"), ("body", "bytes"), ("idempotency_key", "string"), ("callback", "string")),
    "SubmitReply": (("id", "string"), ("state", "string")),
    "LookRequest": (("id", "string"), ("wait_seconds", "double")),
    "LookReply": (
        ("id", "string"),
        ("api", "string"),
        ("state", "string"),
        ("attempts", "int64"),
        ("answer", "bytes"),
        ("prediction", "string"),
        ("release", "int64"),
        ("error", "string"),
        ("fallback", "string"),
        ("guard", "string"),
        ("defaults", "string"),
    ),
}


def services(runtime: Runtime) -> list[rpc.Service]:
    """The service, where there is a queue; none where there is not."""
    if runtime.later is None:
        return []
    described = file().SerializeToString(deterministic=True)
    return [rpc.Service(methods(runtime.later), [described], "submit")]


def methods(door: QueueDoor) -> rpc.Methods:
    """``/funade.queue.Queue/…`` → what answers it."""
    made = messages()

    def submit(body: bytes, call: rpc.Call) -> None:
        request = _parsed(made["SubmitRequest"], body, call)
        if request is None:
            return
        if request.api not in door.runtime.queues:
            call.fail(rpc.NOT_FOUND, "no such api here")
            return

        def kept(said: Receipt | Refusal) -> None:
            if isinstance(said, Refusal):
                _fail(call, said)
            else:
                call.reply(made["SubmitReply"](id=said.id, state=said.state).SerializeToString())

        door.front.submit(request.api, request.body, request.idempotency_key, request.callback, kept)

    def look(body: bytes, call: rpc.Call) -> None:
        request = _parsed(made["LookRequest"], body, call)
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
                call.reply(_reply(made["LookReply"], found))

        door.front.look(request.id, min(request.wait_seconds, left), told, lambda: call.done)

    return {f"/{SERVICE}/Submit": submit, f"/{SERVICE}/Look": look}


def _reply(message: Any, kept: QueuedRequest) -> bytes:
    names = [name for name, _ in _MESSAGES["LookReply"]]
    reply: bytes = message(**{name: getattr(kept, name) for name in names}).SerializeToString()
    return reply


def _parsed(message: Any, body: bytes, call: rpc.Call) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return message.FromString(body)
    except DecodeError:
        call.fail(rpc.INVALID_ARGUMENT, f"request expected a {message.DESCRIPTOR.full_name}, got bytes that are none")
        return None


def _fail(call: rpc.Call, refused: Refusal) -> None:
    where = f" - at {refused.path}" if refused.path else ""
    call.fail(rpc.STATUSES[refused.status], refused.error + where)


def file() -> FileDescriptorProto:
    """The file that describes the service."""
    from google.protobuf import descriptor_pb2 as pb

    kinds = {"string": 9, "bytes": 12, "double": 1, "int64": 3}
    described = pb.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = described.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields, 1):
            message.field.add(name=field, number=number, type=kinds[kind], label=1)
    service = described.service.add(name="Queue")
    for method in ("Submit", "Look"):
        service.method.add(
            name=method, input_type=f".{_PACKAGE}.{method}Request", output_type=f".{_PACKAGE}.{method}Reply"
        )
    return described


@cache
def messages() -> dict[str, Any]:
    """Each message's class, by name."""
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass

    pool: Any = DescriptorPool()
    pool.AddSerializedFile(file().SerializeToString())
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES}
