"""What a function or class reaches in the project's code: functions, classes and constants, each with its own text.

Every reached thing is a unit: its *own* part (normalised code or values) and its *reach* (what its
names lead to). Units are known by the object itself, so a decorator's wrapper and the function it
wraps stay two although they bear one name.
"""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from funade.digest import of_bytes, of_file
from funade.errors import DeclarationError
from funade.fingerprint import syntax
from funade.fingerprint.chains import AttributeChain, chains_of
from funade.fingerprint.constant import PLAIN, Constants, Shape, closed_over, qualified
from funade.fingerprint.dump import dump
from funade.fingerprint.members import members
from funade.fingerprint.modules import MISSING, ProjectModules, absolute, attribute
from funade.fingerprint.notes import CodeNotes
from funade.fingerprint.reading import ProjectCode, Reading, read
from funade.fingerprint.symbol import Global, Symbol, digest_of, digests_by_name, name_of
from funade.fingerprint.syntax import Imported

_NESTED_SETS = 3


class Reach:
    """Everything that ``start`` reaches in the project below ``root``."""

    def __init__(self, start: Any, root: Path, *, depth: int = 0) -> None:
        self.units: list[Symbol] = []
        self._start = start
        self._depth = depth
        self._project = ProjectCode(root.resolve(), start)
        self._notes = CodeNotes(self._project)
        self._modules = ProjectModules(self._project, self._notes)
        self._known: dict[object, Symbol] = {}
        self._queue: deque[tuple[Symbol, Callable[[Symbol], None]]] = deque()
        self._constants = Constants(self._project.root, self._refer, self._order, self._ours)
        self._first = self._constants.shape(start)
        while self._queue:
            unit, fill = self._queue.popleft()
            fill(unit)

    @property
    def notes(self) -> set[tuple[str, int, str]]:
        """What is not seen, as (file, line, what)."""
        return self._notes.lines

    def digest(self) -> str:
        """One digest of all that is reached; the start's own name is not part of it."""
        return digest_of(self._start, self._first, self.units)

    def symbols(self) -> dict[str, str]:
        """The digest of each reached symbol alone, by ``module:qualname``."""
        return digests_by_name(self.units)

    # -- references

    def _refer(self, value: Any) -> Shape | None:
        if isinstance(value, ModuleType):
            return self._module(value)
        if isinstance(value, type):
            return self._unit(value, self._fill_class) if self._ours(value) else ["name", qualified(value)]
        if isinstance(value, FunctionType):
            if self._ours(value):
                return self._unit(value, self._fill_function)
            return self._library_function(value)
        if _is_node(value):
            return self._node(value)
        return None

    def _library_function(self, value: FunctionType) -> Shape:
        name = f"{str(value.__globals__.get('__name__', '')).lstrip('_')}:{value.__code__.co_qualname}"
        if value.__closure__ or "<locals>" in name:
            self._constants.opaque += 1
            return ["name", name, *self._constants.inside(value)]
        return ["name", name]

    def _node(self, node: Any) -> Shape:
        if node.function is self._start or self._depth:
            return self._refer(node.function)
        start = getattr(self._start, "__name__", str(self._start))
        inside, file, line = self._notes.at
        where = "its own body" if inside == name_of(self._start) else f"`{inside}`"
        raise DeclarationError(
            f"`{start}` expected the node `{node.name}` as an input, got it used inside {where}",
            at=f"{file}:{line}",
            do=f"take it as an input: {node.name}={node.name} above `{start}`",
        )

    def _module(self, module: ModuleType) -> Shape:
        if not self._project.has(vars(module)):
            return ["module", module.__name__]
        self._notes.add_here(f"module `{module.__name__}` is used as a whole: all of it counts")
        return self._unit(module, self._fill_module)

    def _unit(self, value: Any, fill: Callable[[Symbol], None], *, name: str = "", key: object = None) -> Symbol:
        key = key or id(value)
        known = self._known.get(key)
        if known is None:
            name = name or name_of(value)
            known = Symbol(name, value, inline=value is not self._start and not self._is_symbol(value, name))
            self._known[key] = known
            self.units.append(known)
            self._queue.append((known, fill))
        return known

    def _is_symbol(self, value: Any, name: str) -> bool:
        """Whether a name in the source leads to it; lambdas, closures and classes made by calls are parts of others."""
        if isinstance(value, type):
            return bool(self._class_nodes(value))
        return "<lambda>" not in name and "<locals>" not in name

    def _order(self, item: Any) -> object:
        """A sort key for a set's items that does not depend on hashes or addresses."""
        kind, parts = type(item).__qualname__, item if isinstance(item, tuple) else (item,)
        if all(type(part) in PLAIN for part in parts):
            return kind, repr(item)
        if self._depth == _NESTED_SETS:
            return kind, qualified(item)
        return kind, Reach(item, self._project.root, depth=self._depth + 1).digest()

    # -- functions

    def _fill_function(self, unit: Symbol) -> None:
        function: FunctionType = unit.value
        self._notes.add_stars(function.__globals__)
        source, file = self._project.source_of_function(function)
        node = source.function(function.__code__) if source else None
        self._notes.at = (unit.name, file, function.__code__.co_firstlineno)
        names = sorted(syntax.loaded_globals(function.__code__))
        if source is None or node is None:
            self._notes.add_here(f"source of `{unit.name}` cannot be read: its bytecode counts")
            unit.own = ["bytecode", _bytecode(function.__code__), *self._values(function, unit)]
            unit.reach = [*self._names(function.__globals__, names, ()), *self._held(function)]
            return
        decorated = function is not self._start
        body = read(source, node, "decorated" if decorated else "bare")
        unit.own = ["function", body.text]
        before = self._constants.opaque
        values = self._values(function, unit)
        header = syntax.header_of(node, function.__globals__) if decorated else []
        if self._constants.opaque > before:
            defaults = syntax.defaults_of(node)
            unit.own.append(dump(list(defaults)))
            header = [*header, *defaults]
        unit.own.extend(values)
        chains = sorted(chains_of(header))
        unit.reach = [
            *self._names(function.__globals__, names, body.chains),
            *self._names(function.__globals__, sorted({c.name for c in chains}), chains),
            *self._imported(function.__globals__, body),
            *self._held(function),
        ]
        self._notes.add_hiding(function.__globals__, file, body)

    def _values(self, function: FunctionType, unit: Symbol) -> list[Shape]:
        """The values a function carries: defaults always, its closure where no name of its own leads to it."""
        carried = [self._constants.shape(function.__defaults__), self._constants.shape(function.__kwdefaults__)]
        plain = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
        if plain:
            carried.append(self._constants.shape(plain))
        if unit.inline:
            carried.append([[name, self._constants.shape(value)] for name, value in closed_over(function).items()])
        return carried

    def _held(self, function: FunctionType) -> Iterator[Shape]:
        for name, value in closed_over(function).items():
            yield [name, self._constants.shape(value)]
        if "__wrapped__" in vars(function):
            yield ["__wrapped__", self._constants.shape(vars(function)["__wrapped__"])]

    def _imported(self, scope: dict[str, Any], body: Reading) -> Iterator[Shape]:
        """What a function's own import statements lead to."""
        for line, imported in body.imports:
            self._notes.at = (*self._notes.at[:2], line)
            target = absolute(imported, str(scope.get("__package__") or ""))
            module = self._modules.get(target)
            if module is None:
                continue
            if imported.attribute:
                yield from self._attributes(module, imported.attribute, imported.name, body.chains)
            else:
                bound = module if imported.name != target.partition(".")[0] else sys.modules[imported.name]
                yield from self._through_all(bound, imported.name, body.chains)

    def _attributes(
        self, module: ModuleType, attribute: str, name: str, chains: Iterable[AttributeChain]
    ) -> Iterator[Shape]:
        if attribute not in vars(module):
            self._modules.get(f"{module.__name__}.{attribute}")
        value = vars(module).get(attribute)
        if isinstance(value, ModuleType):
            yield from self._through_all(value, name, chains)
        else:
            yield [name, self._through(module, (attribute,))]

    # -- names

    def _names(self, scope: dict[str, Any], names: Iterable[str], chains: Iterable[AttributeChain]) -> Iterator[Shape]:
        """What global names lead to; a module leads to the attributes read from it."""
        for name in names:
            if name not in scope:
                continue  # a builtin counts by its name, which the text says
            line = min((chain.line for chain in chains if chain.name == name), default=self._notes.at[2])
            with self._notes.on_line(line):
                if isinstance(scope[name], ModuleType):
                    yield from self._through_all(scope[name], name, chains)
                else:
                    yield [name, self._global(scope, name)]

    def _through_all(self, module: ModuleType, name: str, chains: Iterable[AttributeChain]) -> Iterator[Shape]:
        if not self._project.has(vars(module)):
            yield [name, ["module", module.__name__]]
            return
        used: dict[tuple[str, ...], int] = {}
        for chain in chains:
            if chain.name == name:
                used[chain.attributes] = min(chain.line, used.get(chain.attributes, chain.line))
        for attributes, line in sorted((used or {(): self._notes.at[2]}).items()):
            with self._notes.on_line(line):
                yield [".".join((name, *attributes)), self._through(module, attributes)]

    def _through(self, module: ModuleType, attributes: tuple[str, ...]) -> Shape:
        """What reading attributes one after the other from a module leads to."""
        if not attributes or not self._project.has(vars(module)):
            return self._refer(module)
        first, *rest = attributes
        if first not in vars(module) and self._modules.get(f"{module.__name__}.{first}") is None:
            return self._refer(module)
        value = vars(module)[first]
        return self._through(value, tuple(rest)) if isinstance(value, ModuleType) else self._global(vars(module), first)

    def _global(self, scope: dict[str, Any], name: str) -> Shape:
        """What a module's global leads to: by name into a library, else to the function, class or constant."""
        value = scope[name]
        if _is_node(value):
            return self._node(value)
        scope, name, library = self._home(scope, name)
        if library:
            return ["name", library]
        key = f"{scope.get('__name__')}:{name}"
        if isinstance(value, FunctionType | type) and self._ours(value) and name_of(value) == key:
            unit = self._refer(value)
            if isinstance(unit, Symbol) and not unit.inline:
                return unit
        return self._unit(Global(scope, name), self._fill_global, name=key, key=(id(scope), name))

    def _home(self, scope: dict[str, Any], name: str) -> tuple[dict[str, Any], str, str]:
        """The scope and name that bound a global first, following imports; third, its name in a library or ""."""
        source, _ = self._project.source_of(scope)
        if source is None:
            return scope, name, ""
        package = str(scope.get("__package__") or "")
        stars = () if name in source.statements else source.stars
        imports = [
            *source.imports.get(name, ()),
            *(Imported(name, star.module or "", star.level, name) for star in stars),
        ]
        for imported in imports:
            target, member = absolute(imported, package), imported.attribute
            module = sys.modules.get(target)
            if module is None or not member or attribute(module, member) is not scope[name]:
                continue
            if not self._project.has(vars(module)):
                return scope, name, f"{target}:{member}"
            return self._home(vars(module), member) if member in vars(module) else (scope, name, "")
        return scope, name, ""

    def _fill_global(self, unit: Symbol) -> None:
        """A global: its value; and where that is made by a call or cannot be read, the statements that bind it."""
        scope, name = unit.value.scope, unit.value.name
        source, file = self._project.source_of(scope)
        self._notes.add_stars(scope)
        statements = source.statements.get(name, []) if source else []
        self._notes.at = (unit.name, file, statements[0].lineno if statements else 0)
        before = self._constants.opaque
        unit.own = ["global", self._constants.shape(scope[name])]
        made = isinstance(scope[name], FunctionType | type)
        if not made and self._constants.opaque == before:
            return
        if source is None or not statements:
            self._notes.add(f"`{unit.name}` cannot be read: it counts by its type", file, 0)
            return
        for statement in statements:
            reading = read(source, statement, "whole")
            unit.own.append(reading.text)
            names = syntax.loaded_globals(syntax.compiled(statement)) - {name}
            self._notes.add_hiding(scope, file, reading)
            unit.reach.extend(self._names(scope, sorted(names), reading.chains))

    # -- classes and modules

    def _fill_class(self, unit: Symbol) -> None:
        cls: type = unit.value
        module = sys.modules.get(cls.__module__)
        scope = vars(module) if module else {}
        self._notes.add_stars(scope)
        source, file = self._project.source_of(scope)
        nodes = self._class_nodes(cls)
        self._notes.at = (unit.name, file, nodes[0].lineno if nodes else 0)
        unit.own = ["class", *(read(source, node, "whole").text for node in nodes if source)]
        unit.reach = [self._constants.shape(base) for base in cls.__bases__] + [self._constants.shape(type(cls))]
        bound = {name for node in nodes for name in syntax.members_of(node)}
        for name, value in sorted(members(cls, bound, self._ours), key=itemgetter(0)):
            before = self._constants.opaque
            shape = self._constants.shape(value)
            into = unit.reach if isinstance(shape, Symbol) else unit.own
            into.append([name, shape])
            self._constants.opaque = before if nodes else self._constants.opaque
        for node in nodes:
            chains = sorted(chains_of(syntax.class_level(node, scope)))
            unit.reach.extend(self._names(scope, sorted({chain.name for chain in chains}), chains))
            self._notes.add_hiding(scope, file, read(source, node, "whole") if source else None)

    def _class_nodes(self, cls: type) -> list[ast.ClassDef]:
        module = sys.modules.get(cls.__module__)
        source = self._project.source_of(vars(module))[0] if module else None
        return [
            node
            for node in (source.named.get(cls.__qualname__, ()) if source else ())
            if isinstance(node, ast.ClassDef)
        ]

    def _fill_module(self, unit: Symbol) -> None:
        module: ModuleType = unit.value
        source, file = self._project.source_of(vars(module))
        self._notes.add_stars(vars(module))
        unit.name = f"{module.__name__}:*"
        unit.own = ["module", of_bytes(dump(source.tree).encode()) if source else _file_digest(module)]
        for name in sorted(source.statements if source else ()):
            value = vars(module).get(name, MISSING)
            self._notes.at = (unit.name, file, 0)
            if isinstance(value, ModuleType) and self._project.has(vars(value)) and value is not module:
                unit.reach.append([name, self._unit(value, self._fill_module)])
            elif value is not MISSING and not _is_node(value) and not isinstance(value, ModuleType):
                unit.reach.append([name, self._global(vars(module), name)])

    def _ours(self, value: Any) -> bool:
        if isinstance(value, FunctionType):
            return (value is self._start and not self._depth) or self._project.has(value.__globals__)
        module = sys.modules.get(getattr(value, "__module__", "") or "")
        return module is not None and self._project.has(vars(module))


def _is_node(value: Any) -> bool:
    if isinstance(value, type):
        return False
    try:
        return getattr(value, "__funade_node__", False) is True
    except Exception:  # a library's object may raise whatever it likes
        return False


def _bytecode(code: CodeType) -> Shape:
    inner = [_bytecode(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), inner]


def _file_digest(module: ModuleType) -> str:
    path = Path(str(module.__file__ or ""))
    return of_file(path) if path.is_file() else ""
