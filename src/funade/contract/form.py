"""Which library's frame an annotation asks for, or a value is; told from names, without importing that library."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args, get_origin

Form = Literal["", "pandas", "polars", "arrow", "columns", "relation", "reader", "batch", "lazy", "sql"]
"""How a frame arrives at a parameter or leaves a function; "" where the value is no frame.

"batch" is a ``pyarrow.RecordBatch``: a function may return one, none is asked for.
"""

_FRAMES: dict[tuple[str, str], Form] = {
    ("pandas", "DataFrame"): "pandas",
    ("polars", "DataFrame"): "polars",
    ("polars", "LazyFrame"): "lazy",
    ("pyarrow", "Table"): "arrow",
    ("pyarrow", "RecordBatch"): "batch",
    ("pyarrow", "RecordBatchReader"): "reader",
    ("duckdb", "DuckDBPyRelation"): "relation",
}
"""Package and class → form: every class of frames there is. A package that is written in C may begin with `_`."""


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
        name = getattr(get_origin(value) or value, "__qualname__", "")
        return "columns" if (_root(value), name) == ("numpy", "ndarray") else ""
    if not isinstance(annotation, type):
        return ""
    form = "sql" if annotation is str else _FRAMES.get((_root(annotation), annotation.__qualname__), "")
    return "" if form == "batch" else form


def form_of_value(value: object) -> Form:
    """The form that a frame has; for a derived class that of its nearest parent, "" for what is no frame.

    >>> form_of_value({"km": [1.0]})
    'columns'
    """
    if isinstance(value, Mapping):
        return "columns"
    forms = (_FRAMES.get((_root(parent), parent.__qualname__)) for parent in type(value).__mro__)
    return next((form for form in forms if form is not None), "")


def hints(function: Callable[..., object]) -> dict[str, Any]:
    """A function's annotations, evaluated one by one; what cannot be evaluated is left out."""
    evaluated: dict[str, Any] = {}
    for name, annotation in getattr(function, "__annotations__", {}).items():
        if not isinstance(annotation, str):
            evaluated[name] = annotation
            continue
        carrier = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            evaluated |= typing.get_type_hints(carrier, globalns=getattr(function, "__globals__", {}))
        except (NameError, AttributeError, TypeError, SyntaxError):
            continue
    return evaluated


def _root(annotation: object) -> str:
    return str(getattr(get_origin(annotation) or annotation, "__module__", "")).partition(".")[0].lstrip("_")
