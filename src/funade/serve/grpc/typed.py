"""The typed services over gRPC: an api's messages to rows of its queue, its answers back to messages."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from funade.bind.api import BoundApi
from funade.contract import proto
from funade.contract.field import MOST_ROWS, Contract
from funade.contract.wire import Wire
from funade.contract.wire import wire as wire_numbers
from funade.errors import ContractViolation
from funade.serve.answer.admit import admit
from funade.serve.answer.request import ApiAnswers
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc
from funade.serve.grpc.exchange import GrpcExchange, Trailers
from funade.serve.grpc.messages import messages as messages_of

_values = msgspec.structs.astuple


def service(runtime: Runtime) -> rpc.Service:
    """``One`` and ``Many`` of every api."""
    methods: dict[str, rpc.Method] = {}
    files = []
    for name, api in runtime.loaded.apis.items():
        wire = wire_of(runtime, name)
        methods |= _methods(runtime, api, wire)
        files.append(proto.descriptor_of(api.contract, wire).SerializeToString(deterministic=True))
    return rpc.Service(methods, files)


def wire_of(runtime: Runtime, api: str) -> Wire:
    """The numbers of an api's fields; a release made before numbers were kept gets those of its own order."""
    return wire_numbers(api, runtime.loaded.apis[api].contract, runtime.loaded.wires.get(api))


class TypedExchange(GrpcExchange):
    """One call of ``One`` or ``Many``; its form reads its message and writes its answer."""

    __slots__ = ("_form",)

    def __init__(self, call: rpc.Call, trailers: Trailers, form: MethodForm) -> None:
        super().__init__(call, trailers)
        self._form = form
        self.single = form.single

    def read(self, api: BoundApi, message: bytes) -> None:
        """The rows of a serialised message, and the seconds that are left of the call's deadline."""
        self.rows = self._form.read(message)
        self.within_s = self._call.within_s

    def write(self, answers: ApiAnswers, start: int, stop: int) -> bytes:
        """The rows as a message."""
        return self._form.write(answers.structs, start, stop)


Read = Callable[[bytes], list[Any]]
Write = Callable[[list[Any], int, int], bytes]


class MethodForm(NamedTuple):
    """How the messages of a method are read and written; ``single`` where each holds one row."""

    read: Read
    write: Write
    single: bool


def _methods(runtime: Runtime, api: BoundApi, wire: Wire) -> rpc.Methods:
    """The service of one api."""
    classes = messages(api.contract, wire)
    reader = Reader(api, wire, classes)
    one, many = writers(api.contract, wire, classes)
    trailers, path = Trailers(runtime), f"/{proto.service_of(wire)}"
    return {
        f"{path}/One": _method(runtime, api.name, trailers, MethodForm(reader.one, one, single=True)),
        f"{path}/Many": _method(runtime, api.name, trailers, MethodForm(reader.many, many, single=False)),
    }


def _method(runtime: Runtime, api: str, trailers: Trailers, form: MethodForm) -> rpc.Method:
    return lambda body, call: admit(runtime, api, TypedExchange(call, trailers, form), body)


def messages(contract: Contract, wire: Wire) -> dict[str, Any]:
    """The message classes of one api by their short names, in a pool of their own."""
    return messages_of(proto.descriptor_of(contract, wire).SerializeToString())


