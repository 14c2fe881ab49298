"""What a class carries besides its text: what its body binds, and code or values that were set on it later."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from enum import Enum
from types import FunctionType
from typing import Any


def members(cls: type, bound: set[str], ours: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """What a class carries besides its text: what its body binds, and the project's code or values set on it later."""
    if issubclass(cls, Enum):
        yield from ((name, member.value) for name, member in cls.__members__.items())
    for name, value in vars(cls).items():
        code = _innermost(value)
        if isinstance(value, Enum) and isinstance(value, cls):
            continue
        if name in bound:
            if not _is_slot(value):
                yield name, value
        elif code is not None:
            # A dataclass writes methods as text and a library lends its own: both follow from the class's text.
            if ours(code) and not code.__code__.co_filename.startswith("<"):
                yield name, value
        elif not name.startswith("_") and isinstance(value, int | float | str | bytes | tuple | list | dict | set):
            yield name, value


def _innermost(value: Any) -> FunctionType | None:
    """The function inside a property, a class method or wrappers."""
    if isinstance(value, property):
        value = value.fget
    elif isinstance(value, functools.cached_property):
        value = value.func
    elif isinstance(value, classmethod | staticmethod):
        value = value.__func__
    while isinstance(value, FunctionType) and "__wrapped__" in vars(value):
        value = vars(value)["__wrapped__"]
    return value if isinstance(value, FunctionType) else None


def _is_slot(value: Any) -> bool:
    return type(value).__name__ in ("member_descriptor", "getset_descriptor", "_tuplegetter")
