"""How a frame arrives: which library's frame an annotation asks for, told without importing that library."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

Form = Literal["", "pandas", "polars", "arrow", "columns", "relation", "reader", "lazy", "sql"]
"""How a frame arrives at a parameter or leaves a function; "" where the value is no frame."""

_FRAMES: dict[tuple[str, str], Form] = {
    ("pandas", "DataFrame"): "pandas",
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "lazy",
    ("pyarrow", "Table"): "arrow",
    ("pyarrow", "RecordBatchReader"): "reader",
    ("duckdb", "DuckDBPyRelation"): "relation",
    ("_duckdb", "DuckDBPyRelation"): "relation",
    ("builtins", "str"): "sql",
}


def form_of(annotation: object) -> Form:
    """The form an annotation asks for; "" when it names no frame.

    >>> import pyarrow
    >>> form_of(pyarrow.Table)
    'arrow'
    >>> form_of(int)
    ''
    """
    if get_origin(annotation) is dict and get_args(annotation)[:1] == (str,):
        value = get_args(annotation)[1]
        return "columns" if (_root(value), _name(get_origin(value) or value)) == ("numpy", "ndarray") else ""
    if not isinstance(annotation, type):
        return ""
    return _FRAMES.get((_root(annotation), annotation.__qualname__), "")


def hints(function: Callable[..., object]) -> dict[str, Any]:
    """A function's annotations, evaluated one by one; what cannot be evaluated is left out."""
    found: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        if not isinstance(annotation, str):
            found[name] = annotation
            continue
        carrier = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found |= typing.get_type_hints(carrier, globalns=getattr(function, "__globals__", {}))
        except (NameError, AttributeError, TypeError, SyntaxError):
            continue
    return found


def _root(annotation: object) -> str:
    return str(getattr(get_origin(annotation) or annotation, "__module__", "")).partition(".")[0]


def _name(annotation: object) -> str:
    return str(getattr(annotation, "__qualname__", ""))
