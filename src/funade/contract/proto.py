"""An api's contract as Protocol Buffers: the text of its .proto file, and the same as a descriptor.

One package an api, ``funade.<top package>.<api>``, with the service ``Api``: ``One`` answers a row, ``Many`` rows.
Every field of a request has presence, so that an absent one is told from a zero. Times, dates and choices of text are
strings, as in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from funade.contract.field import Contract, Field, limits
from funade.contract.wire import Slot, Wire, numbers

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

_TYPES = {"bool": "bool", "int": "int64", "float": "double", "str": "string", "datetime": "string", "date": "string"}

# A Python message has these as methods: a field of that name could not be read.
_METHODS = frozenset((
    "ByteSize", "Clear", "ClearExtension", "ClearField", "CopyFrom", "DESCRIPTOR", "DiscardUnknownFields", "Extensions",
    "FindInitializationErrors", "FromString", "HasExtension", "HasField", "IsInitialized", "ListFields", "MergeFrom",
    "MergeFromString", "ParseFromString", "SerializePartialToString", "SerializeToString", "SetInParent",
    "UnknownFields", "WhichOneof",
))  # fmt: skip


class MessageField(NamedTuple):
    """One field of a message; ``json`` is its name in JSON, the contract's own."""

    name: str
    kind: str
    number: int
    optional: bool
    json: str
    comment: str


class Message(NamedTuple):
    """One row's message; ``reserved`` are numbers and names that no field may get."""

    name: str
    doc: str
    fields: Sequence[MessageField]
    reserved: Sequence[int]
    reserved_names: Sequence[str]


def path_of(wire: Wire) -> str:
    """The file's path below a folder of .proto files: ``funade_taxi/screen.proto``.

    Python's generated modules are named by it: their package is neither funade's own nor the project's.
    """
    return wire.package.replace(".", "_", 1).replace(".", "/") + ".proto"


def service_of(wire: Wire) -> str:
    """The service's full name."""
    return f"{wire.package}.Api"


def request_of(contract: Contract, wire: Wire) -> Message:
    """One row of a request."""
    return _message("Request", contract.doc, contract.takes_fields, wire.takes, answer=False)


def answer_of(contract: Contract, wire: Wire) -> Message:
    """One row of an answer."""
    return _message("Answer", contract.gives_doc, contract.gives_fields, wire.gives, answer=True)


def _message(name: str, doc: str, fields: Sequence[Field], slots: Sequence[Slot], *, answer: bool) -> Message:
    number_of, name_of = numbers(fields, slots), names(fields, slots)
    lines = [_line(f, name_of[f.name], number_of[f.name], answer=answer) for f in fields]
    free = [slot for slot in slots if slot.number not in number_of.values()]
    reserved_names = {slot.name for slot in free if _fits(slot.name)} - {*name_of.values()}
    return Message(name, doc, lines, sorted(slot.number for slot in free), sorted(reserved_names))


def _line(field: Field, name: str, number: int, *, answer: bool) -> MessageField:
    facts = [*limits(field), *([field.unit] if field.unit else [])]
    if not answer and not field.required and not (field.nullable and field.default is None):
        facts.append(f"{field.default} where absent")
    elif not answer and field.required:
        facts.append("required")
    text = ", ".join(facts) + (f": {field.doc}" if field.doc else "")
    optional = not answer or field.nullable
    return MessageField(name, _TYPES[field.type], number, optional, field.name, _flat(text))


def names(fields: Iterable[Field], slots: Sequence[Slot]) -> dict[str, str]:
    """Field name → its name in the .proto: its own, or ``field_<number>`` where that could not be written or read."""
    first: dict[str, str] = {}  # protoc refuses two names that would be one in its JSON
    for slot in slots:
        first.setdefault(camel(slot.name), slot.name)
    return {
        name: name if _fits(name) and first[camel(name)] == name else f"field_{number}"
        for name, number in numbers(fields, slots).items()
    }


