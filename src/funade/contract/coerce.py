"""An answer's column in its canonical type, with the rows whose values break the contract."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np

from funade.contract.arrays import DTYPES, Array, is_missing
from funade.contract.field import EXACT, Field, admits, greatest, least, limits
from funade.contract.outcome import ERROR, NAN, Fault

Coerced = tuple[Array, dict[int, Fault]]
"""A column in its canonical type, and row → what is wrong with its value."""


class CoercedField:
    """A field and its limits: numbers lie in [low, high]; ``plain`` is True where that is all that is asked of them."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.nullable = field.nullable
        self.low, self.high = _inside(field)
        self.plain = not (field.values or field.multiple_of)
        self.limited = bool(limits(field))


Coercion = Callable[[CoercedField, Array], Coerced | None]
"""Brings a column into its canonical type; None where the column is of another type altogether."""


def _coerce_float(target: CoercedField, array: Array) -> Coerced | None:
    if array.dtype.kind == "O":
        array = _numbers(array)
    if array.dtype.kind in "iu":
        if array.size and max(abs(int(array.min())), abs(int(array.max()))) > EXACT:
            return None
    elif array.dtype.kind != "f":
        return None
    array = array.astype(np.float64, copy=False)
    return array, _number_faults(target, array)


def _coerce_int(target: CoercedField, array: Array) -> Coerced | None:
    original, array = array, _numbers(array) if array.dtype.kind == "O" else array
    if array.dtype.kind == "f":
        present = array[np.isfinite(array)]
        if not (np.trunc(present) == present).all() or (np.abs(present) > EXACT).any():
            return None
        if original is not array and any(not is_missing(v) and abs(v) > EXACT for v in original.tolist()):
            return None  # 2**53 + 1 became 2**53
        faults = _number_faults(target, array)
        if len(present) < len(array) and target.nullable:
            return np.where(np.isinf(array), np.nan, array), faults
        return np.nan_to_num(array, posinf=0, neginf=0).astype(np.int64), faults
    if array.dtype.kind not in "iu" or (array.dtype == np.uint64 and array.size and array.max() > 2**63 - 1):
        return None
    array = array.astype(np.int64, copy=False)
    return array, _number_faults(target, array)


def _coerce_bool(target: CoercedField, array: Array) -> Coerced | None:
    if array.dtype.kind == "b":
        return array, {}
    if array.dtype.kind in "iu":
        return (array.astype(np.bool_), {}) if ((array == 0) | (array == 1)).all() else None
    if array.dtype.kind != "O":
        return None
    return _coerce_objects(target, array, lambda v: v if isinstance(v, (bool, np.bool_)) else _REFUSED, np.bool_)


def _coerce_str(target: CoercedField, array: Array) -> Coerced | None:
    if array.dtype.kind not in "OU":
        return None

    def keep(value: Any) -> Any:
        if not isinstance(value, str):
            return _REFUSED
        try:
            value.encode()
        except UnicodeEncodeError:
            return _REFUSED
        return _OUTSIDE if target.limited and not admits(target.field, value) else str(value)

    return _coerce_objects(target, array.astype(object, copy=False), keep, None)


_DAYS = (date.min.toordinal() - date(1970, 1, 1).toordinal(), date.max.toordinal() - date(1970, 1, 1).toordinal())
_YEARS = {
    "datetime64[D]": _DAYS,
    "datetime64[us]": (_DAYS[0] * 86_400_000_000, (_DAYS[1] + 1) * 86_400_000_000 - 1),
}
"""The years 1 to 9999, which Python's own times have, in the type's units since 1970; both ends included."""


def _coerce_time(target: CoercedField, array: Array) -> Coerced | None:
    dtype = DTYPES[target.field.type]
    if array.dtype.kind == "O" and all(is_missing(v) for v in array.tolist()):
        array = np.full(len(array), "NaT", dtype=dtype)
    if array.dtype.kind != "M":
        return None
    times = array.astype(dtype, copy=False)
    if dtype == "datetime64[D]" and not (np.isnat(array) | (times == array)).all():
        return None
    count, first, last = times.view(np.int64), *_YEARS[dtype]
    if not count.size or (first <= np.minimum.reduce(count) and np.maximum.reduce(count) <= last):
        return times, {}  # NaT is the least number and takes the long way
    missing = np.isnat(times)
    faults = {} if target.nullable else _all(missing, Fault(ERROR, "missing, expected a time"))
    out = ~missing & ((count < first) | (count > last))
    return times, faults | _all(out, Fault(ERROR, "outside the years 1 to 9999"))


