"""How columns are read from the rows of a request, each a tuple of its struct's values in order."""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import starmap
from operator import itemgetter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from funade.contract.arrays import DTYPES, Array, as_objects
from funade.contract.batch import PackedFields
from funade.contract.field import Field, floats

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAT = -(2**63)

Values = Sequence[tuple[Any, ...]]
"""A tuple a row: one is made in a quarter of the time that reading its twenty attributes by name takes."""

Read = Callable[[Values], Iterable[Any]]
Pack = Callable[[Values], PackedFields]


class Layout(NamedTuple):
    """How rows are read: groups of fields that are packed, and the columns of the others by their names."""

    packs: list[Pack]
    reads: list[tuple[tuple[str, ...], Read]]


def layout(fields: Iterable[Field], places: Mapping[str, int], zone: ZoneInfo) -> Layout:
    """How columns are read from rows: fields of one number type together, in one pass.

    ``places``: field → its place in a row.
    """
    groups: dict[tuple[str, bool], list[str]] = {}
    single: list[tuple[tuple[str, ...], Read]] = []
    for field in fields:
        dtype = dtype_of(field)
        if dtype in ("float64", "int64", "bool") and not field.values:
            groups.setdefault((dtype, field.nullable), []).append(field.name)
        else:
            single.append(((field.name,), _alone(field, places[field.name], zone)))
    quick = {key for key in groups if key[0] in _FORMATS and not key[1]}
    packs = [_packing(names, places, key[0]) for key, names in groups.items() if key in quick]
    read = [((*names,), together(names, places, key[0])) for key, names in groups.items() if key not in quick]
    return Layout(packs, read + single)


def dtype_of(field: Field) -> str:
    """The NumPy type of a field's column. A field with a declared default counts as never missing."""
    if floats(field):
        return "float64"
    if field.nullable and not field.filled and field.type == "bool":
        return "object"
    return DTYPES[field.type]


_FORMATS = {"float64": "d", "int64": "q"}


def _packing(names: Sequence[str], places: Mapping[str, int], dtype: str) -> Pack:
    """Like ``together``, for numbers of which none is missing, in less than half the time (20 fields, 64 rows)."""
    pick, named, kind = _picking(names, places), (*names,), np.dtype(dtype).str
    row = struct.Struct(f"={len(names)}{_FORMATS[dtype]}").pack

    def pack(rows: Values) -> PackedFields:
        return PackedFields(named, kind, b"".join(starmap(row, map(pick, rows))))

    return pack


def together(names: Sequence[str], places: Mapping[str, int], dtype: str) -> Read:
    """A function that reads fields of one number type from rows, as an array of (fields, rows); None reads as NaN."""
    pick, count = _picking(names, places), len(names)

    def read(rows: Values) -> Iterable[Any]:
        table = np.array(list(map(pick, rows)), dtype=dtype)
        return np.ascontiguousarray(table.reshape(len(rows), count).T)

    return read


def _picking(names: Sequence[str], places: Mapping[str, int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """What takes the values of some fields, one at least, from a row; neighbours are a slice, which costs least."""
    chosen = [places[name] for name in names]
    neighbours = range(chosen[0], chosen[0] + len(chosen))
    return itemgetter(slice(neighbours.start, neighbours.stop)) if chosen == [*neighbours] else itemgetter(*chosen)


def _alone(field: Field, place: int, zone: ZoneInfo) -> Read:
    get, made = itemgetter(place), column(field, zone)

    def read(rows: Values) -> Iterable[Any]:
        return (made(list(map(get, rows))),)

    return read


def column(field: Field, zone: ZoneInfo) -> Callable[[list[Any]], Array]:
    """A function that makes a field's column from the values that decoded requests hold."""
    dtype = dtype_of(field)

    def made(values: list[Any]) -> Array:
        if field.values:
            values = [v.value if isinstance(v, enum.Enum) else v for v in values]
        if field.type == "datetime":
            return np.array([_microseconds(v, zone) for v in values], dtype="int64").view(dtype)
        if dtype != "object":
            return np.array(values, dtype=dtype)
        return as_objects(values)

    return made


def _microseconds(moment: datetime | None, zone: ZoneInfo) -> int:
    if moment is None:
        return _NAT
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // _MICROSECOND


def nans(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """The mask of NaN among floats; None where there is none."""
    # A sum is NaN where one value is, or infinities of both signs are: cheaper than a mask of a column without.
    with np.errstate(invalid="ignore", over="ignore"):
        total = values.sum()
    if total == total:
        return None
    mask = np.isnan(values)
    return mask if mask.any() else None
