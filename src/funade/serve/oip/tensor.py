"""Tensors of the Open Inference Protocol: one column of values, as bytes or as a list.

A tensor has the shape [N] or [N, 1]. ``BYTES`` are texts in UTF-8; each is headed by its length in four bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np

from funade.contract.arrays import Array
from funade.contract.field import EXACT, Field, FieldType
from funade.errors import ContractViolation

_BITS = (8, 16, 32, 64)
_SIGNED = tuple(f"INT{bits}" for bits in _BITS)
_UNSIGNED = tuple(f"UINT{bits}" for bits in _BITS)
_WHOLE = (*_SIGNED, *_UNSIGNED)
_FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
_RANGES = {f"INT{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in _BITS}
_RANGES |= {f"UINT{bits}": (0, 2**bits - 1) for bits in _BITS}
_LETTERS = {
    name: (letter, struct.calcsize(f"<{letter}"))
    for name, letter in zip(("BOOL", *_SIGNED, *_UNSIGNED, *_FLOATS), "BbhiqBHIQefd", strict=True)
}
"""Datatype → its letter in ``struct``, and its bytes."""

DATATYPES = (*_LETTERS, "BYTES")

_TAKEN: dict[FieldType, tuple[str, ...]] = {"bool": ("BOOL",), "int": _WHOLE, "float": (*_FLOATS, *_WHOLE)}
_NAMED: dict[FieldType, str] = {"bool": "BOOL", "int": "INT8 to INT64 or UINT8 to UINT64"}
_NAMED["float"] = f"FP16 to FP64 or {_NAMED['int']}"
_OWN: dict[FieldType, str] = {"bool": "BOOL", "int": "INT64", "float": "FP64"}

MISSING = ".missing"
"""What the name of a BOOL tensor ends in that says which values of another are missing."""


class Tensor(NamedTuple):
    """One tensor as a client sent it: its ``raw`` bytes, else its ``data``; ``path`` points at it in the request."""

    name: str
    datatype: str
    shape: Sequence[int]
    raw: bytes | None
    data: Sequence[Any] | None
    path: str


class TensorColumn(NamedTuple):
    """One tensor as it is answered: numbers or truths as an array, texts as a list; shape [N]."""

    name: str
    datatype: str
    values: Array | list[str]

    def raw(self) -> bytes:
        """The values as bytes, the least first."""
        if not isinstance(self.values, list):
            return self.values.tobytes()
        return b"".join(struct.pack("<I", len(text)) + text for text in (v.encode() for v in self.values))

    def listed(self) -> list[Any]:
        """The values as Python's own."""
        return self.values if isinstance(self.values, list) else self.values.tolist()


def datatype_of(field: Field) -> str:
    """The datatype of a field's tensor; times and dates are texts."""
    return _OWN.get(field.type, "BYTES")


def masked(field: Field) -> bool:
    """Whether a missing value needs a tensor of its own to be told: a float is NaN."""
    return field.nullable and field.type != "float"


def wrong(what: str, path: str) -> ContractViolation:
    """A request that cannot be taken."""
    return ContractViolation(f"request {what}", at=path, path=path)


# -- what a client sent


def length_of(tensor: Tensor) -> int:
    """N, one at least.

    Raises:
        ContractViolation: another shape than [N] or [N, 1].
    """
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[0] < 0 or (len(shape) == 2 and shape[1] != 1):
        what = f"expected shape [N] or [N, 1] for `{short(tensor.name)}`, got {short(shape[:9])}"
        raise wrong(what, f"{tensor.path}.shape")
    if shape[0] == 0:
        raise wrong("expected one row at least, got none", f"{tensor.path}.shape")
    return shape[0]


def values_of(tensor: Tensor, kind: FieldType, count: int) -> list[Any]:
    """The ``count`` values for a field of that type, ready for JSON; None or NaN where one is missing.

    Raises:
        ContractViolation: a datatype that would lose something, other bytes or values than the datatype and the shape
            say, an infinite number, text that is not UTF-8.
    """
    if tensor.datatype not in _TAKEN.get(kind, ("BYTES",)):
        what = f"expected datatype {_NAMED.get(kind, 'BYTES')} for `{tensor.name}`, got {short(tensor.datatype)}"
        raise wrong(what, f"{tensor.path}.datatype")
    if tensor.raw is not None:
        values = _from_raw(tensor, tensor.raw, count)
    else:
        values = _from_data(tensor, _flat(tensor, count))
    if tensor.datatype in ("INT64", "UINT64") and kind == "float":
        _each(tensor, values, lambda v: v is None or abs(v) <= EXACT, f"a whole number up to {EXACT}")
    return values


def _from_raw(tensor: Tensor, raw: bytes, count: int) -> list[Any]:
    if tensor.datatype == "BYTES":
        return _texts(tensor, _pieces(tensor, raw, count))
    letter, size = _LETTERS[tensor.datatype]
    if len(raw) != count * size:
        what = f"expected {count * size} bytes for {count} values of {tensor.datatype}, got {len(raw)}"
        raise wrong(what, tensor.path)
    values = list(struct.unpack(f"<{count}{letter}", raw))
    if tensor.datatype == "BOOL":
        _each(tensor, values, lambda v: v < 2, "a byte 0 or 1")
        return list(map(bool, values))
    return _finite(tensor, values) if tensor.datatype in _FLOATS else values


