"""Declared defaults: what stands for a request's missing values, and where it did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from funade.contract.arrays import Array, Columns, Masks
from funade.contract.batch import Batch
from funade.contract.columns import column, dtype_of, together
from funade.contract.field import Field


class Defaults:
    """The defaults that a request's fields declare, one at least; ``zone`` is that of times without an offset."""

    def __init__(self, fields: Sequence[Field], zone: ZoneInfo) -> None:
        self._fields = [f for f in fields if f.filled]
        self._values = {f.name: value_of(f) for f in self._fields}
        self._columns = {f.name: column(f, zone) for f in self._fields}
        self._names = tuple(f.name for f in fields)
        self._floats = tuple(f.name for f in self._fields if f.type == "float")
        self._read = together(self._floats, "float64") if self._floats else None
        self._others = tuple((f.name, attrgetter(f.name)) for f in self._fields if f.type != "float")

    def read(self, rows: Sequence[Any], columns: Columns) -> Masks | None:
        """Add to ``columns`` those fields of the rows that have a default; returns where the default was filled in."""
        masks: Masks = {}
        if self._read is not None:
            self._read_floats(rows, columns, masks)
        for name, get in self._others:
            values = [get(row) for row in rows]
            if None in values:
                masks[name] = np.array([v is None for v in values], dtype=np.bool_)
                values = [self._values[name] if v is None else v for v in values]
            columns[name] = self._columns[name](values)
        return masks or None

    def _read_floats(self, rows: Sequence[Any], columns: Columns, masks: Masks) -> None:
        assert self._read is not None
        table: Any = self._read(rows)
        columns.update(zip(self._floats, table, strict=True))
        missing = np.isnan(table)
        if missing.any():
            for name, values, mask in zip(self._floats, table, missing, strict=True):
                if mask.any():
                    values[mask] = self._values[name]
                    masks[name] = mask

    def fill(self, columns: Columns, rows: int) -> Batch:
        """Fill defaults into columns of ``rows`` values each; an absent column counts as missing in every row."""
        filled, masks = dict(columns), {}
        for field in self._fields:
            array = columns.get(field.name)
            mask = np.ones(rows, dtype=np.bool_) if array is None else _missing(array)
            if array is not None and not mask.any():
                filled[field.name] = array if array.dtype == object else array.astype(dtype_of(field), copy=False)
            elif rows:
                masks[field.name] = mask
                filled[field.name] = self._filled(field, array, mask)
            else:
                filled[field.name] = np.empty(0, dtype=dtype_of(field))
        ordered = {name: filled.pop(name) for name in self._names if name in filled}
        return Batch(ordered | filled, masks or None)

    def _filled(self, field: Field, array: Array | None, mask: Array) -> Array:
        """A copy of the array with the default where the mask is true; of the type that the field's column has."""
        filled = self._columns[field.name]([self._values[field.name]]).repeat(len(mask))
        if array is not None:
            filled[~mask] = array[~mask]
        return filled


def value_of(field: Field) -> Any:
    """A field's default as a decoded request would hold it: text of a time becomes a time."""
    if field.type == "datetime":
        return datetime.fromisoformat(field.default)
    return date.fromisoformat(field.default) if field.type == "date" else field.default


def _missing(array: Array) -> Array:
    """Where a column has no value: None, NaN or NaT."""
    if array.dtype.kind == "f":
        return np.isnan(array)
    if array.dtype.kind == "M":
        return np.isnat(array)
    if array.dtype.kind == "O":
        return np.array([v is None or v != v for v in array.tolist()], dtype=np.bool_)
    return np.zeros(len(array), dtype=np.bool_)