def _all(rows: Array, fault: Fault) -> dict[int, Fault]:
    return dict.fromkeys(np.flatnonzero(rows).tolist(), fault)


COERCIONS: dict[str, Coercion] = {
    "bool": _coerce_bool,
    "int": _coerce_int,
    "float": _coerce_float,
    "str": _coerce_str,
    "datetime": _coerce_time,
    "date": _coerce_time,
}

_REFUSED, _OUTSIDE = object(), object()


def _coerce_objects(target: CoercedField, array: Array, keep: Callable[[Any], Any], dtype: Any) -> Coerced:
    """The column made of ``keep(value)`` for each value; it gets ``dtype`` where no value is missing or refused."""
    faults: dict[int, Fault] = {}
    coerced = np.empty(len(array), dtype=object)
    for row, value in enumerate(array.tolist()):
        if is_missing(value):
            if not target.nullable:
                faults[row] = Fault(ERROR, f"missing, expected {_expected(target.field)}")
            continue
        result = keep(value)
        if result is _REFUSED or result is _OUTSIDE:
            faults[row] = Fault(ERROR, f"{value!r}, expected {_expected(target.field)}")
            continue
        coerced[row] = result
    if dtype is not None and not faults and not any(v is None for v in coerced.tolist()):
        coerced = coerced.astype(dtype)
    return coerced, faults


def _numbers(array: Array) -> Array:
    """A column of objects as int64 or float64 where each is a number or missing; else the same column."""
    values = array.tolist()
    kinds = {type(v) for v in values if not is_missing(v)}
    if kinds == {int}:
        complete = not any(is_missing(v) for v in values)
        try:
            return array.astype(np.int64) if complete else np.array([_nan(v) for v in values], dtype=np.float64)
        except OverflowError:
            return array
    if all(issubclass(k, (int, float, np.number)) and k is not bool for k in kinds):
        return np.array([_nan(v) for v in values], dtype=np.float64)
    return array


def _nan(value: Any) -> Any:
    return math.nan if is_missing(value) else value


def _number_faults(target: CoercedField, array: Array) -> dict[int, Fault]:
    """Rows whose number is missing where it must not be, infinite, or outside the field's limits."""
    if not array.size:
        return {}
    field, low, high = target.field, target.low, target.high
    if target.plain and low <= np.minimum.reduce(array) and np.maximum.reduce(array) <= high:
        return {}  # NaN compares false and takes the long way
    missing = np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), dtype=np.bool_)
    fine = (array >= low) & (array <= high)
    if not target.plain:
        fine &= np.array([v == v and admits(field, v) for v in array.tolist()], dtype=np.bool_)
    bad = ~fine & ~missing if target.nullable else ~fine
    numbers = {int(row): array[row].item() for row in np.flatnonzero(bad)}
    codes = {row: ERROR if math.isfinite(value) else NAN for row, value in numbers.items()}
    return {row: Fault(codes[row], f"{value!r}, expected {_expected(field)}") for row, value in numbers.items()}


def _inside(field: Field) -> tuple[float, float]:
    """The least and greatest number the field takes, both included."""
    (low, excludes_low), (high, excludes_high) = least(field), greatest(field)
    if field.type == "int":
        return max(low, -(2**63)), min(high, 2**63 - 1)
    low = math.nextafter(low, math.inf) if excludes_low else max(low, -sys.float_info.max)
    return low, math.nextafter(high, -math.inf) if excludes_high else min(high, sys.float_info.max)


def _expected(field: Field) -> str:
    kind = "a finite number" if field.type == "float" else field.type
    texts = limits(field)
    return " ".join([kind, " and ".join(texts)]) if texts else kind
