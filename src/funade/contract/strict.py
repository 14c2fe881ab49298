"""A request's struct as it is decoded: bounds of its columns added, and room for a missing value that has a default."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from funade.contract.field import Field, exact


def strict(takes: type[msgspec.Struct], fields: tuple[Field, ...]) -> type[msgspec.Struct]:
    """The struct with bounds added where it has none of its own; fields keep their order.

    They are those of 64 bits, and ±2**53 for whole numbers that may be missing: ``exact``.
    A missing value that has a declared default is None; the struct's own ``__post_init__`` sees the default.
    """
    made: list[Any] = []
    for field, info in zip(fields, msgspec.structs.fields(takes), strict=True):
        typed = info.type if field.type not in _LIMITS or field.values else _limited(field)
        if field.filled:
            made.append((field.name, typed | None, None))
        else:
            made.append((field.name, typed) if field.required else (field.name, typed, info.default))
    own: Any = getattr(takes, "__post_init__", None)
    types = {info.name: info.type for info in msgspec.structs.fields(takes)}
    filled = {f.name: msgspec.convert(f.default, types[f.name]) for f in fields if f.filled}
    namespace = {"__post_init__": _seeing(own, filled)} if own and filled else {}
    return msgspec.defstruct(
        takes.__name__, made, bases=(takes,), kw_only=True, module=takes.__module__, namespace=namespace
    )


def _seeing(own: Callable[[Any], None], values: dict[str, Any]) -> Callable[[Any], None]:
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
