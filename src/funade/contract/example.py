"""A row that a contract admits, made up from its bounds alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from funade.contract.field import Field, admits

_TEXTS = (
    "text", "a", "A", "1", "A1", "abc", "ABC", "12", "123", "1234", "12345", "123456", "2022-03-01", "12:00", "1.0",
    "a1", "AB12", "a-b", "A-1", "AB-12", "ABC-123", "a_b", "a@example.org", "https://example.org/", "JP", "ja",
)  # fmt: skip


def example(fields: Iterable[Field]) -> dict[str, Any]:
    """A row of JSON values that keep the fields' limits; "" for a text whose pattern matches none of a few guesses.

    >>> example([Field("km", "float", gt=0.0, le=5.0), Field("kind", "str", values=("a", "b"))])
    {'km': 2.5, 'kind': 'a'}
    """
    return {field.name: _value(field) for field in fields}


def _value(field: Field) -> Any:
    if field.values:
        return field.values[0]
    if field.default is not None:
        return field.default
    if field.type == "bool":
        return True
    if field.type in ("int", "float"):
        return _number(field)
    if field.type == "datetime":
        return "2022-03-01T12:00:00" + ("" if field.tz is False else "Z")
    return "2022-03-01" if field.type == "date" else _text(field)


def _number(field: Field) -> Any:
    low = field.ge if field.ge is not None else field.gt
    high = field.le if field.le is not None else field.lt
    if low is not None and high is not None:
        guesses = [(low + high) / 2, low, high, low + 1]
    elif low is not None:
        guesses = [1.0, low, low + 1]
    else:
        guesses = [1.0] if high is None else [1.0, high, high - 1]
    step = field.multiple_of or (1.0 if field.type == "int" else 0.0)
    if step:
        guesses = [guess // step * step + more for guess in guesses for more in (0.0, step)]
    number = next((g for g in guesses if admits(field, g)), guesses[0])
    return int(number) if field.type == "int" else number


def _text(field: Field) -> str:
    texts = [*_TEXTS, "x" * (field.min_length or 0)]
    return next((text for text in texts if admits(field, text)), "")
