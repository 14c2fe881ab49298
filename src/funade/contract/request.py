"""Requests under a contract: from JSON, or the rows of a table, to columns."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec

from funade.contract.arrays import Columns
from funade.contract.batch import Batch
from funade.contract.columns import layout
from funade.contract.contract import fields_of
from funade.contract.defaults import Defaults
from funade.contract.field import MOST_ROWS, Field, exact
from funade.errors import ContractViolation


class RequestSchema:
    """Decodes requests of one struct, checks them in the same pass, and turns their rows into columns.

    ``row`` is the struct that a decoded row is of: the contract's own with more bounds.

    Refused whatever the struct's own bounds: whole numbers beyond 64 bits, or beyond 2**53 where one may be missing and
    no declared default stands for it, since its column is of floats; in ``convert``, infinite numbers.

    A time without an offset was read off the clock in ``zone``.
    """

    def __init__(self, takes: type[msgspec.Struct], *, zone: ZoneInfo, most_rows: int = MOST_ROWS) -> None:
        self.fields = fields_of(takes, place=takes.__module__)
        self.row = row = _strict(takes, self.fields)
        self.zone = zone
        rows = Annotated[list[row], msgspec.Meta(max_length=most_rows)]  # type: ignore[valid-type]
        self._decoder = msgspec.json.Decoder(row | rows)
        self._names = tuple(f.name for f in self.fields)
        self._nullable = tuple(f.name for f in self.fields if f.nullable)
        self._whole = tuple(f.name for f in self.fields if f.type == "int")
        self._layout = layout([f for f in self.fields if not f.filled], row, zone)
        self._defaults = Defaults(self.fields, zone) if any(f.filled for f in self.fields) else None

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
        converted: list[Any] = []
        refused: list[tuple[int, str]] = []
        convert, kind = msgspec.convert, self.row
        for index, row in enumerate(rows):
            try:
                converted.append(convert(self._present(row), kind))
            except msgspec.ValidationError as error:
                violation = self._violation(error)
                refused.append((index, str(violation).removeprefix("request ")))
        return converted, refused

    def take(self, rows: Sequence[Any]) -> Batch:
        """The rows' values by field, in the struct's order, and where a declared default stands for a missing one."""
        columns: dict[str, Any] = dict.fromkeys(self._names)  # keeps the struct's order
        packed = tuple([pack(rows) for pack in self._layout.packs])
        for group in packed:
            columns.update(zip(group.names, group.columns(), strict=True))
        for names, read in self._layout.reads:
            columns.update(zip(names, read(rows), strict=True))
        return Batch(columns, self._defaults.read(rows, columns) if self._defaults else None, packed)

    def fill_defaults(self, columns: Columns, rows: int) -> Batch:
        """Columns of ``rows`` values each with declared defaults in the place of None, NaN, NaT and absent columns.

        Other columns are left as they are.
        """
        return self._defaults.fill(columns, rows) if self._defaults else Batch(columns)

    def _present(self, row: dict[str, Any]) -> dict[str, Any]:
        get = row.get
        present = {name: v for name in self._names if (v := get(name)) is not None and v == v}
        for name in self._nullable:
            if name not in present and name in row:
                present[name] = None
        for name in self._whole:
            value = present.get(name)
            if type(value) is float and value.is_integer():
                present[name] = int(value)
        return present

    def _violation(self, error: Exception) -> ContractViolation:
        what, path = (_short(text) for text in self._explained(error))
        return ContractViolation(f"request {what}", at=path, path=path)

    def _explained(self, error: Exception) -> tuple[str, str]:
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
    """The text as one printable line of at most 200 characters."""
    line = "".join(c if c.isprintable() else " " for c in text[:201])
    return line if len(line) <= 200 else line[:199] + "…"


def _listed(field: Field | None) -> str:
    return ", ".join(repr(v) for v in field.values) if field else "its values"


def _strict(takes: type[msgspec.Struct], fields: tuple[Field, ...]) -> type[msgspec.Struct]:
    """The struct with bounds added where it has none of its own; fields keep their order.

    They are those of 64 bits, and ±2**53 for whole numbers that may be missing: ``exact``.
    A missing value that has a declared default is None; the struct's own ``__post_init__`` sees the default.
    """
    members: list[Any] = []
    for field, info in zip(fields, msgspec.structs.fields(takes), strict=True):
        typed = info.type if field.type not in _LIMITS or field.values else _limited(field)
        if field.filled:
            members.append((field.name, typed | None, None))
        else:
            members.append((field.name, typed) if field.required else (field.name, typed, info.default))
    own: Any = getattr(takes, "__post_init__", None)
    types = {info.name: info.type for info in msgspec.structs.fields(takes)}
    filled = {f.name: msgspec.convert(f.default, types[f.name]) for f in fields if f.filled}
    namespace = {"__post_init__": _seeing_defaults(own, filled)} if own and filled else {}
    return msgspec.defstruct(
        takes.__name__, members, bases=(takes,), kw_only=True, module=takes.__module__, namespace=namespace
    )


def _seeing_defaults(own: Callable[[Any], None], values: dict[str, Any]) -> Callable[[Any], None]:
    """The struct's own ``__post_init__``, run with defaults in the place of missing values."""
    put = msgspec.structs.force_setattr

    def after(row: Any) -> None:
        missing = [name for name in values if getattr(row, name) is None]
        for name in missing:
            put(row, name, values[name])
        own(row)
        for name in missing:
            put(row, name, None)

    return after


_LIMITS = {"int": (int, -(2**63), 2**63 - 1), "float": (float, -sys.float_info.max, sys.float_info.max)}


def _limited(field: Field) -> Any:
    field = exact(field)
    kind, low, high = _LIMITS[field.type]
    bounds = {name: getattr(field, name) for name in ("ge", "gt", "le", "lt", "multiple_of")}
    meta: dict[str, Any] = {name: kind(value) for name, value in bounds.items() if value is not None}
    meta |= {} if "ge" in meta or "gt" in meta else {"ge": low}
    meta |= {} if "le" in meta or "lt" in meta else {"le": high}
    typed: Any = Annotated[kind, msgspec.Meta(**meta)]
    return typed | None if field.nullable else typed
