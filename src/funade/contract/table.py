"""A table held against a contract, whole columns at a time: what ``RequestSchema.convert`` does row by row."""

from __future__ import annotations

import contextlib
import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funade.contract.arrays import Array
from funade.contract.arrow import raw_numpy
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
            every, values = np.ones(rows, bool), self._default(field).repeat(rows)
            return values, every if field.filled and rows else None, every if field.required else None
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
        chosen = table.select(names)
        rows, reasons = _dicts(chosen.cast(plain(chosen.schema)).take(doubt))
        places = [*rows]
        converted, refused = self._requests.convert(rows.values())
        reasons |= {places[index]: reason for index, reason in refused}
        good = np.array([place not in reasons for place in range(len(doubt))], dtype=bool)
        valid = np.ones(table.num_rows, dtype=bool)
        valid[doubt[~good]] = False
        if converted:
            _put(self._requests.take(converted), columns, masks, doubt[good])
        columns = {name: values[valid] for name, values in columns.items()}
        masks = {name: mask[valid] for name, mask in masks.items() if mask[valid].any()}
        reasoned = [(int(doubt[place]), reasons[place]) for place in sorted(reasons)]
        return CheckedRows(Batch(columns, masks or None), None if valid.all() else valid, reasoned)


def _put(batch: Batch, columns: dict[str, Array], masks: dict[str, Array], places: Array) -> None:
    """Rows that were read one by one take their places."""
    for name, values in batch.columns.items():
        if not columns[name].flags.writeable:
            columns[name] = columns[name].copy()
        columns[name][places] = values
    for name, mask in (batch.defaults or {}).items():
        masks.setdefault(name, np.zeros(len(columns[name]), dtype=bool))[places] = mask


_NO_TIME = "expected a time in the years 1 to 9999, got another"


def _dicts(table: pa.Table) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Row number → row; and row number → reason for those with a time outside Python's years."""
    try:
        return dict(enumerate(table.to_pylist())), {}
    except (OverflowError, ValueError):
        rows: dict[int, dict[str, Any]] = {}
        for place in range(table.num_rows):
            with contextlib.suppress(OverflowError, ValueError):
                (rows[place],) = table.slice(place, 1).to_pylist()
        return rows, {place: _NO_TIME for place in range(table.num_rows) if place not in rows}


def plain(schema: pa.Schema) -> pa.Schema:
    """The columns with text and bytes as plain ones where they are views, of which Arrow cannot take rows."""
    types = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return pa.schema([field.with_type(types.get(field.type, field.type)) for field in schema])


def _one_array(chunked: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(chunked, pa.ChunkedArray):
        chunked = chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()
    return chunked.dictionary_decode() if pa.types.is_dictionary(chunked.type) else chunked


def _missing(array: pa.Array) -> Array | None:
    """Where a value is null or NaN; None where none is."""
    if pa.types.is_floating(array.type):
        return nans(raw_numpy(array))  # null reads as NaN
    if array.null_count == 0:
        return None
    return raw_numpy(array.is_null())


_Values = tuple[Array, Array | None]
"""Values, whatever they are where one is missing, and where they are in doubt (None: nowhere)."""


def _filled(array: pa.Array, value: Any = 0) -> Array:
    return raw_numpy(array.fill_null(value) if array.null_count else array)


def _floats(field: Field, array: pa.Array, zone: ZoneInfo) -> _Values | None:
    types = pa.types
    if not (types.is_integer(array.type) or types.is_float32(array.type) or types.is_float64(array.type)):
        return None
    values = (_filled(array) if types.is_integer(array.type) else raw_numpy(array)).astype(np.float64, copy=False)
    return values, _outside(field, values)


def _ints(field: Field, array: pa.Array, zone: ZoneInfo) -> _Values | None:
    types = pa.types
    if types.is_integer(array.type):
        numbers = _filled(array)
        values = numbers.astype(np.int64, copy=False)
        doubt = numbers > 2**63 - 1 if types.is_uint64(array.type) else None
    elif types.is_float32(array.type) or types.is_float64(array.type):
        numbers = raw_numpy(array).astype(np.float64, copy=False)
        fits = (numbers >= -(2.0**63)) & (numbers < 2.0**63)
        fits &= np.floor(numbers) == numbers
        values, doubt = np.where(fits, numbers, 0.0).astype(np.int64), ~fits
    else:
        return None
    outside = ~np.isin(values, field.values) if field.values else _outside(field, values)
    return values, outside if doubt is None else doubt if outside is None else doubt | outside


def _outside(field: Field, values: Array) -> Array | None:
    """The mask of numbers that break the bounds or are not finite (NaN too); None where all are fine."""
    kind = float if values.dtype.kind == "f" else int
    low, high = (values.min(), values.max()) if len(values) else (kind(0), kind(0))
    bounds = [(keeps, kind(b)) for name, keeps in _BOUNDS.items() if (b := getattr(field, name)) is not None]
    fine = bool(np.isfinite(low) and np.isfinite(high))
    if fine and field.multiple_of is None and all(keeps(low, b) and keeps(high, b) for keeps, b in bounds):
        return None
    right = np.isfinite(values)
    for keeps, bound in bounds:
        right &= keeps(values, bound)
    if field.multiple_of is not None:
        with np.errstate(invalid="ignore"):
            right &= np.fmod(values, kind(field.multiple_of)) == 0
    wrong: Array = ~right
    return wrong


_BOUNDS: dict[str, Callable[[Any, Any], Any]] = {
    "ge": operator.ge, "gt": operator.gt, "le": operator.le, "lt": operator.lt,
}  # fmt: skip


def _bools(field: Field, array: pa.Array, zone: ZoneInfo) -> _Values | None:
    if not pa.types.is_boolean(array.type):
        return None
    return _filled(array, False), None


def _texts(field: Field, array: pa.Array, zone: ZoneInfo) -> _Values | None:
    types = pa.types
    if not any(test(array.type) for test in (types.is_string, types.is_large_string, types.is_string_view)):
        return None
    text = array.cast(pa.string()) if types.is_string_view(array.type) else array
    right = None
    if field.values:
        right = pc.is_in(text, value_set=pa.array(field.values, text.type))
    elif field.pattern is not None or field.min_length is not None or field.max_length is not None:
        right = _measured(field, text)
    return raw_numpy(text), None if right is None else ~_filled(right, True)


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


def _times(field: Field, array: pa.Array, zone: ZoneInfo) -> _Values | None:
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
    values = _filled(moments.cast(pa.int64())).view("datetime64[us]")
    return values, _out_of_years(values, np.datetime64(_FIRST, "us"), np.datetime64(_LAST, "us"))


def _days(field: Field, array: pa.Array, zone: ZoneInfo) -> _Values | None:
    if not pa.types.is_date32(array.type):
        return None
    values = _filled(array.cast(pa.int32())).astype(np.int64).view("datetime64[D]")
    return values, _out_of_years(values, np.datetime64(_FIRST, "D"), np.datetime64(_LAST, "D"))


def _out_of_years(values: Array, first: Any, last: Any) -> Array | None:
    wrong = (values < first) | (values > last)
    return wrong if wrong.any() else None


_READERS: dict[str, Callable[[Field, Any, Any], _Values | None]] = {
    "float": _floats,
    "int": _ints,
    "bool": _bools,
    "str": _texts,
    "datetime": _times,
    "date": _days,
}
