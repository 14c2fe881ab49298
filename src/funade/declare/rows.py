"""Rows under a contract: requests from JSON to columns, answers from columns to JSON.

``Columns`` are a dict of NumPy arrays of one length: ``float64`` (missing is NaN), ``int64``, ``bool_``,
``datetime64[us]`` meaning UTC, ``datetime64[D]``, else ``object`` with None for missing.
"""

from __future__ import annotations

import enum
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from funade.declare.answers import Answers
from funade.declare.batch import to_frame
from funade.declare.contract import Field, fields_of
from funade.declare.result import from_frame
from funade.errors import ContractViolation

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import numpy as np

    Columns = dict[str, np.ndarray[Any, Any]]

__all__ = ["Answers", "Requests", "from_frame", "to_frame"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NAT = -(2**63)


class Requests:
    """Requests of one struct, prepared once: decoded and validated in one pass.

    Whole numbers beyond 64 bits and, in ``convert``, infinite numbers are refused whatever the struct's own bounds.

    Args:
        takes: the struct of one row.
        zone: where a time without an offset was read off the clock.
        most_rows: the most rows that one request may hold.
    """

    def __init__(self, takes: type[msgspec.Struct], *, zone: ZoneInfo, most_rows: int = 100_000) -> None:
        self.fields = fields_of(takes, place=takes.__module__)
        self._row = _guarded(takes, self.fields)
        self._zone = zone
        self._most_rows = most_rows
        rows = Annotated[list[self._row], msgspec.Meta(max_length=most_rows)]  # type: ignore[name-defined]
        self._decoder = msgspec.json.Decoder(self._row | rows)
        self._names = tuple(f.name for f in self.fields)
        self._nullable = tuple(f.name for f in self.fields if f.nullable)
        self._whole = tuple(f.name for f in self.fields if f.type == "int")
        self._layout = _layout(self.fields, zone)

    def decode(self, body: bytes) -> tuple[list[Any], bool]:
        """The rows of a JSON body, and whether it held one object rather than an array.

        Raises:
            ContractViolation: whatever is wrong with the body; ``path`` points at it (``$[3].fare_yen``).
        """
        try:
            if not body.isascii():
                body.decode()  # msgspec does not look into values it skips
            rows = self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self._violation(error) from None
        return (rows, False) if type(rows) is list else ([rows], True)

    def convert(self, rows: Iterable[dict[str, Any]]) -> tuple[list[Any], list[tuple[int, str]]]:
        """Rows of a table read as if each were a request, and the refused ones as (index, reason).

        Columns that the struct does not name are left out. None and NaN are missing: null where the field takes it,
        else the default. A whole number that missing neighbours made a float (3.0) counts as whole.
        """
        kept: list[Any] = []
        refused: list[tuple[int, str]] = []
        convert, kind = msgspec.convert, self._row
        for index, row in enumerate(rows):
            try:
                kept.append(convert(self._present(row), kind))
            except msgspec.ValidationError as error:
                violation = self._violation(error)
                refused.append((index, str(violation).removeprefix("request ")))
        return kept, refused

    def columns(self, rows: Sequence[Any]) -> Columns:
        """The rows' values by field, in the struct's order; one array per field."""
        found: dict[str, Any] = dict.fromkeys(self._names)  # keeps the struct's order
        for names, read in self._layout:
            found.update(zip(names, read(rows), strict=True))
        return found

    def _present(self, row: dict[str, Any]) -> dict[str, Any]:
        get = row.get
        found = {name: v for name in self._names if (v := get(name)) is not None and v == v}
        for name in self._nullable:
            if name not in found and name in row:
                found[name] = None
        for name in self._whole:
            value = found.get(name)
            if type(value) is float and value.is_integer():
                found[name] = int(value)
        return found

    def _violation(self, error: Exception) -> ContractViolation:
        what, path = (_short(text) for text in self._told(error))
        return ContractViolation(f"request {what}", at=path, path=path)

    def _told(self, error: Exception) -> tuple[str, str]:
        """What is wrong, in our words, and the path of the value."""
        if isinstance(error, UnicodeDecodeError):
            return f"expected UTF-8, got another encoding (byte {error.start})", "$"
        if isinstance(error, RecursionError):
            return "expected flat rows, got too many levels", "$"
        message, _, rest = str(error).partition(" - at `")
        path = rest.rstrip("`") or "$"
        for pattern, text in _WORDS:
            if match := re.fullmatch(pattern, message, re.DOTALL):
                return text(match, self._field(path)), path + (
                    f".{match['field']}" if "field" in match.groupdict() else ""
                )
        return f"expected a valid row, got: {message}", path

    def _field(self, path: str) -> Field | None:
        name = path.rpartition(".")[2]
        return next((f for f in self.fields if f.name == name), None)


_Words = Callable[["re.Match[str]", "Field | None"], str]

_EXAMPLES: dict[str, str] = {"datetime": "2022-03-01T12:00:00Z", "date": "2022-03-01"}

_WORDS: tuple[tuple[str, _Words], ...] = (
    (r"Object missing required field `(?P<field>.+)`", lambda m, f: f"expected field `{m['field']}`, got none"),
    (r"Object contains unknown field `(?P<field>.+)`", lambda m, f: f"expected no field `{m['field']}`"),
    (r"Invalid enum value (.*)", lambda m, f: f"expected one of {_listed(f)}, got {m[1]}"),
    (r"Invalid RFC3339 encoded (\w+)", lambda m, f: f"expected an RFC 3339 {m[1]} like {_EXAMPLES[m[1]]}"),
    (r"Number out of range", lambda m, f: "expected a finite number, got one out of range"),
    (
        r"Expected `float` [<>]= -?1\.7976931348623157e\+308",
        lambda m, f: "expected a finite number, got infinity",
    ),
    (r"JSON is malformed: (.*)", lambda m, f: f"expected JSON, got {m[1]}"),
    (r"Input data was truncated", lambda m, f: "expected JSON, got a truncated body"),
    (r"E(xpected .*)", lambda m, f: f"e{m[1]}"),
)


def _short(text: str) -> str:
    """One line of at most 200 characters, whatever a client put into it."""
    line = "".join(c if c.isprintable() else " " for c in text[:201])
    return line if len(line) <= 200 else line[:199] + "…"


def _listed(field: Field | None) -> str:
    return ", ".join(repr(v) for v in field.values) if field else "its values"


def _guarded(takes: type[msgspec.Struct], fields: tuple[Field, ...]) -> type[msgspec.Struct]:
    """The struct with the bounds of 64 bits added where it has none of its own; fields keep their order."""
    guarded: list[Any] = []
    for field, info in zip(fields, msgspec.structs.fields(takes), strict=True):
        typed = info.type if field.type not in _LIMITS or field.values else _limited(field)
        guarded.append((field.name, typed) if field.required else (field.name, typed, info.default))
    return msgspec.defstruct(takes.__name__, guarded, bases=(takes,), kw_only=True, module=takes.__module__)


_LIMITS = {"int": (int, -(2**63), 2**63 - 1), "float": (float, -sys.float_info.max, sys.float_info.max)}


def _limited(field: Field) -> Any:
    kind, low, high = _LIMITS[field.type]
    given = {name: getattr(field, name) for name in ("ge", "gt", "le", "lt", "multiple_of")}
    meta: dict[str, Any] = {name: kind(value) for name, value in given.items() if value is not None}
    meta |= {} if "ge" in meta or "gt" in meta else {"ge": low}
    meta |= {} if "le" in meta or "lt" in meta else {"le": high}
    typed: Any = Annotated[kind, msgspec.Meta(**meta)]
    return typed | None if field.nullable else typed


_Read = Callable[[Sequence[Any]], Iterable[Any]]


def _layout(fields: tuple[Field, ...], zone: ZoneInfo) -> list[tuple[tuple[str, ...], _Read]]:
    """How columns are read from rows: fields of one number type together, in one pass."""
    groups: dict[str, list[str]] = {}
    single: list[tuple[tuple[str, ...], _Read]] = []
    for field in fields:
        dtype = _dtype(field)
        if dtype in ("float64", "int64", "bool") and not field.values:
            groups.setdefault(dtype, []).append(field.name)
        else:
            single.append(((field.name,), _alone(field, dtype, zone)))
    return [((*names,), _together(names, dtype)) for dtype, names in groups.items()] + single


def _dtype(field: Field) -> str:
    if field.nullable and field.type in ("int", "bool"):
        return "float64" if field.type == "int" else "object"
    return _DTYPES[field.type]


_DTYPES = {
    "bool": "bool", "int": "int64", "float": "float64", "str": "object",
    "datetime": "datetime64[us]", "date": "datetime64[D]",
}  # fmt: skip


def _together(names: list[str], dtype: str) -> _Read:
    import numpy as np

    get, count = attrgetter(*names), len(names)

    def read(rows: Sequence[Any]) -> Iterable[Any]:
        table = np.array([get(row) for row in rows], dtype=dtype)
        return np.ascontiguousarray(table.reshape(len(rows), count).T)

    return read


def _alone(field: Field, dtype: str, zone: ZoneInfo) -> _Read:
    import numpy as np

    get = attrgetter(field.name)

    def read(rows: Sequence[Any]) -> Iterable[Any]:
        values = [get(row) for row in rows]
        if field.values:
            values = [v.value if isinstance(v, enum.Enum) else v for v in values]
        if field.type == "datetime":
            return (np.array([_microseconds(v, zone) for v in values], dtype="int64").view(dtype),)
        if dtype != "object":
            return (np.array(values, dtype=dtype),)
        column = np.empty(len(rows), dtype=object)
        column[:] = values
        return (column,)

    return read


def _microseconds(moment: datetime | None, zone: ZoneInfo) -> int:
    if moment is None:
        return _NAT
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // _MICROSECOND
