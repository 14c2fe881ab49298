"""The typed services over gRPC: an api's messages to rows of its queue, its answers back to messages."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

import msgspec

from funade.contract import proto
from funade.contract.field import Contract
from funade.contract.wire import Wire, wire
from funade.errors import ContractViolation
from funade.serve.answer.api import Api
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.serve.answer.runtime import Runtime
from funade.serve.grpc import call as rpc

_MOST_ROWS = 100_000
_MARGIN_S = 0.05


def service(runtime: Runtime) -> rpc.Service:
    """The typed services of every api."""
    return rpc.Service(methods(runtime), files(runtime))


def methods(runtime: Runtime) -> rpc.Methods:
    """``One`` and ``Many`` of every api."""
    found: dict[str, rpc.Method] = {}
    for name, queue in runtime.queues.items():
        typed = Typed(queue.api, wire_of(runtime, name), runtime)
        found[f"/{typed.service}/One"] = typed.one
        found[f"/{typed.service}/Many"] = typed.many
    return found


def files(runtime: Runtime) -> list[bytes]:
    """The file of each api, as a serialised descriptor."""
    return [
        proto.descriptor_of(queue.api.contract, wire_of(runtime, name)).SerializeToString(deterministic=True)
        for name, queue in runtime.queues.items()
    ]


def wire_of(runtime: Runtime, api: str) -> Wire:
    """The numbers of an api's fields; a release made before numbers were kept gets those of its own order."""
    return wire(api, runtime.queues[api].api.contract, runtime.loaded.wires.get(api))


class Trailers:
    """What ends every answer of a worker.

    Args:
        release: the release's number.
        mark: what its prediction ids begin with.
    """

    def __init__(self, release: int, mark: str) -> None:
        self._said = (("funade-release", str(release)), ("funade-arm", "current"))
        self._mark = mark

    def of(self, number: int, said: Notes = PLAIN) -> rpc.Metadata:
        """Release, arm, prediction id, and what else is to be said."""
        found = (*self._said, ("funade-prediction", f"{self._mark}-{number:x}"))
        if said is PLAIN:
            return found
        return found + tuple((f"funade-{n}", plain(t)) for n, t in zip(said._fields, said, strict=True) if t)

    def refused(self, path: str) -> rpc.Metadata:
        """Of a refusal: release, and the path of the value where there is one."""
        return (*self._said, ("funade-path", plain(path))) if path else self._said


def plain(text: str) -> str:
    """Text as metadata can carry it: printable ASCII."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if shown.isascii() else shown.encode("ascii", "backslashreplace").decode()


class GrpcExchange:
    """One request that came as a message; see ``ask.Ask``."""

    __slots__ = ("_call", "_trailers", "_write", "rows", "since", "single", "timer")
    door = "grpc"

    def __init__(self, call: rpc.Call, rows: list[Any], *, single: bool, trailers: Trailers, write: Write) -> None:
        self._call = call
        self._trailers = trailers
        self._write = write
        self.rows = rows
        self.single = single
        self.timer: asyncio.TimerHandle | None = None
        self.since = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether it was answered or nobody waits any more."""
        return self._call.done

    @done.setter
    def done(self, yes: bool) -> None:
        self._call.done = yes

    def write(self, answers: ApiAnswers, start: int, stop: int) -> bytes:
        """The rows as a message."""
        return self._write(answers.structs, start, stop)

    def answer(self, body: bytes, number: int, said: Notes = PLAIN) -> None:
        """Reply with predictions."""
        if self.timer is not None:
            self.timer.cancel()
        self._call.reply(body, self._trailers.of(number, said))

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """End the call with an error."""
        if self.timer is not None:
            self.timer.cancel()
        self._call.fail(rpc.STATUSES.get(status, rpc.INTERNAL), error, self._trailers.refused(path))


Write = Callable[[list[Any], int, int], bytes]


class Typed:
    """The service of one api.

    Args:
        api: the api.
        wire: the numbers of its fields.
        desk: the worker's.
    """

    def __init__(self, api: Api, wire: Wire, runtime: Runtime) -> None:
        found = messages(api.contract, wire)
        self.service = proto.service_of(wire)
        self._api = api
        self._queue = runtime.queues[api.name]
        self._runtime = runtime
        self._trailers = Trailers(runtime.loaded.release, runtime.mark)
        self._reader = Reader(api, wire, found["Request"])
        self._parse_one = found["Request"].FromString
        self._parse_many = found["Requests"].FromString
        self._write_one, self._write_many = writers(api.contract, wire, found)

    def one(self, body: bytes, call: rpc.Call) -> None:
        """Take in a row."""
        try:
            rows = [self._reader.one(self._parse_one(body))]
        except Exception as error:
            self._refuse(call, error)
            return
        self._add(GrpcExchange(call, rows, single=True, trailers=self._trailers, write=self._write_one), call)

    def many(self, body: bytes, call: rpc.Call) -> None:
        """Take in rows."""
        try:
            rows = self._reader.many(self._parse_many(body).rows)
        except Exception as error:
            self._refuse(call, error)
            return
        self._add(GrpcExchange(call, rows, single=False, trailers=self._trailers, write=self._write_many), call)

    def _add(self, ask: GrpcExchange, call: rpc.Call) -> None:
        within = call.within_s
        if within is not None:  # what speaks in the function's stead must arrive before the client stops listening
            within -= min(_MARGIN_S, within / 10)
        self._queue.add(ask, within)

    def _refuse(self, call: rpc.Call, error: Exception) -> None:
        from google.protobuf.message import DecodeError

        name, meter = self._api.name, self._runtime.meter
        if isinstance(error, ContractViolation):
            path = str(error.facts.get("path", "$"))
            meter.refused(name, 422, "grpc")
            call.fail(rpc.INVALID_ARGUMENT, f"{error.what} - at {path}", self._trailers.refused(path))
        elif isinstance(error, DecodeError):
            meter.refused(name, 422, "grpc")
            what = f"request expected a message of {self.service}, got bytes that are none - at $"
            call.fail(rpc.INVALID_ARGUMENT, what, self._trailers.refused("$"))
        else:
            self._runtime.events.failed(name, error)
            meter.refused(name, 500, "grpc")
            what = f"api `{name}` could not read the request; see the server's log"
            call.fail(rpc.INTERNAL, what, self._trailers.refused(""))


