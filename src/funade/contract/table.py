"""A table held against a contract, whole columns at a time: what ``RequestSchema.convert`` does row by row."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funade.contract.arrays import Array
from funade.contract.batch import Batch
from funade.contract.columns import column, dtype_of, nans
from funade.contract.defaults import value_of
from funade.contract.field import Field, exact
from funade.contract.request import RequestSchema


class CheckedRows(NamedTuple):
    """A table's rows that keep the contract, as columns, and the refused ones with the reason.

    ``valid``: bool[n], None where every row is. ``refused``: (row, reason) in order.
    """

    batch: Batch
    valid: Array | None
    refused: list[tuple[int, str]]


class ColumnsCheck:
    """Checks tables against the contract of a request.

    Columns are checked whole. Rows that do not pass are then read one by one by ``RequestSchema.convert``, which
    decides and words the reason; so are all rows of a struct with a ``__post_init__`` of its own.

    Args:
        requests: the contract's requests.
    """

    def __init__(self, requests: RequestSchema) -> None:
        self._requests = requests
        self._zone = requests.zone
        self._by_row = getattr(requests.row, "__post_init__", None) is not None
        self._names = [f.name for f in requests.fields]

    def hold(self, table: pa.Table) -> CheckedRows:
        """A table's rows; columns that the contract does not name are left out."""
        rows = table.num_rows
        sure = np.full(rows, not self._by_row)
        columns: dict[str, Array] = {}
        masks: dict[str, Array] = {}
        for field in self._requests.fields:
            columns[field.name], filled, doubt = self._column(field, table, rows)
            if filled is not None:
                masks[field.name] = filled
            if doubt is not None:
                sure &= ~doubt
        if sure.all():
            return CheckedRows(Batch(columns, masks or None), None, [])
        return self._one_by_one(table, columns, masks, np.flatnonzero(~sure))

    def _column(self, field: Field, table: pa.Table, rows: int) -> tuple[Array, Array | None, Array | None]:
        """A field's values, the mask of those that its default filled, and the mask of those to read one by one."""
        if field.name not in table.schema.names:
            values = self._default(field).repeat(rows)
            return values, np.ones(rows, bool) if field.filled and rows else None, _every(rows, field.required)
        array = _one_array(table.column(field.name))
        missing = _missing(array)
        read = _READERS[field.type](exact(field), array, self._zone)
        values, wrong = read if read is not None else (self._blank(field).repeat(rows), np.ones(rows, bool))
        dtype = dtype_of(field)
        values = values.astype(dtype, copy=False)
        if missing is None:
            return values, None, wrong
        if wrong is not None:
            wrong = wrong & ~missing
        if field.required and not field.nullable:
            return values, None, missing if wrong is None else wrong | missing
        values = values.copy()
        stands = field.filled or not field.nullable
        values[missing] = (self._default(field) if stands else column(field, self._zone)([None]))[0]
        return values, missing if field.filled else None, wrong

    def _default(self, field: Field) -> Array:
        """One value: the field's default, for a column that is absent."""
        if field.required:
            return self._blank(field)
        return column(field, self._zone)([None if field.default is None else value_of(field)])

    def _blank(self, field: Field) -> Array:
        return np.zeros(1, dtype=dtype_of(field))

    def _one_by_one(
        self, table: pa.Table, columns: dict[str, Array], masks: dict[str, Array], doubt: Array
    ) -> CheckedRows:
        names = [name for name in self._names if name in table.schema.names]
        dicts, unread = _dicts(takable(table.select(names)).take(doubt))
        converted, refused = self._requests.convert(dicts)
        out = dict(refused) | unread
        good = np.array([place not in out for place in range(len(doubt))], dtype=bool)
        if unread:
            fine = {p for p, _ in refused}
            alive = [p for p in range(len(doubt)) if p not in fine]
            converted = [row for p, row in zip(alive, converted, strict=True) if p not in unread]
        valid = np.ones(table.num_rows, dtype=bool)
        valid[doubt[~good]] = False
        if converted:
            _put(self._requests.take(converted), columns, masks, doubt[good])
        columns = {name: values[valid] for name, values in columns.items()}
        masks = {name: mask[valid] for name, mask in masks.items() if mask[valid].any()}
        reasons = [(int(doubt[place]), out[place]) for place in sorted(out)]
        return CheckedRows(Batch(columns, masks or None), None if valid.all() else valid, reasons)


