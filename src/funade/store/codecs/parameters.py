"""An estimator's parameters as JSON: numbers, text, lists and dicts, whatever the keys of the dicts are."""

from __future__ import annotations

import json
from typing import Any

from funade.errors import CodecError


def to_text(state: dict[str, Any]) -> str:
    """JSON of values in which each dict with keys that need not be text went through ``pairs``.

    Raises:
        CodecError: a value that is neither a number, text, list nor dict, such as a random generator.
    """
    return json.dumps(state, default=_number, ensure_ascii=False)


def pairs(values: dict[Any, Any]) -> list[list[Any]]:
    """A dict as pairs of key and value: class weights, for instance, have labels as keys."""
    return [[key, tagged(value)] for key, value in values.items()]


def from_pairs(listed: list[list[Any]]) -> dict[Any, Any]:
    """The dict that ``pairs`` was given."""
    return {key: untagged(value) for key, value in listed}


def tagged(value: Any) -> dict[str, Any]:
    """A value in an object that says whether it was a dict."""
    return {"pairs": pairs(value)} if isinstance(value, dict) else {"value": value}


def untagged(value: dict[str, Any]) -> Any:
    """The value that ``tagged`` was given."""
    return from_pairs(value["pairs"]) if "pairs" in value else value["value"]


def _number(value: Any) -> Any:
    """JSON for a NumPy scalar."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and not getattr(value, "shape", ()):
        return value.item()
    raise CodecError(
        f"expected parameters of numbers and text, got {type(value).__qualname__}",
        do="pass e.g. random_state as a whole number",
    )
