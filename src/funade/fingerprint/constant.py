"""The shape of a constant: a value as nested text that is equal exactly where the value is.

NumPy and pandas are looked up, never imported. A value that cannot be read counts by its type's
name and is tallied in ``Constants.opaque``, so that the caller can add the statement that made it.
"""

from __future__ import annotations

import datetime
import decimal
import fractions
import functools
import hashlib
import ipaddress
import re
import sys
import types
import uuid
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

Shape = Any
"""Text, a list of shapes, or what ``refer`` returned for a function, class, module or node."""

PLAIN = frozenset({type(None), bool, int, float, str, bytes, bytearray, type(...), type(NotImplemented)})
"""Types whose values hold no other value."""

# The parts by which a composed value is what it is.
_PARTS: dict[type, tuple[str, ...]] = {
    property: ("fget", "fset", "fdel"),
    staticmethod: ("__func__",),
    classmethod: ("__func__",),
    functools.partial: ("func", "args", "keywords"),
    functools.partialmethod: ("func", "args", "keywords"),
    functools.cached_property: ("func",),
    functools.singledispatchmethod: ("func", "dispatcher"),
    types.MethodType: ("__self__", "__func__"),
    re.Pattern: ("pattern", "flags"),
}
_SPOKEN = (
    datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo, decimal.Decimal, fractions.Fraction, uuid.UUID,
    range, slice, complex, zoneinfo.ZoneInfo, ipaddress.IPv4Address, ipaddress.IPv6Address,
)  # fmt: skip
_STANDARD = {list, tuple, set, frozenset, dict, deque, defaultdict, OrderedDict, Counter, types.MappingProxyType}
_BUILT_IN = {
    types.BuiltinFunctionType,
    types.MethodWrapperType,
    types.WrapperDescriptorType,
    types.MethodDescriptorType,
    types.ClassMethodDescriptorType,
}
_NOT_RECIPE = {"funade.declare.node:Secret", "funade.declare.node:Place"}
_SEARCHED = 200


def qualified(thing: Any) -> str:
    """``module:name`` of a library's function or class, without the private modules that its versions move it between.

    >>> qualified(Path)
    'pathlib:Path'
    """
    first, *rest = str(getattr(thing, "__module__", None) or "builtins").split(".")
    public = [first.lstrip("_")]
    for part in rest:
        if part.startswith("_"):
            break
        public.append(part)
    return f"{'.'.join(public)}:{getattr(thing, '__qualname__', None) or getattr(thing, '__name__', '?')}"