class Reader:
    """Messages of one api as rows of its request's struct.

    A message whose fields are all there is read attribute by attribute by msgspec, under the very struct that JSON is
    decoded to. Any other, and any that breaks the contract, is written as JSON and decoded as if it had come over HTTP.
    """

    def __init__(self, api: BoundApi, wire: Wire, classes: dict[str, Any]) -> None:
        fields = api.contract.takes_fields
        self._service = proto.service_of(wire)
        self._parse_one = classes["Request"].FromString
        self._parse_many = classes["Requests"].FromString
        self._decode = api.decode
        self._row = api.requests.row
        self._rows = list[self._row]  # type: ignore[name-defined]
        self._closed = api.contract.closed
        self._names = {name: field for field, name in proto.names(fields, wire.takes).items()}
        self._plain = all(name == field for name, field in self._names.items())
        # Zero, "" and False may stand for an absent field. A choice may be an Enum, which is true whatever its value,
        # and the struct's own __post_init__ may change values.
        changed = hasattr(self._row, "__post_init__")
        self._doubted = tuple(f.name for f in fields if changed or (f.values and not all(f.values)))
        self._all = self._row.__struct_fields__
        # A message cannot say null: where a field must be there and may be null, its absence says it.
        self._nulls: dict[str, Any] = dict.fromkeys(f.name for f in fields if f.required and f.nullable)

    def one(self, body: bytes) -> list[Any]:
        """The row of a serialised ``Request``.

        Raises:
            ContractViolation: as JSON would be refused, or the bytes are no such message.
        """
        message = self._parsed(self._parse_one, body)
        if self._plain:
            try:
                row = msgspec.convert(message, self._row, from_attributes=True)
            except (msgspec.ValidationError, ValueError, TypeError):
                return self._slowly([message], single=True)
            if self._whole(message, _values(row)) and not (self._closed and _unknown(message)):
                return [row]
        return self._slowly([message], single=True)

    def many(self, body: bytes) -> list[Any]:
        """The rows of a serialised ``Requests``.

        Raises:
            ContractViolation: as JSON would be refused, or the bytes are no such message.
        """
        messages = self._parsed(self._parse_many, body).rows[: MOST_ROWS + 1]
        if self._plain and len(messages) <= MOST_ROWS:
            try:
                rows: list[Any] = msgspec.convert(messages, self._rows, from_attributes=True)
            except (msgspec.ValidationError, ValueError, TypeError):
                return self._slowly(messages, single=False)
            if self._all_whole(messages, rows) and not (self._closed and any(map(_unknown, messages))):
                return rows
        return self._slowly(messages, single=False)

    def _parsed(self, parse: Callable[[bytes], Any], body: bytes) -> Any:
        try:
            return parse(body)
        except DecodeError:
            what = f"request expected a message of {self._service}, got bytes that are none"
            raise ContractViolation(what, at="$", path="$") from None

    def _all_whole(self, messages: Sequence[Any], rows: list[Any]) -> bool:
        """Whether every field of every message is there."""
        values = list(map(_values, rows))
        return (not self._doubted and all(map(all, values))) or all(map(self._whole, messages, values))

    def _whole(self, message: Any, values: tuple[Any, ...]) -> bool:
        """Whether every field of the message is there; ``values`` are those of its row, in the struct's order."""
        if not all(values):
            has = message.HasField
            if not all(value or has(name) for value, name in zip(values, self._all, strict=True)):
                return False
        return not self._doubted or all(map(message.HasField, self._doubted))

    def _slowly(self, messages: Sequence[Any], *, single: bool) -> list[Any]:
        rows = [self._json(message) for message in messages]
        return self._decode(msgspec.json.encode(rows[0] if single else rows))[0]

    def _json(self, message: Any) -> dict[str, Any]:
        row = dict(self._nulls)
        for field, value in message.ListFields():
            row[self._names[field.name]] = _number(value)
        if self._closed and (unknown := _unknown(message)):
            row[f"number {unknown}"] = None
        return row


def _number(value: Any) -> Any:
    """A value as JSON can say it; what it cannot, as a number out of range."""
    if type(value) is float and not math.isfinite(value):
        return msgspec.Raw(b"-1e999" if value < 0 else b"1e999")
    return value


def _unknown(message: Any) -> int:
    """The number of a field that the message's class does not have; 0 where there is none."""
    fields = UnknownFieldSet(message)
    return int(fields[0].field_number) if len(fields) else 0


def writers(contract: Contract, wire: Wire, classes: dict[str, Any]) -> tuple[Write, Write]:
    """What writes a row and what writes rows of answers."""
    names = proto.names(contract.gives_fields, wire.gives)
    moments = [names[f.name] for f in contract.gives_fields if f.type in ("datetime", "date") and not f.values]
    floats = [names[f.name] for f in contract.gives_fields if f.type == "float" and f.nullable]
    plainly = all(name == field for field, name in names.items())
    row, rows, fields = classes["Answer"], classes["Answers"], msgspec.structs.asdict

    def converted(struct: Any) -> dict[str, Any]:
        values = fields(struct)
        if not plainly:
            values = {names[name]: value for name, value in values.items()}
        for name in moments:
            if values[name] is not None:
                values[name] = values[name].isoformat().replace("+00:00", "Z")
        for name in floats:
            if values[name] != values[name]:  # NaN is missing, as in JSON
                values[name] = None
        return values

    values_of = fields if plainly and not moments and not floats else converted

    def write_one(structs: list[Any], start: int, stop: int) -> bytes:
        message: bytes = row(**values_of(structs[start])).SerializeToString()
        return message

    def write_many(structs: list[Any], start: int, stop: int) -> bytes:
        message: bytes = rows(rows=map(values_of, structs[start:stop])).SerializeToString()
        return message

    return write_one, write_many
