"""Answers under a contract: columns held against the struct an api gives, then written as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from funade.contract.arrays import DTYPES, Array, Columns
from funade.contract.coerce import COERCIONS, CoercedField
from funade.contract.field import Field
from funade.contract.outcome import Fault
from funade.errors import AnswerError


class AnswerSchema:
    """Checks an api's answers against the fields that its contract gives, and writes them as JSON."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self._coercions = tuple((CoercedField(f), COERCIONS[f.type]) for f in fields)
        self._names = frozenset(f.name for f in self.fields)
        self._row = msgspec.defstruct("Answer", [(f.name, Any) for f in self.fields])
        self._encode = msgspec.json.Encoder().encode

    def check(self, columns: Columns, rows: int, *, api: str = "") -> Columns:
        """The columns in the contract's order and types.

        Raises:
            AnswerError: as ``judge``, and for the first row whose value breaks the contract.
        """
        coerced, bad = self.judge(columns, rows, api=api)
        if bad:
            raise wrong(bad, api)
        return coerced

    def judge(self, columns: Columns, rows: int, *, api: str = "") -> tuple[Columns, dict[int, Fault]]:
        """The columns in the contract's order and types, and the rows whose values break it: row → what is wrong.

        The columns have ``rows`` values each, as ``from_frame`` sees to. One of a field with a default may be left out.
        Numbers, bools and dates change their type only where nothing is lost. In a row that is named, the values are of
        no meaning; its code is ``NAN`` where a number is not finite.

        Raises:
            AnswerError: a missing or extra column, or a column of another type.
        """
        extra = [name for name in columns if name not in self._names]
        if extra:
            fields = ", ".join(f.name for f in self.fields)
            raise AnswerError(
                f"{_who(api)} answered an extra column `{extra[0]}`, expected {fields}", do="leave it out"
            )
        coerced: Columns = {}
        bad: dict[int, Fault] = {}
        for target, coerce in self._coercions:
            field = target.field
            array = _values(field, columns, rows, api)
            result = coerce(target, array)
            if result is None:
                kind = array.dtype if array.dtype != object else _kinds(array)
                raise AnswerError(
                    f"{_who(api)} answered `{field.name}` as {kind}, expected {field.type}", do="convert the column"
                )
            coerced[field.name], faults = result
            for row, fault in faults.items():
                bad.setdefault(row, Fault(fault.code, f"`{field.name}` {fault.text}"))
        return coerced, bad

    def empty(self) -> Columns:
        """Columns without rows, in the contract's order and types."""
        return {f.name: np.empty(0, dtype=DTYPES[f.type]) for f in self.fields}

    def rows(self, columns: Columns) -> list[dict[str, Any]]:
        """The answers as a client reads them: JSON values, times as ISO text in UTC."""
        count = len(next(iter(columns.values())))
        answers: list[dict[str, Any]] = msgspec.json.decode(self.encode(columns, 0, count, single=False))
        return answers

    def encode(self, columns: Columns, start: int, stop: int, *, single: bool) -> bytes:
        """Rows [start, stop) of checked columns as JSON: one object if ``single``, else an array.

        Floats are written so that reading gives the same bits; missing values are null; times end in ``Z``.
        """
        structs = self.structs({f.name: columns[f.name][start:stop] for f in self.fields})
        return self.written(structs, 0, stop - start, single=single)

    def structs(self, columns: Columns) -> list[Any]:
        """Checked columns as one struct a row, its values ready to be written as JSON."""
        return list(map(self._row, *[_plain(columns[f.name], f) for f in self.fields]))

    def written(self, structs: list[Any], start: int, stop: int, *, single: bool) -> bytes:
        """Rows [start, stop) of ``structs`` as JSON: one object if ``single``, else an array."""
        return self._encode(structs[start] if single else structs[start:stop])

    def constant(self, values: Mapping[str, Any]) -> Columns:
        """One row of JSON values (times as ISO text) as columns; what is left out has its default.

        Raises:
            AnswerError: a value of another type, or one the contract does not admit.
        """
        return self.check({f.name: _column(f, values[f.name], 1) for f in self.fields if f.name in values}, 1)

    def standing(self, columns: Columns, rows: Sequence[int], row: Columns) -> Columns:
        """Checked columns in which each of ``rows`` is replaced by the single row of ``row``."""
        filled: Columns = {}
        for name, array in columns.items():
            value = row[name]
            dtype = array.dtype if array.dtype == value.dtype else np.dtype(object)
            filled[name] = array.astype(dtype)
            filled[name][list(rows)] = value.astype(dtype)[0]
        return filled

    def blank(self) -> Columns:
        """One placeholder row for where there is no answer: zeros, empty text and the first moment of 1970."""
        row = {f.name: np.zeros(1, dtype=DTYPES[f.type]) for f in self.fields}
        for field in self.fields:
            if field.type == "str":
                row[field.name][:] = ""
        return row


REMEDY = "mend the function, or say in the contract that such a value may be answered"


def wrong(faults: Mapping[int, Fault], api: str, *, do: str = REMEDY) -> AnswerError:
    """The error about rows whose values break the contract: it describes the first and lists all in ``rows``."""
    row = min(faults)
    return AnswerError(f"{_who(api)} answered row {row} with {faults[row].text}", do=do, rows=tuple(sorted(faults)))


def _who(api: str) -> str:
    return f"api `{api}`" if api else "the api"


def _values(field: Field, columns: Columns, rows: int, api: str) -> Array:
    if field.name in columns:
        return columns[field.name]
    if field.required:
        got = ", ".join(columns) or "none"
        raise AnswerError(f"{_who(api)} answered no column `{field.name}`, got {got}", do=f"return `{field.name}`")
    return _column(field, field.default, rows)


def _column(field: Field, value: Any, rows: int) -> Array:
    """A column of ``rows`` times one JSON value."""
    if value is not None and field.type in ("datetime", "date"):
        moment = datetime.fromisoformat(value)
        value = np.datetime64(moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment)
    array = np.empty(rows, dtype=object if value is None else DTYPES[field.type])
    array[:] = value
    return array


def _plain(array: Array, field: Field) -> list[Any]:
    """A slice's values as Python objects that msgspec writes; NaN is written as null."""
    values: list[Any] = array.tolist()
    if field.type == "datetime":
        return [None if v is None else v.replace(tzinfo=UTC) for v in values]
    if field.type == "int" and array.dtype.kind == "f":
        return [None if v != v else int(v) for v in values]
    return values


def _kinds(array: Array) -> str:
    return " and ".join(sorted({type(v).__name__ for v in array.tolist()})) or "object"