def messages(contract: Contract, wire: Wire) -> dict[str, Any]:
    """The message classes of one api by their short names, in a pool of their own."""
    from google.protobuf import descriptor_pool, message_factory

    pool = descriptor_pool.DescriptorPool()
    pool.Add(proto.descriptor_of(contract, wire))
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{wire.package}.{name}"))
        for name in ("Request", "Requests", "Answer", "Answers")
    }


class Reader:
    """Messages of one api as rows of its request's struct.

    A message whose fields are all there is read attribute by attribute by msgspec, under the very struct that JSON is
    decoded to. Any other, and any that breaks the contract, is written as JSON and decoded as if it had come over HTTP.

    Args:
        api: the api.
        wire: the numbers of its fields.
        message: the class of one row's message.
    """

    def __init__(self, api: Api, wire: Wire, message: Any) -> None:
        fields = api.contract.takes_fields
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
        self._all = tuple(f.name for f in fields)
        # A message cannot say null: where a field must be there and may be null, its absence says it.
        self._nulls: dict[str, Any] = dict.fromkeys(f.name for f in fields if f.required and f.nullable)
        self._values = attrgetter(*self._all)
        self._single = len(self._all) == 1

    def one(self, message: Any) -> Any:
        """The row of a message.

        Raises:
            ContractViolation: as JSON would be refused.
        """
        if self._plain:
            try:
                row = msgspec.convert(message, self._row, from_attributes=True)
            except (msgspec.ValidationError, ValueError, TypeError):
                return self._slowly([message], single=True)[0]
            if self._whole(message, row) and not (self._closed and _unknown(message)):
                return row
        return self._slowly([message], single=True)[0]

    def many(self, found: Sequence[Any]) -> list[Any]:
        """The rows of messages.

        Raises:
            ContractViolation: as JSON would be refused.
        """
        given = list(islice(found, _MOST_ROWS + 1))
        if self._plain and len(given) <= _MOST_ROWS:
            try:
                rows: list[Any] = msgspec.convert(given, self._rows, from_attributes=True)
            except (msgspec.ValidationError, ValueError, TypeError):
                return self._slowly(given, single=False)
            if all(map(self._whole, given, rows)) and not (self._closed and any(map(_unknown, given))):
                return rows
        return self._slowly(given, single=False)

    def _whole(self, message: Any, row: Any) -> bool:
        """Whether every field of the message is there."""
        values = self._values(row)
        if self._single:
            values = (values,)
        if not all(values):
            has = message.HasField
            if not all(value or has(name) for value, name in zip(values, self._all, strict=True)):
                return False
        return not self._doubted or all(map(message.HasField, self._doubted))

    def _slowly(self, found: Sequence[Any], *, single: bool) -> list[Any]:
        rows = [self._json(message) for message in found]
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
    from google.protobuf.unknown_fields import UnknownFieldSet

    found = UnknownFieldSet(message)
    return int(found[0].field_number) if len(found) else 0


def writers(contract: Contract, wire: Wire, found: dict[str, Any]) -> tuple[Write, Write]:
    """What writes a row and what writes rows of answers."""
    names = proto.names(contract.gives_fields, wire.gives)
    moments = [names[f.name] for f in contract.gives_fields if f.type in ("datetime", "date") and not f.values]
    floats = [names[f.name] for f in contract.gives_fields if f.type == "float" and f.nullable]
    plainly = all(name == field for field, name in names.items())
    row, rows, fields = found["Answer"], found["Answers"], msgspec.structs.asdict

    def values(struct: Any) -> dict[str, Any]:
        told = fields(struct)
        if not plainly:
            told = {names[name]: value for name, value in told.items()}
        for name in moments:
            if told[name] is not None:
                told[name] = told[name].isoformat().replace("+00:00", "Z")
        for name in floats:
            if told[name] != told[name]:  # NaN is missing, as in JSON
                told[name] = None
        return told

    one = fields if plainly and not moments and not floats else values

    def write_one(structs: list[Any], start: int, stop: int) -> bytes:
        made: bytes = row(**one(structs[start])).SerializeToString()
        return made

    def write_many(structs: list[Any], start: int, stop: int) -> bytes:
        made: bytes = rows(rows=[row(**one(struct)) for struct in structs[start:stop]]).SerializeToString()
        return made

    return write_one, write_many
