"""The symbols that a fingerprint is made of, and the digests of them all and of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

from funade.digest import of_value
from funade.fingerprint.constant import Shape


@dataclass(eq=False)
class Symbol:
    """One reached function, class or global: ``own`` says what it is, ``reach`` what it leads to.

    ``inline`` is True for what no name in the source leads to, such as a lambda.
    """

    name: str
    value: Any
    inline: bool = False
    own: list[Shape] = field(default_factory=list)
    reach: list[Shape] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Global:
    """A name in a module, to be read when its turn comes."""

    scope: dict[str, Any]
    name: str


def digest_of(start: Any, shape: Shape, symbols: Sequence[Symbol]) -> str:
    """One digest of the shape of ``start`` and of all symbols it reaches; its own name is not part of it."""
    number = {id(symbol): str(index) for index, symbol in enumerate(symbols)}

    def numbered(shape: Shape) -> Shape:
        if isinstance(shape, Symbol):
            return ["->", number[id(shape)]]
        return [numbered(part) for part in shape] if isinstance(shape, list) else shape

    named = ([("" if s.value is start else s.name), numbered(s.own), numbered(s.reach)] for s in symbols)
    return of_value([numbered(shape), *named])


def digests_by_name(symbols: Sequence[Symbol]) -> dict[str, str]:
    """``module:qualname`` → the digest of that symbol alone."""
    digests: dict[str, set[str]] = {}
    for symbol in sorted(symbols, key=lambda symbol: isinstance(symbol.value, Global)):
        # A decorated function's text stands in the function itself; its global would name it twice.
        if not symbol.inline and not (isinstance(symbol.value, Global) and symbol.name in digests):
            digests.setdefault(symbol.name, set()).add(of_value(_keyed(symbol.own, (symbol,))))
    return {
        name: min(several) if len(several) == 1 else of_value(sorted(several))
        for name, several in sorted(digests.items())
    }


def name_of(value: Any) -> str:
    """A function's, class's or module's ``module:qualname``."""
    if isinstance(value, FunctionType):
        # `functools.wraps` copies names; globals and code say where a function really stands.
        return f"{value.__globals__.get('__name__', '')}:{value.__code__.co_qualname}"
    if isinstance(value, ModuleType):
        return f"{value.__name__}:*"
    return f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"


def _keyed(shape: Shape, inside: tuple[Symbol, ...]) -> Shape:
    """A shape with symbols by name; a lambda or closure, which no name leads to, in place."""
    if isinstance(shape, Symbol):
        if shape.inline and shape not in inside:
            return ["(", shape.name, _keyed(shape.own, (*inside, shape))]
        return ["->", shape.name]
    return [_keyed(part, inside) for part in shape] if isinstance(shape, list) else shape
