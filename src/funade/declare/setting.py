"""A setting's value: what it may be, and how a function gets it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any


def is_json(value: object) -> bool:
    """Whether a recipe can hold the value exactly: None, bool, text, finite numbers, whole ones of 64 bits, and
    lists, tuples and dicts with text keys of these.

    >>> is_json({"trees": [100, 200]}), is_json(float("nan"))
    (True, False)
    """
    if isinstance(value, list | tuple):
        return all(map(is_json, value))
    if isinstance(value, dict):
        return all(type(name) is str and is_json(inner) for name, inner in value.items())
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is None or type(value) in (bool, str)


def as_declared(function: Callable[..., object], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the function declares them: a list where its default is a tuple arrives as a tuple."""
    tuples = {p.name for p in inspect.signature(function).parameters.values() if isinstance(p.default, tuple)}
    return {name: tuple(v) if name in tuples and isinstance(v, list) else v for name, v in settings.items()}
