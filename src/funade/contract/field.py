"""A contract as plain data: which fields a request and an answer have."""

from __future__ import annotations

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
