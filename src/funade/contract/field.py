"""A contract as plain data: which fields a request and an answer have, and which values a field admits."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import msgspec

FieldType = Literal["bool", "int", "float", "str", "datetime", "date"]


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """One field. Bounds are those of ``msgspec.Meta``; ``values`` are the members of a Literal or Enum.

    ``default`` is a JSON value (times as ISO text) and counts only where ``required`` is false. ``filled`` says that it
    also takes the place of null, so that the api's function sees no missing value, and that this is counted
    (``fn.default``); such a field is ``nullable`` and not ``required``, for so may a client send it. ``tz`` True asks
    for times with an offset, False for times without one.
    """

    name: str
    type: FieldType
    required: bool = True
    nullable: bool = False
    default: Any = None
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    values: tuple[Any, ...] = ()
    unit: str = ""
    doc: str = ""
    multiple_of: float | None = None
    tz: bool | None = None
    filled: bool = False


MOST_ROWS = 100_000
"""The most rows that one request may hold."""

EXACT = 2**53
"""Floats keep every whole number up to here, of either sign."""


def floats(field: Field) -> bool:
    """Whether a field of whole numbers has a column of floats, as it has where one may be missing (NaN)."""
    return field.type == "int" and field.nullable and not field.filled


def exact(field: Field) -> Field:
    """A request's field whose bounds allow no number that its column would round: ±``EXACT`` where it is of floats."""
    if field.values or not floats(field):
        return field
    low, high = (field.ge if field.gt is None else field.gt), (field.le if field.lt is None else field.lt)
    if low is None or low < -EXACT:
        field = msgspec.structs.replace(field, ge=float(-EXACT), gt=None)
    if high is None or high > EXACT:
        field = msgspec.structs.replace(field, le=float(EXACT), lt=None)
    return field


class Contract(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an api takes and gives, field by field; ``takes``/``gives`` are the structs' names.

    ``doc``/``gives_doc`` are the structs' docstrings; ``closed`` says that a request with an unknown field is refused.
    """

    takes: str
    gives: str
    takes_fields: tuple[Field, ...]
    gives_fields: tuple[Field, ...]
    doc: str = ""
    gives_doc: str = ""
    closed: bool = False


# -- what a field admits


def admits(field: Field, value: Any) -> bool:
    """Whether a value of the field's type keeps the field's limits."""
    if field.values:
        return value in field.values
    if isinstance(value, str):
        fits = (field.min_length or 0) <= len(value) <= most_length(field)
        return fits and (field.pattern is None or re.search(field.pattern, value) is not None)
    inside = least(field) <= (value, 0) <= greatest(field)
    return inside and not (field.multiple_of and value % field.multiple_of)


def least(field: Field) -> tuple[float, int]:
    """The least value as (value, 1 if it is itself excluded); for integers always included."""
    if field.gt is not None:
        return (math.floor(field.gt) + 1, 0) if field.type == "int" else (field.gt, 1)
    return (-math.inf if field.ge is None else field.ge, 0)


def greatest(field: Field) -> tuple[float, int]:
    """The greatest value as (value, -1 if it is itself excluded); for integers always included."""
    if field.lt is not None:
        return (math.ceil(field.lt) - 1, 0) if field.type == "int" else (field.lt, -1)
    return (math.inf if field.le is None else field.le, 0)


def most_length(field: Field) -> float:
    """How many characters a text may have."""
    return math.inf if field.max_length is None else field.max_length


def limits(field: Field) -> list[str]:
    """A field's limits as texts, such as ``>= 0``; none for a field without."""
    return [text for text in limit_texts(field).values() if text]


def limit_texts(field: Field) -> dict[str, str]:
    """Which limit → its text; "" for one that the field does not have."""
    return {
        "values": ", ".join(str(v) for v in field.values),
        "least": _text(">=", field.ge) or _text(">", field.gt),
        "greatest": _text("<=", field.le) or _text("<", field.lt),
        "multiple": _text("a multiple of", field.multiple_of),
        "least length": _text("at least", field.min_length, "characters"),
        "greatest length": _text("at most", field.max_length, "characters"),
        "pattern": "" if field.pattern is None else f"matching {field.pattern}",
        "time offset": {None: "", True: "with an offset", False: "without an offset"}[field.tz],
    }


def _text(sign: str, value: float | None, of: str = "") -> str:
    return "" if value is None else f"{sign} {value:.15g} {of}".rstrip()