def _put(batch: Batch, columns: dict[str, Array], masks: dict[str, Array], places: Array) -> None:
    """Rows that were read one by one take their places."""
    for name, values in batch.columns.items():
        if not columns[name].flags.writeable:
            columns[name] = columns[name].copy()
        columns[name][places] = values
    for name, mask in (batch.defaults or {}).items():
        masks.setdefault(name, np.zeros(len(columns[name]), dtype=bool))[places] = mask


_NO_TIME = "expected a time in the years 1 to 9999, got another"


def _dicts(table: pa.Table) -> tuple[list[dict[str, Any]], dict[int, str]]:
    """Rows as dicts, and row → reason for those with a time outside Python's years; these are empty dicts."""
    try:
        return table.to_pylist(), {}
    except (OverflowError, ValueError):
        rows: list[dict[str, Any]] = []
        unread: dict[int, str] = {}
        for place in range(table.num_rows):
            try:
                rows += table.slice(place, 1).to_pylist()
            except (OverflowError, ValueError):
                rows.append({})
                unread[place] = _NO_TIME
        return rows, unread


def takable(table: pa.Table) -> pa.Table:
    """The table with views as plain columns: Arrow cannot take rows of views."""
    return table.cast(plain(table.schema))


def plain(schema: pa.Schema) -> pa.Schema:
    """The columns with text and bytes as plain ones where they are views."""
    types = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return pa.schema([field.with_type(types.get(field.type, field.type)) for field in schema])


def _every(rows: int, value: bool) -> Array | None:
    return np.ones(rows, dtype=bool) if value else None


def _one_array(chunked: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(chunked, pa.ChunkedArray):
        chunked = chunked.chunk(0) if chunked.num_chunks == 1 else pa.concat_arrays(_chunks(chunked))
    return chunked.dictionary_decode() if pa.types.is_dictionary(chunked.type) else chunked


def _chunks(chunked: pa.ChunkedArray) -> list[pa.Array]:
    return list(chunked.chunks) or [pa.array([], chunked.type)]


def _missing(array: pa.Array) -> Array | None:
    """Where a value is null or NaN; None where none is."""
    if pa.types.is_floating(array.type):
        return nans(array.to_numpy(zero_copy_only=False))  # null reads as NaN
    if array.null_count == 0:
        return None
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False))


_Found = tuple["Array", "Array | None"]
"""Values, whatever they are where one is missing, and where they are in doubt (None: nowhere)."""


def _floats(field: Field, array: pa.Array, zone: ZoneInfo) -> _Found | None:
    types = pa.types
    if not (types.is_integer(array.type) or types.is_float32(array.type) or types.is_float64(array.type)):
        return None
    whole = array.fill_null(0) if types.is_integer(array.type) and array.null_count else array
    values = whole.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    return values, _outside(field, values)


def _ints(field: Field, array: pa.Array, zone: ZoneInfo) -> _Found | None:
    types = pa.types
    if types.is_integer(array.type):
        plain = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
        values = plain.astype(np.int64, copy=False)
        doubt = plain > 2**63 - 1 if types.is_uint64(array.type) else None
    elif types.is_float32(array.type) or types.is_float64(array.type):
        plain = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        fits = (plain >= -(2.0**63)) & (plain < 2.0**63)
        fits &= np.floor(plain) == plain
        values, doubt = np.where(fits, plain, 0.0).astype(np.int64), ~fits
    else:
        return None
    outside = ~np.isin(values, field.values) if field.values else _outside(field, values)
    return values, outside if doubt is None else doubt if outside is None else doubt | outside


