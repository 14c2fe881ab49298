"""The types in which a column is kept, and how any column is brought into one of them.

bool, whole and floating numbers, text, bytes, date, time and duration in µs, decimal, ``timestamp[us, UTC]``, and
lists and structs of these. Dictionaries and categories are kept as their plain values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import types

from funade.contract.arrow import MOMENT
from funade.errors import ResultRefused

_PIECE = 1 << 20
"""Rows per piece when text is narrowed to 32-bit offsets: a piece then rarely holds 2 GiB."""


class ColumnPlace(msgspec.Struct, frozen=True):
    """Which column of whose result an error is about."""

    column: str
    place: str
    what: str

    def refusal(self, expected: str, got: str, do: str = "") -> ResultRefused:
        """The error that this column is not as expected."""
        problem = f"{self.what} expected column `{self.column}` {expected}, got {got}"
        return ResultRefused(problem, at=self.place, do=do, column=self.column)


def to_kept(column: pa.ChunkedArray, zone: str, where: ColumnPlace) -> pa.ChunkedArray:
    """The column in its kept type; naive times are wall-clock time of ``zone``, ns are cut to µs.

    Raises:
        ResultRefused: no kept type holds it.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        column = _storage(column, where)
    if types.is_dictionary(column.type) or types.is_run_end_encoded(column.type):
        column = _cast(column, column.type.value_type, where)
    if types.is_timestamp(column.type):
        return _utc(column, zone, where)
    wanted = _type(column.type, where)
    return column if wanted == column.type else _cast(column, wanted, where)


def _storage(column: pa.ChunkedArray, where: ColumnPlace) -> pa.ChunkedArray:
    """The plain values below an extension type, where they mean the same."""
    if getattr(column.type, "extension_name", "") not in ("arrow.json", "arrow.bool8"):
        raise _unkept(column.type, where)
    plain = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    return plain.cast(pa.bool_()) if column.type.extension_name == "arrow.bool8" else plain


def _utc(column: pa.ChunkedArray, zone: str, where: ColumnPlace) -> pa.ChunkedArray:
    safe = column.type.unit != "ns"  # cutting ns to µs is meant, losing years is not
    try:
        if column.type.tz is None:
            naive = column.cast(pa.timestamp("us"), safe=safe)
            return pc.assume_timezone(naive, zone, ambiguous="earliest", nonexistent="earliest").cast(MOMENT)
        return column if column.type == MOMENT else column.cast(MOMENT, safe=safe)
    except pa.ArrowException as error:
        raise where.refusal("with times that microseconds can count", str(error).splitlines()[0]) from error


def _type(kind: pa.DataType, where: ColumnPlace) -> pa.DataType:
    """The kept type that stands for a type."""
    for test, wanted in _REPLACED:
        if test(kind):
            return wanted
    if any(test(kind) for test in _LISTS):
        return pa.list_(_type(kind.value_type, where))
    if types.is_fixed_size_list(kind):
        return pa.list_(_type(kind.value_type, where), kind.list_size)
    if types.is_struct(kind) and kind.num_fields:
        return pa.struct([(field.name, _type(field.type, where)) for field in kind.fields])
    if types.is_timestamp(kind) and kind.tz is not None:
        return MOMENT
    if any(test(kind) for test in _PLAIN):
        return kind
    raise _unkept(kind, where)


def _unkept(kind: pa.DataType, where: ColumnPlace) -> ResultRefused:
    return where.refusal("of a plain type", str(kind), "convert it, for instance to text")


_Test = Callable[[Any], bool]
_REPLACED: tuple[tuple[_Test, pa.DataType], ...] = (
    (types.is_large_string, pa.string()),
    (types.is_string_view, pa.string()),
    (types.is_large_binary, pa.binary()),
    (types.is_binary_view, pa.binary()),
    (types.is_fixed_size_binary, pa.binary()),
    (types.is_date64, pa.date32()),
    (types.is_time, pa.time64("us")),
    (types.is_float16, pa.float32()),
    (types.is_duration, pa.duration("us")),
)
_LISTS: tuple[_Test, ...] = (types.is_list, types.is_large_list, types.is_list_view, types.is_large_list_view)
_PLAIN: tuple[_Test, ...] = (
    types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_binary, types.is_date32,
    types.is_decimal128, types.is_null,
)  # fmt: skip


def _cast(column: pa.ChunkedArray, wanted: pa.DataType, where: ColumnPlace) -> pa.ChunkedArray:
    pieces = [chunk.slice(at, _PIECE) for chunk in column.chunks for at in range(0, len(chunk), _PIECE)]
    safe = not (types.is_duration(wanted) or types.is_time(wanted))
    try:
        return pa.chunked_array([piece.cast(wanted, safe=safe) for piece in pieces], wanted)
    except pa.ArrowException as error:
        raise where.refusal(f"that fits {wanted}", str(error).splitlines()[0]) from error
