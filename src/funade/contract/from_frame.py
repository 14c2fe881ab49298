"""What a user's function returned for a batch, as columns."""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from funade.contract.arrays import Array, Columns, as_objects, is_missing
from funade.contract.form import Form, form_of_value
from funade.errors import AnswerError

_UTC = ZoneInfo("UTC")


def from_frame(
    result: Any,
    *,
    form: Form,
    rows: int,
    wanted: Sequence[str] | None = None,
    api: str = "",
    zone: ZoneInfo = _UTC,
) -> Columns:
    """What a user's function returned as columns of ``rows`` values each.

    A time without an offset is read in ``zone``, in a dict of NumPy arrays in UTC. Only the columns in ``wanted`` are
    taken and each must be there; without it every column is, for ``AnswerSchema.check`` to judge.

    Raises:
        AnswerError: no frame, another number of rows, an index that is not the batch's, one column twice.
    """
    who = f"api `{api}`" if api else "the api"
    columns = _read(result, who, rows, form, zone, wanted)
    absent = [name for name in wanted or () if name not in columns]
    if absent:
        raise AnswerError(f"{who} expected column `{absent[0]}`, got {', '.join(map(str, columns)) or 'none'}")
    for name, array in columns.items():
        if array.ndim != 1:
            raise AnswerError(f"{who} answered `{name}` with shape {array.shape}, expected one value a row")
        if len(array) != rows:
            raise _wrong_rows(who, len(array), rows)
    return columns


def _wrong_rows(who: str, got: int, rows: int) -> AnswerError:
    return AnswerError(
        f"{who} answered {got} rows, expected {rows}", do="return one answer per row, in the batch's order"
    )


def _read(result: Any, who: str, rows: int, form: Form, zone: ZoneInfo, wanted: Collection[str] | None) -> Columns:
    got = form_of_value(result)
    if got == "columns":
        chosen = {str(n): np.asarray(v) for n, v in result.items() if wanted is None or n in wanted}
        return {name: _array(values, _UTC) for name, values in chosen.items()}
    if got == "pandas":
        _refuse_index(result.index, rows, who)
        columns = list(result.columns)
        _refuse_repeats(columns, who)
        return {str(n): _series(result[n], zone) for n in columns if wanted is None or n in wanted}
    from funade.contract.arrow import to_table

    table = to_table(result, got)
    if table is None:
        raise _no_frame(result, who, form)
    _refuse_repeats(table.column_names, who)
    if table.num_rows != rows:
        raise _wrong_rows(who, table.num_rows, rows)
    names = [n for n in table.column_names if wanted is None or n in wanted]
    return {name: _arrow_values(table.column(name), zone) for name in names}


def _no_frame(result: Any, who: str, form: str) -> AnswerError:
    expected = {"": "a frame", "columns": "a dict of NumPy arrays"}.get(form, f"a {form} frame")
    got = "None" if result is None else type(result).__name__
    return AnswerError(f"{who} answered {got}, expected {expected}", do="return one column per field")


def _refuse_repeats(columns: Iterable[Any], who: str) -> None:
    seen: set[Any] = set()
    for name in columns:
        if name in seen:
            raise AnswerError(f"{who} answered column `{name}` twice, expected each once", do="drop or rename one")
        seen.add(name)


def _refuse_index(index: Any, rows: int, who: str) -> None:
    """Answers align by position, so their index must say so too."""
    if len(index) != rows:
        raise _wrong_rows(who, len(index), rows)
    if type(index).__name__ == "RangeIndex" and index.start == 0 and index.step == 1:
        return
    labels = index.tolist()
    if labels == list(range(rows)):
        return
    expected = f"0 to {rows - 1} in order"
    try:
        permuted = sorted(labels) == list(range(rows))
    except TypeError:
        permuted = False
    row = next(i for i, label in enumerate(labels) if label != i)
    if permuted:
        raise AnswerError(
            f"{who} answered a permuted index (row {row} is labelled {labels[row]}), expected {expected}",
            do="answers align by position: return them in the batch's order",
        )
    raise AnswerError(
        f"{who} answered another index (row {row} is labelled {labels[row]!r}), expected {expected}",
        do="answers align by position: keep the batch's index, or reset_index(drop=True)",
    )


def _series(series: Any, zone: ZoneInfo) -> Array:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return _array(series.to_numpy(), zone)
    if getattr(dtype, "tz", None) is not None:
        return _array(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), _UTC)
    return _array(series.to_numpy(dtype=object), zone)


def _arrow_values(column: Any, zone: ZoneInfo) -> Array:
    from pyarrow import float64, types

    from funade.contract.arrow import to_numpy

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_decimal(column.type):
        column = column.cast(float64())
    known = _UTC if types.is_timestamp(column.type) and column.type.tz else zone
    return _array(to_numpy(column), known)


def _array(values: Array, zone: ZoneInfo) -> Array:
    """An array brought into one of the types that columns have; unchanged where none fits."""
    kind = values.dtype.kind
    if kind == "f":
        return values.astype(np.float64, copy=False)
    if kind in "iu" and values.dtype != np.uint64:
        return values.astype(np.int64, copy=False)
    if kind in "UT":
        return values.astype(object)
    if kind == "M" and np.datetime_data(values.dtype)[0] != "D":
        return _utc(values.astype("datetime64[us]", copy=False), zone)
    return _guessed(values, zone) if kind == "O" and values.ndim == 1 else values


def _utc(values: Array, zone: ZoneInfo) -> Array:
    """Times without an offset, read in ``zone``, as UTC."""
    if zone.key == "UTC":
        return values
    moments = [_moved(v, zone) if isinstance(v, datetime) else v for v in values.tolist()]
    return np.array(moments, dtype="datetime64[us]")


def _moved(moment: datetime, zone: ZoneInfo) -> datetime:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return aware.astimezone(UTC).replace(tzinfo=None)


def _guessed(values: Array, zone: ZoneInfo) -> Array:
    """Objects that are all times or all dates as such; other objects with None for every kind of missing."""
    listed = [None if is_missing(v) else v for v in values.tolist()]
    present = [v for v in listed if v is not None]
    if present and all(isinstance(v, datetime) for v in present):
        return np.array([None if v is None else _moved(v, zone) for v in listed], dtype="datetime64[us]")
    if present and all(isinstance(v, date) and not isinstance(v, datetime) for v in present):
        return np.array(listed, dtype="datetime64[D]")
    if present and len(present) == len(listed) and all(type(v) is bool for v in present):
        return np.array(listed, dtype=np.bool_)
    return as_objects([v.value if isinstance(v, enum.Enum) else v for v in listed])
