"""What a message must be read as, told once more and slowly: from its bytes, or from the official runtime's message."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

from funade.contract.field import Field
from funade.contract.wire import Wire, numbers
from funade.serve.oip.grpc import CONTENTS
from fuzz.protobuf import FIXED64, LENGTH, VARINT, Broken, Part, parts

Row = dict[str, Any]


class Wrong(Exception):
    """A request that must be refused, in whatever words."""


def decoded(api: Any, rows: Any) -> list[Any]:
    """Rows of values by field as the same JSON is decoded.

    Raises:
        ContractViolation: as over HTTP.
    """
    return list(api.decode(_json(rows).encode())[0])


def _json(value: Any) -> str:
    """JSON in which an infinite number is one out of range."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_json(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return "1e999"
    return json.dumps(value)


# -- typed messages


def row(api: Any, wire: Wire, body: bytes) -> Row:
    """The values of a message of one row.

    Raises:
        Broken: it is no message.
    """
    fields = {number: name for name, number in numbers(api.contract.takes_fields, wire.takes).items()}
    types = {field.name: field for field in api.contract.takes_fields}
    found: dict[int, Any] = {}
    unknown: list[int] = []
    for part in parts(body):
        name = fields.get(part.number)
        if name is None or part.kind != _KINDS[types[name].type]:
            unknown.append(part.number)
        else:
            found[part.number] = _value(part, types[name])
    told: Row = {f.name: None for f in api.contract.takes_fields if f.required and f.nullable}
    told |= {fields[number]: found[number] for number in sorted(found)}
    if api.contract.closed and unknown:
        told[f"number {unknown[0]}"] = None
    return told


_KINDS = {"bool": VARINT, "int": VARINT, "float": FIXED64, "str": LENGTH, "datetime": LENGTH, "date": LENGTH}


def _value(part: Part, field: Field) -> Any:
    if field.type == "bool":
        return part.whole != 0
    if field.type == "int":
        return part.whole - (part.whole >> 63 << 64)
    if field.type == "float":
        return struct.unpack("<d", part.body)[0]
    try:
        return part.body.decode()
    except UnicodeDecodeError:
        raise Broken("no UTF-8") from None


# -- tensors

_LETTERS = {
    "BOOL": "u1", "INT8": "i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
_WHOLE = [name for name in _LETTERS if "INT" in name]
_FLOATS = ["FP16", "FP32", "FP64"]
_TAKEN = {"bool": ["BOOL"], "int": _WHOLE, "float": _WHOLE + _FLOATS}
_MOST = 100_000


def inferred(api: Any, message: Any) -> tuple[list[Row], list[str]]:
    """The rows of a ModelInferRequest, and the names of the outputs that are asked for.

    Raises:
        Wrong: it must be refused.
    """
    names = [output.name for output in message.outputs]
    _need(all(name in _outputs(api) for name in names) and len(set(names)) == len(names))
    for told in (*message.inputs, *message.outputs):
        _need(not {"shared_memory_region", "classification"} & set(told.parameters))
    if "timeout" in message.parameters:
        kind = message.parameters["timeout"].WhichOneof("parameter_choice")
        _need(kind in ("int64_param", "uint64_param") and getattr(message.parameters["timeout"], kind) >= 0)
    return _rows(api, message), names or _outputs(api)


def _outputs(api: Any) -> list[str]:
    found = []
    for field in api.contract.gives_fields:
        found += [field.name, *([f"{field.name}.missing"] if field.nullable and field.type != "float" else [])]
    return found


def _need(truth: object) -> None:
    if not truth:
        raise Wrong


def _rows(api: Any, message: Any) -> list[Row]:
    raws = list(message.raw_input_contents)
    _need(message.inputs and len(raws) in (0, len(message.inputs)))
    fields = {field.name: field for field in api.contract.takes_fields}
    columns: dict[str, list[Any]] = {}
    masks: dict[str, list[Any]] = {}
    shapes = [list(given.shape) for given in message.inputs]
    for shape in shapes:
        _need(shape[1:] in ([], [1]) and shape[:1] == shapes[0][:1] and shape and 1 <= shape[0] <= _MOST)
    for index, given in enumerate(message.inputs):
        name = given.name.removesuffix(".missing") if given.name not in fields else given.name
        _need(name in fields and (name == given.name or fields[name].nullable))
        into = columns if name == given.name else masks
        _need(name not in into)
        kind = fields[name].type if name == given.name else "bool"
        into[name] = _values(given, raws[index] if raws else None, kind, shapes[0][0])
    for name, gone in masks.items():
        before = columns.get(name, [None] * len(gone))
        columns[name] = [None if lost else value for value, lost in zip(before, gone, strict=True)]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _values(given: Any, raw: bytes | None, kind: str, count: int) -> list[Any]:
    datatype = given.datatype
    _need(datatype in _TAKEN.get(kind, ["BYTES"]))
    if raw is not None:
        _need(not given.HasField("contents"))
        found = _unpacked(datatype, raw, count)
    else:
        filled = [field.name for field, _ in given.contents.ListFields()]
        _need(filled == [CONTENTS.get(datatype)])
        found = list(getattr(given.contents, filled[0]))
    _need(len(found) == count)
    if datatype == "BYTES":
        try:
            return [value.decode() for value in found]
        except UnicodeDecodeError:
            raise Wrong from None
    return [_number(value, datatype, kind) for value in found]


def _number(value: Any, datatype: str, kind: str) -> Any:
    if datatype == "BOOL":
        _need(value in (0, 1))
        return bool(value)
    if datatype in _FLOATS:
        _need(not math.isinf(value))
        return None if math.isnan(value) else value  # not a number: missing, as in JSON
    info = np.iinfo(_LETTERS[datatype])
    _need(info.min <= value <= info.max)
    _need(kind != "float" or abs(value) <= 2**53)
    return value


def _unpacked(datatype: str, raw: bytes, count: int) -> list[Any]:
    if datatype != "BYTES":
        _need(len(raw) == count * np.dtype(_LETTERS[datatype]).itemsize)
        found: list[Any] = np.frombuffer(raw, _LETTERS[datatype]).tolist()
        return found
    found = []
    while raw:
        _need(len(raw) >= 4)
        size = struct.unpack("<I", raw[:4])[0]
        _need(len(raw) >= 4 + size)
        found.append(raw[4 : 4 + size])
        raw = raw[4 + size :]
    return found
