"""Columns as Arrow arrays and back: the one place where values pass between NumPy and Arrow.

It imports Arrow, so modules that a serving worker loads import it where they need it. What checks a table against a
contract reads Arrow by itself (``contract.table``): it must know of each value whether it was right.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import types

from funade.contract.arrays import Array, as_objects
from funade.contract.columns import nans
from funade.contract.form import Form

MOMENT = pa.timestamp("us", tz="UTC")

TYPES: Mapping[str, pa.DataType] = MappingProxyType({
    "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "str": pa.string(), "datetime": MOMENT,
    "date": pa.date32(),
})  # fmt: skip
"""Type of a contract's field → type of its column in a table."""


def to_arrow(array: Array, field_type: str = "") -> pa.Array:
    """A column as an Arrow array; NaN, NaT and None are null.

    Times are UTC. Numbers keep their type, but for whole numbers that lie in floats because some are missing: these are
    ``int64`` where ``field_type`` is "int". Objects are of the field's type where it is "str" or "bool", else of the
    type that Arrow finds for them, and that is null where all are None.

    Raises:
        pa.ArrowException: objects of which Arrow makes no one type.
    """
    if array.dtype.kind == "M":
        day = np.datetime_data(array.dtype)[0] == "D"
        return pa.array(array, pa.date32()) if day else pa.array(array.astype("datetime64[us]", copy=False), MOMENT)
    if array.dtype.kind == "O":
        return pa.array(array, TYPES[field_type] if field_type in ("str", "bool") else None)
    missing = array.dtype.kind == "f" and nans(array) is not None
    numbers = pa.array(array, from_pandas=missing)
    return numbers.cast(pa.int64()) if field_type == "int" else numbers


def to_table(frame: Any, form: Form) -> pa.Table | None:
    """The rows of a frame of polars, Arrow or DuckDB; None where it is of another form. A reader is read to its end."""
    match form:
        case "arrow":
            return frame
        case "polars":
            return frame.to_arrow()
        case "lazy":
            return frame.collect().to_arrow()
        case "batch":
            return pa.Table.from_batches([frame])
        case "reader":
            return frame.read_all()
        case "relation":
            return frame.to_arrow_table()
    return None


def to_numpy(column: pa.Array | pa.ChunkedArray) -> Array:
    """An Arrow column as a column of ``contract.arrays``; it may share Arrow's memory and be read-only.

    ``float64`` (null is NaN; also whole numbers of which one is null), ``int64``, ``uint64``, ``bool_``,
    ``datetime64[us]`` (UTC, or as the clock shows where the type has no zone; nanoseconds are cut), ``datetime64[D]``,
    else ``object`` with None for null.
    """
    kind, complete = column.type, column.null_count == 0
    if types.is_timestamp(kind):
        return raw_numpy(column).astype("datetime64[us]", copy=False)
    if types.is_date(kind):
        return raw_numpy(column).astype("datetime64[D]", copy=False)
    if types.is_string(kind) or (types.is_boolean(kind) and complete):
        return raw_numpy(column)
    if types.is_floating(kind) or (types.is_integer(kind) and not complete):
        return raw_numpy(column).astype(np.float64, copy=False)
    if types.is_integer(kind):
        return raw_numpy(column).astype(np.uint64 if types.is_uint64(kind) else np.int64, copy=False)
    return as_objects(column.to_pylist())


def raw_numpy(column: pa.Array | pa.ChunkedArray) -> Array:
    """The column as Arrow itself makes NumPy of it."""
    array: Array = column.to_numpy(zero_copy_only=False)
    return array
