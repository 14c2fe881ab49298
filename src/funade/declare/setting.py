"""What the value of a setting may be."""

from __future__ import annotations

import math


def is_json(value: object) -> bool:
    """Whether a recipe can hold the value exactly: None, bool, text, finite numbers, whole ones of 64 bits, and
    lists, tuples and dicts with text keys of these.

    >>> is_json({"trees": [100, 200]}), is_json(float("nan"))
    (True, False)
    """
    if isinstance(value, list | tuple):
        return all(map(is_json, value))
    if isinstance(value, dict):
        return all(type(name) is str and is_json(one) for name, one in value.items())
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is int:
        return -(2**63) <= value < 2**63
    return value is None or type(value) in (bool, str)
