"""Answers under a contract: columns held against the struct an api gives, then written as JSON."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from funade.declare.breaks import admits, limits
from funade.declare.field import Contract, Field
from funade.errors import AnswerError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Columns = dict[str, Array]

_EXACT = 2**53
"""Whole numbers up to here are kept by a float."""


class Answers:
    """Answers of one struct (or of a contract's), prepared once.

    Args:
        gives: the struct of one answer, or the contract that holds its fields.
    """

    def __init__(self, gives: type[msgspec.Struct] | Contract) -> None:
        self.fields = gives.gives_fields if isinstance(gives, Contract) else _fields(gives)
        self._settlers = tuple((_Target(f), _SETTLERS[f.type]) for f in self.fields)
        self._names = frozenset(f.name for f in self.fields)
        self._row = msgspec.defstruct("Answer", [(f.name, Any) for f in self.fields])
        self._encode = msgspec.json.Encoder().encode

    def check(self, columns: Columns, rows: int, *, api: str = "") -> Columns:
        """The columns in the contract's order and types.

        Raises:
            AnswerError: as ``judge``, and for the first row whose value breaks the contract.
        """
        settled, bad = self.judge(columns, rows, api=api)
        if bad:
            row = min(bad)
            raise AnswerError(f"{_who(api)} answered row {row} with {bad[row]}", do=_REMEDY, rows=tuple(sorted(bad)))
        return settled

    def judge(self, columns: Columns, rows: int, *, api: str = "") -> tuple[Columns, dict[int, str]]:
        """The columns in the contract's order and types, and the rows whose values break it: row → what is wrong.

        A field with a default may be left out. Numbers, bools and dates change their type only where nothing is lost.
        In a row that is named, the values are of no meaning.

        Raises:
            AnswerError: another number of rows, a missing or extra column, a column of another type.
        """
        extra = [name for name in columns if name not in self._names]
        if extra:
            fields = ", ".join(f.name for f in self.fields)
            raise AnswerError(
                f"{_who(api)} answered an extra column `{extra[0]}`, expected {fields}", do="leave it out"
            )
        settled: Columns = {}
        bad: dict[int, str] = {}
        for target, settle in self._settlers:
            field = target.field
            array = _given(field, columns, rows, api)
            if array.ndim != 1 or len(array) != rows:
                raise _wrong_length(api, field.name, array, rows)
            found = settle(target, array)
            if found is None:
                kind = array.dtype if array.dtype != object else _kinds(array)
                raise AnswerError(
                    f"{_who(api)} answered `{field.name}` as {kind}, expected {field.type}", do="convert the column"
                )
            settled[field.name], faults = found
            for row, text in faults.items():
                bad.setdefault(row, f"`{field.name}` {text}")
        return settled, bad

    def empty(self) -> Columns:
        """The answers for no rows."""
        import numpy as np

        return {f.name: np.empty(0, dtype=_DTYPES[f.type]) for f in self.fields}

    def rows(self, columns: Columns) -> list[dict[str, Any]]:
        """The answers as a client reads them: JSON values, times as ISO text in UTC."""
        count = len(next(iter(columns.values())))
        found: list[dict[str, Any]] = msgspec.json.decode(self.encode(columns, 0, count, single=False))
        return found

    def encode(self, columns: Columns, start: int, stop: int, *, single: bool) -> bytes:
        """Rows [start, stop) of checked columns as JSON: one object if ``single``, else an array.

        Floats are written so that reading gives the same bits; missing values are null; times end in ``Z``.
        """
        lists = [_plain(columns[f.name][start:stop], f) for f in self.fields]
        found = list(map(self._row, *lists))
        return self._encode(found[0] if single else found)


_REMEDY = "mend the function, or say in the contract that such a value may be answered"

_DTYPES = {
    "bool": "bool", "int": "int64", "float": "float64", "str": "object",
    "datetime": "datetime64[us]", "date": "datetime64[D]",
}  # fmt: skip


def _fields(gives: type[msgspec.Struct]) -> tuple[Field, ...]:
    from funade.declare.contract import fields_of

    return fields_of(gives, place=gives.__module__)


def _who(api: str) -> str:
    return f"api `{api}`" if api else "the api"


def _wrong_length(api: str, name: str, array: Array, rows: int) -> AnswerError:
    if array.ndim != 1:
        return AnswerError(
            f"{_who(api)} answered `{name}` with shape {array.shape}, expected one value for each of {rows} rows"
        )
    do = "return one answer per row, in the batch's order"
    return AnswerError(f"{_who(api)} answered {len(array)} rows, expected {rows}", do=do)


def _given(field: Field, columns: Columns, rows: int, api: str) -> Array:
    import numpy as np

    if field.name in columns:
        return columns[field.name]
    if field.required:
        got = ", ".join(columns) or "none"
        raise AnswerError(f"{_who(api)} answered no column `{field.name}`, got {got}", do=f"return `{field.name}`")
    default = field.default
    if default is not None and field.type in ("datetime", "date"):
        moment = datetime.fromisoformat(default)
        default = np.datetime64(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment)
    array = np.empty(rows, dtype=object if default is None else _DTYPES[field.type])
    array[:] = default
    return array


def _plain(array: Array, field: Field) -> list[Any]:
    """A slice's values as Python objects that msgspec writes; NaN is written as null."""
    values: list[Any] = array.tolist()
    if field.type == "datetime":
        return [None if v is None else v.replace(tzinfo=UTC) for v in values]
    if field.type == "int" and array.dtype.kind == "f":
        return [None if v != v else int(v) for v in values]
    return values


# One settler per type: the array in its canonical type with the faults by row, or None for another type altogether.

_Settled = tuple["Array", dict[int, str]]


class _Target:
    """A field with what is asked of its values worked out: numbers lie in [low, high], if plain nothing more."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.nullable = field.nullable
        self.low, self.high = _inside(field)
        self.plain = not (field.values or field.multiple_of)
        self.limited = bool(limits(field))


_Settle = Callable[[_Target, "Array"], _Settled | None]


def _settle_float(target: _Target, array: Array) -> _Settled | None:
    import numpy as np

    if array.dtype.kind == "O":
        array = _numbers(array)
    if array.dtype.kind in "iu":
        if array.size and max(abs(int(array.min())), abs(int(array.max()))) > _EXACT:
            return None
    elif array.dtype.kind != "f":
        return None
    array = array.astype(np.float64, copy=False)
    return array, _number_faults(target, array)


def _settle_int(target: _Target, array: Array) -> _Settled | None:
    import numpy as np

    if array.dtype.kind == "O":
        array = _numbers(array)
    if array.dtype.kind == "f":
        present = array[~np.isnan(array)]
        if not (np.trunc(present) == present).all() or (np.abs(present) > _EXACT).any():
            return None
        faults = _number_faults(target, array)
        if len(present) == len(array):
            array = array.astype(np.int64)
        elif not target.nullable:
            array = np.nan_to_num(array).astype(np.int64)
        return array, faults
    if array.dtype.kind not in "iu" or (array.dtype == np.uint64 and array.size and array.max() > 2**63 - 1):
        return None
    array = array.astype(np.int64, copy=False)
    return array, _number_faults(target, array)


def _settle_bool(target: _Target, array: Array) -> _Settled | None:
    import numpy as np

    if array.dtype.kind == "b":
        return array, {}
    if array.dtype.kind in "iu":
        return (array.astype(np.bool_), {}) if ((array == 0) | (array == 1)).all() else None
    if array.dtype.kind != "O":
        return None
    return _settle_objects(target, array, lambda v: v if isinstance(v, (bool, np.bool_)) else _REFUSED, np.bool_)


def _settle_str(target: _Target, array: Array) -> _Settled | None:
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

    return _settle_objects(target, array.astype(object, copy=False), keep, None)


def _settle_datetime(target: _Target, array: Array) -> _Settled | None:
    return _settle_time(target, array, "datetime64[us]")


def _settle_date(target: _Target, array: Array) -> _Settled | None:
    return _settle_time(target, array, "datetime64[D]")


_DAYS = (date.min.toordinal() - date(1970, 1, 1).toordinal(), date.max.toordinal() - date(1970, 1, 1).toordinal())
_YEARS = {
    "datetime64[D]": _DAYS,
    "datetime64[us]": (_DAYS[0] * 86_400_000_000, (_DAYS[1] + 1) * 86_400_000_000 - 1),
}
"""The years 1 to 9999, which Python's own times have, in the type's units since 1970; both ends included."""


def _settle_time(target: _Target, array: Array, dtype: str) -> _Settled | None:
    import numpy as np

    if array.dtype.kind == "O" and all(_missing(v) for v in array.tolist()):
        array = np.full(len(array), "NaT", dtype=dtype)
    if array.dtype.kind != "M":
        return None
    kept = array.astype(dtype, copy=False)
    if dtype == "datetime64[D]" and not (np.isnat(array) | (kept == array)).all():
        return None
    count, first, last = kept.view(np.int64), *_YEARS[dtype]
    if not count.size or (first <= np.minimum.reduce(count) and np.maximum.reduce(count) <= last):
        return kept, {}  # NaT is the least number and takes the long way
    missing = np.isnat(kept)
    faults = {} if target.nullable else dict.fromkeys(np.flatnonzero(missing).tolist(), "missing, expected a time")
    out = ~missing & ((count < first) | (count > last))
    faults |= dict.fromkeys(np.flatnonzero(out).tolist(), "outside the years 1 to 9999")
    return kept, faults


_SETTLERS: dict[str, _Settle] = {
    "bool": _settle_bool,
    "int": _settle_int,
    "float": _settle_float,
    "str": _settle_str,
    "datetime": _settle_datetime,
    "date": _settle_date,
}

_REFUSED, _OUTSIDE = object(), object()


def _settle_objects(target: _Target, array: Array, keep: Callable[[Any], Any], dtype: Any) -> _Settled:
    """Values one by one; ``dtype`` is taken when none is missing."""
    import numpy as np

    faults: dict[int, str] = {}
    kept = np.empty(len(array), dtype=object)
    for row, value in enumerate(array.tolist()):
        if _missing(value):
            if not target.nullable:
                faults[row] = f"missing, expected {_expected(target.field)}"
            continue
        found = keep(value)
        if found is _REFUSED or found is _OUTSIDE:
            faults[row] = f"{value!r}, expected {_expected(target.field)}"
            continue
        kept[row] = found
    if dtype is not None and not faults and not any(v is None for v in kept.tolist()):
        kept = kept.astype(dtype)
    return kept, faults


def _numbers(array: Array) -> Array:
    """Objects that are all numbers or missing as int64 or float64; unchanged where one is something else."""
    import numpy as np

    values = array.tolist()
    kinds = {type(v) for v in values if not _missing(v)}
    if kinds == {int}:
        complete = not any(_missing(v) for v in values)
        try:
            return array.astype(np.int64) if complete else np.array([_nan(v) for v in values], dtype=np.float64)
        except OverflowError:
            return array
    if kinds <= {int, float} or all(issubclass(k, (int, float, np.number)) and k is not bool for k in kinds):
        return np.array([_nan(v) for v in values], dtype=np.float64)
    return array


def _nan(value: Any) -> Any:
    return math.nan if _missing(value) else value


def _missing(value: Any) -> bool:
    """None, NaN, NaT or pandas' NA, which is neither equal nor unequal to itself."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _number_faults(target: _Target, array: Array) -> dict[int, str]:
    """Rows whose number is missing where it must not be, infinite, or outside the field's limits."""
    import numpy as np

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
    return {int(row): f"{array[row].item()!r}, expected {_expected(field)}" for row in np.flatnonzero(bad)}


def _inside(field: Field) -> tuple[float, float]:
    """The least and greatest number the field takes, both included."""
    if field.type == "int":
        low = math.floor(field.gt) + 1 if field.gt is not None else -(2**63) if field.ge is None else field.ge
        high = math.ceil(field.lt) - 1 if field.lt is not None else 2**63 - 1 if field.le is None else field.le
        return low, high
    greatest = sys.float_info.max
    low = math.nextafter(field.gt, math.inf) if field.gt is not None else -greatest if field.ge is None else field.ge
    high = math.nextafter(field.lt, -math.inf) if field.lt is not None else greatest if field.le is None else field.le
    return low, high


def _expected(field: Field) -> str:
    kind = "a finite number" if field.type == "float" else field.type
    found = limits(field)
    return " ".join([kind, " and ".join(found)]) if found else kind


def _kinds(array: Array) -> str:
    return " and ".join(sorted({type(v).__name__ for v in array.tolist()})) or "object"