class Constants:
    """Reads values as shapes. ``refer`` gives the shape of a function, class, module or node, and None for others."""

    def __init__(
        self,
        root: Path,
        refer: Callable[[Any], Shape | None],
        order: Callable[[Any], object],
        ours: Callable[[Any], bool],
    ) -> None:
        self.opaque = 0
        self._root = str(root)
        self._refer = refer
        self._order = order
        self._ours = ours
        self._open: list[int] = []

    def shape(self, value: Any) -> Shape:
        """The value's shape."""
        if type(value) in PLAIN:
            return [type(value).__name__, self._plain(value)]
        referred = self._refer(value)
        if referred is not None:
            return referred
        if id(value) in self._open:
            return ["again", str(len(self._open) - self._open.index(id(value)))]
        self._open.append(id(value))
        try:
            return self._composed(value)
        finally:
            self._open.pop()

    def _plain(self, value: Any) -> str:
        if isinstance(value, bytes | bytearray):
            return hashlib.sha256(value).hexdigest()
        if isinstance(value, float):
            return value.hex()
        if isinstance(value, str):
            return self._portable(value)
        return hex(value) if type(value) is int else repr(value)

    def _portable(self, text: str) -> str:
        # A project is the same project wherever its folder lies: a laptop, CI, an unpacked snapshot.
        if text == self._root or text.startswith(self._root + "/"):
            return "<root>" + text[len(self._root) :]
        return text

    def _composed(self, value: Any) -> Shape:
        kind = type(value)
        if isinstance(value, Enum):
            inner = self.shape(value.value) if self._ours(kind) else ""
            return ["enum", self.shape(kind), value.name, inner]
        if kind in _STANDARD:
            return [kind.__name__, *self._content(value)]
        if isinstance(value, PurePath):
            return ["path", self._portable(str(value))]
        for known, parts in _PARTS.items():
            if isinstance(value, known):
                return [known.__name__, *(self.shape(getattr(value, part)) for part in parts)]
        if self._ours(kind):
            return ["instance", self.shape(kind), *self._content(value), *self._state(value)]
        if isinstance(value, _SPOKEN):
            return [qualified(kind), repr(value)]
        return self._of_library(value, kind)

    def _content(self, value: Any) -> Iterator[Shape]:
        if isinstance(value, defaultdict):
            yield self.shape(value.default_factory)
        if isinstance(value, dict | types.MappingProxyType):
            yield from ([self.shape(key), self.shape(item)] for key, item in dict(value).items())
        elif isinstance(value, set | frozenset):
            yield from (self.shape(item) for item in sorted(value, key=self._order))  # type: ignore[arg-type]
        elif isinstance(value, list | tuple | deque):
            yield from (self.shape(item) for item in value)
        elif isinstance(value, str | bytes | bytearray | int | float):
            plain: Any = next(known for known in (str, bytes, bytearray, int, float) if isinstance(value, known))
            yield self._plain(plain(value))

    def _state(self, value: Any) -> Iterator[Shape]:
        slots = {name for base in type(value).__mro__ for name in _slots(base)}
        state = {name: getattr(value, name) for name in slots if hasattr(value, name)} | getattr(value, "__dict__", {})
        yield from ([name, self.shape(state[name])] for name in sorted(state))

    def _of_library(self, value: Any, kind: type) -> Shape:
        numpy, pandas = sys.modules.get("numpy"), sys.modules.get("pandas")
        if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic | numpy.dtype):
            return self._of_numpy(value, numpy)
        if pandas is not None and isinstance(value, pandas.DataFrame | pandas.Series | pandas.Index):
            return self._of_pandas(value, pandas)
        if pandas is not None and (value is pandas.NA or value is pandas.NaT or isinstance(value, pandas.Timestamp)):
            return ["pandas", repr(value)]
        if kind in _BUILT_IN:
            owner = getattr(value, "__self__", None)
            bound = [] if owner is None or isinstance(owner, types.ModuleType) else [self.shape(owner)]
            return ["name", qualified(value), *bound]
        if qualified(kind) in _NOT_RECIPE:
            return ["name", qualified(kind)]
        self.opaque += 1
        return ["opaque", qualified(kind), *self.inside(value)]

    def _of_numpy(self, value: Any, numpy: types.ModuleType) -> Shape:
        if isinstance(value, numpy.dtype):
            return ["dtype", str(value.descr if value.fields else value.str)]
        dtype = self._of_numpy(value.dtype, numpy)
        if value.dtype.hasobject:
            return ["array", dtype, str(value.shape), self.shape(value.tolist())]
        return ["array", dtype, str(value.shape), hashlib.sha256(value.tobytes()).hexdigest()]

    def _of_pandas(self, value: Any, pandas: types.ModuleType) -> Shape:
        if isinstance(value, pandas.DataFrame):
            columns = [self._of_pandas(value.iloc[:, i], pandas)[1:] for i in range(value.shape[1])]
            return ["frame", self.shape(value.columns), self.shape(value.index), *columns]
        name = self.shape(list(value.names) if isinstance(value, pandas.MultiIndex) else value.name)
        index = self.shape(value.index) if isinstance(value, pandas.Series) else ""
        return [type(value).__name__, name, str(value.dtype), index, self._cells(value)]

    def _cells(self, column: Any) -> Shape:
        cells = column.to_numpy()
        return self.shape(list(cells) if cells.dtype.hasobject else cells)

    def inside(self, value: Any) -> list[Shape]:
        """The project's functions and classes that a library's object holds, as a pipeline holds its steps."""
        shapes: list[Shape] = []
        todo, seen = [value], {id(value)}
        while todo and len(seen) < _SEARCHED:
            for item in _held(todo.pop(0)):
                if id(item) in seen:
                    continue
                seen.add(id(item))
                named = item if isinstance(item, types.FunctionType | type) else type(item)
                if self._ours(named):
                    shapes.append(self.shape(named))
                else:
                    todo.append(item)
        return shapes


def _slots(base: type) -> Iterator[str]:
    named = base.__dict__.get("__slots__", base.__dict__.get("__struct_fields__", ()))
    for name in (named,) if isinstance(named, str) else tuple(named):
        if name not in ("__dict__", "__weakref__"):
            private = name.startswith("__") and not name.endswith("__")
            yield f"_{base.__name__.lstrip('_')}{name}" if private else name


def _held(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from list(value.values())
    elif isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, types.FunctionType):
        yield from closed_over(value).values()
        yield from (value.__defaults__ or ())
        yield from (value.__kwdefaults__ or {}).values()
        yield from vars(value).values()
    elif isinstance(value, types.MethodType):
        yield from (value.__self__, value.__func__)
    elif not isinstance(value, type | types.ModuleType | str | bytes):
        held = getattr(value, "__dict__", None)
        yield from list(held.values()) if isinstance(held, dict) else ()
        for name in ("__wrapped__", "py_func", "pyfunc", "__func__", "func"):
            inner = _quietly(value, name)
            if inner is not None:
                yield inner


def _quietly(value: Any, name: str) -> Any:
    try:
        return getattr(value, name, None)
    except Exception:  # a library's descriptor may raise whatever it likes
        return None


def closed_over(function: types.FunctionType) -> dict[str, Any]:
    """The values of a function's closure by name; a cell not yet filled is left out."""
    values: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            values[name] = cell.cell_contents
        except ValueError:
            continue
    return values