def _fits(name: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is not None and name not in _METHODS


def _flat(text: str) -> str:
    return " ".join(text.split())


def camel(name: str) -> str:
    """The name that Protocol Buffers gives a field in JSON unless told.

    >>> camel("fare_yen")
    'fareYen'
    """
    return re.sub(r"_+(.?)", lambda m: m[1].upper(), name)


# -- text


def text_of(api: str, contract: Contract, wire: Wire) -> str:
    """The .proto file of one api."""
    parts = [
        f"// The api `{api}`, written by funade. Numbers are kept from release to release.",
        'syntax = "proto3";',
        f"package {wire.package};",
        _SERVICE.replace("DOC", _flat(contract.doc) or f"The api `{api}`."),
        _text(request_of(contract, wire)),
        "message Requests {\n  repeated Request rows = 1;\n}",
        _text(answer_of(contract, wire)),
        "message Answers {\n  repeated Answer rows = 1;\n}",
    ]
    return "\n\n".join(parts) + "\n"


_SERVICE = """\
// DOC
service Api {
  // One row.
  rpc One(Request) returns (Answer);
  // Many rows: as many answers, in the same order.
  rpc Many(Requests) returns (Answers);
}"""


def _text(message: Message) -> str:
    lines = [f"// {_flat(message.doc)}"] if message.doc else []
    lines.append(f"message {message.name} {{")
    if message.reserved:
        lines.append(f"  reserved {', '.join(map(str, message.reserved))};")
    if message.reserved_names:
        lines.append(f"  reserved {', '.join(chr(34) + name + chr(34) for name in message.reserved_names)};")
    for line in message.fields:
        json = f' [json_name = "{line.json}"]' if camel(line.name) != line.json else ""
        comment = f"  // {line.comment}" if line.comment else ""
        start = "optional " if line.optional else ""
        lines.append(f"  {start}{line.kind} {line.name} = {line.number}{json};{comment}")
    return "\n".join([*lines, "}"])


# -- descriptor


def descriptor_of(contract: Contract, wire: Wire) -> FileDescriptorProto:
    """The same file as a descriptor; needs ``protobuf``."""
    from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

    file = FileDescriptorProto(name=path_of(wire), package=wire.package, syntax="proto3")
    for message, many in ((request_of(contract, wire), "Requests"), (answer_of(contract, wire), "Answers")):
        _describe(file.message_type.add(), message)
        rows = FieldDescriptorProto(
            name="rows",
            number=1,
            label=FieldDescriptorProto.LABEL_REPEATED,
            type=FieldDescriptorProto.TYPE_MESSAGE,
            type_name=f".{wire.package}.{message.name}",
            json_name="rows",
        )
        file.message_type.append(DescriptorProto(name=many, field=[rows]))
    service = file.service.add(name="Api")
    for name, takes, gives in (("One", "Request", "Answer"), ("Many", "Requests", "Answers")):
        service.method.add(name=name, input_type=f".{wire.package}.{takes}", output_type=f".{wire.package}.{gives}")
    return file


def _describe(descriptor: DescriptorProto, message: Message) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto

    descriptor.name = message.name
    for number in message.reserved:
        descriptor.reserved_range.add(start=number, end=number + 1)
    descriptor.reserved_name.extend(message.reserved_names)
    for line in message.fields:
        field = descriptor.field.add(
            name=line.name,
            number=line.number,
            label=FieldDescriptorProto.LABEL_OPTIONAL,
            type=FieldDescriptorProto.Type.Value(f"TYPE_{line.kind.upper()}"),
            json_name=line.json,
        )
        if line.optional:
            field.proto3_optional = True
            field.oneof_index = len(descriptor.oneof_decl)
            descriptor.oneof_decl.add(name=_oneof(line.name, message.fields))


def _oneof(name: str, lines: Iterable[MessageField]) -> str:
    """The name of the one-field oneof that stands for presence, as protoc makes it."""
    field_names = {line.name for line in lines}
    oneof = f"_{name}"
    while oneof in field_names:
        oneof = f"X{oneof}"
    return oneof