def _from_data(tensor: Tensor, data: Sequence[Any]) -> list[Any]:
    if tensor.datatype == "BYTES":
        _each(tensor, data, lambda v: v is None or type(v) in (str, bytes), "a text")
        return _texts(tensor, data)
    if tensor.datatype == "BOOL":
        _each(tensor, data, lambda v: v is None or type(v) is bool, "true or false")
        return list(data)
    if tensor.datatype in _RANGES:
        low, high = _RANGES[tensor.datatype]
        _each(tensor, data, lambda v: v is None or (type(v) is int and low <= v <= high), f"an {tensor.datatype}")
        return list(data)
    _each(tensor, data, lambda v: v is None or type(v) in (int, float), "a number")
    try:
        with np.errstate(over="ignore"):
            array = np.array([np.nan if v is None else v for v in data], _FLOATS[tensor.datatype])
    except OverflowError:
        raise wrong(f"expected finite numbers for `{tensor.name}`, got one out of range", tensor.path) from None
    return _finite(tensor, array.tolist())


def _finite(tensor: Tensor, values: list[Any]) -> list[Any]:
    for infinite in (math.inf, -math.inf):
        if infinite in values:
            raise wrong("expected a finite number, got infinity", f"$[{values.index(infinite)}].{tensor.name}")
    return values


def _pieces(tensor: Tensor, raw: bytes, count: int) -> list[bytes]:
    texts: list[bytes] = []
    at, end = 0, len(raw)
    while len(texts) < count and at + 4 <= end:
        size = int.from_bytes(raw[at : at + 4], "little")
        if at + 4 + size > end:
            break
        texts.append(raw[at + 4 : at + 4 + size])
        at += 4 + size
    if len(texts) != count or at != end:
        what = f"expected {count} texts for `{tensor.name}`, each headed by its length in four bytes, got "
        raise wrong(what + (f"{len(texts)} whole ones" if at != end else str(len(texts))), tensor.path)
    return texts


def _texts(tensor: Tensor, values: Sequence[Any]) -> list[Any]:
    texts: list[Any] = []
    for row, value in enumerate(values):
        try:
            texts.append(value.decode() if type(value) is bytes else value)
        except UnicodeDecodeError as error:
            what = f"expected UTF-8, got another encoding (byte {error.start})"
            raise wrong(what, f"$[{row}].{tensor.name}") from None
    return texts


def _flat(tensor: Tensor, count: int) -> Sequence[Any]:
    data = tensor.data
    if data is None:
        raise wrong(f"expected `data` for `{tensor.name}`, got none", tensor.path)
    if len(tensor.shape) == 2 and data and all(type(v) is list and len(v) == 1 for v in data):
        data = [v[0] for v in data]
    if len(data) != count:
        raise wrong(f"expected {count} values for `{tensor.name}`, as its shape says, got {len(data)}", tensor.path)
    return data


def _each(tensor: Tensor, values: Sequence[Any], good: Any, expected: str) -> None:
    for row, value in enumerate(values):
        if not good(value):
            what = f"expected {expected} for `{tensor.name}`, got {short(value)}"
            raise wrong(what, f"$[{row}].{tensor.name}")


def short(value: object) -> str:
    """The beginning of a value in print, on one line."""
    text = value if isinstance(value, str) else repr(value)
    return "".join(c if c.isprintable() else " " for c in text[:60])


# -- what is answered


def columns_of(field: Field, array: Array) -> list[TensorColumn]:
    """An answered column as a tensor, and whether each value is missing as another where that must be told."""
    if field.type == "float":
        floats = np.array([np.nan if v is None else v for v in array.tolist()]) if array.dtype == object else array
        return [TensorColumn(field.name, "FP64", floats.astype("<f8", copy=False))]
    values = array.tolist()
    missing = [v is None or v != v for v in values]
    if any(missing):
        values = [_BLANKS.get(field.type) if absent else v for v, absent in zip(values, missing, strict=True)]
    column = TensorColumn(field.name, datatype_of(field), _encodable(field, values))
    if not masked(field):
        return [column]
    return [column, TensorColumn(field.name + MISSING, "BOOL", np.array(missing, np.bool_))]


_BLANKS: dict[FieldType, Any] = {"bool": False, "int": 0, "str": ""}


def _encodable(field: Field, values: list[Any]) -> Array | list[str]:
    if field.type == "bool":
        return np.array(values, np.bool_)
    if field.type == "int":
        return np.array([int(v) for v in values], "<i8")
    return values if field.type == "str" else _times(values)


def _times(values: list[Any]) -> list[str]:
    """Times as JSON has them, in UTC; "" for none."""
    aware = [v.replace(tzinfo=UTC) if isinstance(v, datetime) else v for v in values]
    return ["" if v is None else v for v in msgspec.to_builtins(aware)]