def _outside(field: Field, values: Array) -> Array | None:
    """The mask of numbers that break the bounds or are not finite (NaN too); None where all are fine."""
    kind = float if values.dtype.kind == "f" else int
    low, high = (values.min(), values.max()) if len(values) else (kind(0), kind(0))
    tests: list[tuple[Any, Callable[[Any], Any]]] = []
    for name, test in _BOUNDS.items():
        if (bound := getattr(field, name)) is not None:
            tests.append((kind(bound), test(kind(bound))))
    fine = bool(np.isfinite(low) and np.isfinite(high))
    if fine and field.multiple_of is None and all(test(low) and test(high) for _, test in tests):
        return None
    right = np.isfinite(values)
    for _, test in tests:
        right &= test(values)
    if field.multiple_of is not None:
        with np.errstate(invalid="ignore"):
            right &= np.fmod(values, kind(field.multiple_of)) == 0
    wrong: Array = ~right
    return wrong


_BOUNDS: dict[str, Callable[[Any], Callable[[Any], Any]]] = {
    "ge": lambda bound: lambda v: v >= bound,
    "gt": lambda bound: lambda v: v > bound,
    "le": lambda bound: lambda v: v <= bound,
    "lt": lambda bound: lambda v: v < bound,
}


def _bools(field: Field, array: pa.Array, zone: ZoneInfo) -> _Found | None:
    if not pa.types.is_boolean(array.type):
        return None
    return (array.fill_null(False) if array.null_count else array).to_numpy(zero_copy_only=False), None


def _texts(field: Field, array: pa.Array, zone: ZoneInfo) -> _Found | None:
    types = pa.types
    if not any(test(array.type) for test in (types.is_string, types.is_large_string, types.is_string_view)):
        return None
    text = array.cast(pa.string()) if types.is_string_view(array.type) else array
    right = None
    if field.values:
        right = pc.is_in(text, value_set=pa.array(field.values, text.type))
    elif field.pattern is not None or field.min_length is not None or field.max_length is not None:
        right = _measured(field, text)
    values = text.to_numpy(zero_copy_only=False)
    return values, None if right is None else ~right.fill_null(True).to_numpy(zero_copy_only=False)


def _measured(field: Field, text: pa.Array) -> Any:
    """Which texts have the length and match the pattern that the field asks for; each distinct text is matched once."""
    length = pc.utf8_length(text)
    right = pc.greater_equal(length, field.min_length or 0)
    if field.max_length is not None:
        right = pc.and_(right, pc.less_equal(length, field.max_length))
    if field.pattern is not None:
        matches = re.compile(field.pattern).search
        distinct = text.dictionary_encode()
        fits = pa.array([matches(word) is not None for word in distinct.dictionary.to_pylist()], pa.bool_())
        right = pc.and_(right, fits.take(distinct.indices))
    return right


_FIRST, _LAST = "0002-01-01", "9998-12-31"


def _times(field: Field, array: pa.Array, zone: ZoneInfo) -> _Found | None:
    if not pa.types.is_timestamp(array.type) or array.type.unit == "ns":
        return None
    aware = array.type.tz is not None
    if field.tz is not None and field.tz is not aware:
        return None
    try:
        moments = array.cast(pa.timestamp("us", tz=array.type.tz))
        if not aware:
            moments = pc.assume_timezone(moments, zone.key, ambiguous="earliest", nonexistent="raise")
    except pa.ArrowException:
        return None
    plain = moments.cast(pa.int64())
    values = (plain.fill_null(0) if plain.null_count else plain).to_numpy(zero_copy_only=False).view("datetime64[us]")
    return values, _out_of_years(values, np.datetime64(_FIRST, "us"), np.datetime64(_LAST, "us"))


def _days(field: Field, array: pa.Array, zone: ZoneInfo) -> _Found | None:
    if not pa.types.is_date32(array.type):
        return None
    plain = array.cast(pa.int32())
    days = (plain.fill_null(0) if plain.null_count else plain).to_numpy(zero_copy_only=False)
    values = days.astype(np.int64).view("datetime64[D]")
    return values, _out_of_years(values, np.datetime64(_FIRST, "D"), np.datetime64(_LAST, "D"))


def _out_of_years(values: Array, first: Any, last: Any) -> Array | None:
    wrong = (values < first) | (values > last)
    return wrong if wrong.any() else None


_READERS: dict[str, Callable[[Field, Any, Any], _Found | None]] = {
    "float": _floats,
    "int": _ints,
    "bool": _bools,
    "str": _texts,
    "datetime": _times,
    "date": _days,
}
