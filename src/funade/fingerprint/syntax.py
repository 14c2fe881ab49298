"""The syntax of one source file: parsed once, normalised, indexed by what it defines.

Only the standard library is imported, so that equality across Python versions can be shown on
an interpreter that has nothing else.
"""

from __future__ import annotations

import ast
import copy
import dis
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_GUARDED = (ast.Try, ast.TryStar)
_UNSAID = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_GLOBAL_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_IMPLICIT = frozenset({"__name__", "__qualname__", "__module__", "__firstlineno__"})
_HIDING = frozenset({"__import__", "exec", "eval", "globals", "locals", "import_module"})


@dataclass(frozen=True, order=True)
class AttributeChain:
    """A name and the attributes read from it: ``np.random.rand`` is name ``np``, attributes ``("random", "rand")``."""

    name: str
    attributes: tuple[str, ...]
    line: int


@dataclass(frozen=True)
class Imported:
    """What one alias of an import statement binds; ``attribute`` is "" where the module itself is bound."""

    name: str
    module: str
    level: int
    attribute: str


class SourceFile:
    """One file's normalised tree and what stands where in it."""

    def __init__(self, text: str) -> None:
        self.tree = normalised(ast.parse(text))
        self.functions: dict[tuple[str, int], Function] = {}
        self.named: dict[str, list[Function | ast.ClassDef]] = {}
        self.lambdas = [node for node in ast.walk(self.tree) if isinstance(node, ast.Lambda)]
        self.statements: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, list[Imported]] = {}
        self.stars: list[ast.ImportFrom] = []
        self.readings: dict[tuple[int, str], Any] = {}
        self._index_definitions(self.tree, "")
        for statement in self.tree.body:
            self._index_statement(statement)

    def function(self, code: CodeType) -> Function | ast.Lambda | None:
        """The definition that ``code`` was compiled from; None where the file no longer says so."""
        if code.co_name == "<lambda>":
            return self._lambda(code)
        return self.functions.get((code.co_name, code.co_firstlineno))

    def _lambda(self, code: CodeType) -> ast.Lambda | None:
        # Several lambdas may share a line, so columns decide; the first instruction (RESUME) has none of its own.
        spans = [span for span in code.co_positions() if None not in span and span[2:] != (0, 0)]
        first = min(((a or 0, c or 0) for a, _, c, _ in spans), default=None)
        last = max(((b or 0, d or 0) for _, b, _, d in spans), default=None)
        if first is not None and last is not None:
            around = [node for node in self.lambdas if _start(node.body) <= first and last <= _end(node.body)]
            if around:
                return max(around, key=lambda node: _start(node.body))
        here = [node for node in self.lambdas if node.lineno == code.co_firstlineno]
        return here[0] if len(here) == 1 else None

    def _index_definitions(self, node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inside = prefix
            if isinstance(child, Function | ast.ClassDef):
                self.named.setdefault(prefix + child.name, []).append(child)
                inside = f"{prefix}{child.name}." + ("" if isinstance(child, ast.ClassDef) else "<locals>.")
            elif isinstance(child, ast.Lambda):
                inside = f"{prefix}<lambda>.<locals>."
            if isinstance(child, Function):
                first = min(part.lineno for part in (child, *child.decorator_list))
                self.functions[child.name, first] = child
            self._index_definitions(child, inside)

    def _index_statement(self, statement: ast.stmt) -> None:
        for node in _within_scope(statement):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                self.stars.append(node)
            for imported in imports_of(node):
                self.imports.setdefault(imported.name, []).append(imported)
            for name in _bound_by(node):
                into = self.statements.setdefault(name, [])
                if statement not in into:
                    into.append(statement)


def _start(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr) -> tuple[int, int]:
    return node.end_lineno or node.lineno, node.end_col_offset or node.col_offset


def _within_scope(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if not isinstance(node, _SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from _within_scope(child)


def _bound_by(node: ast.AST) -> Iterator[str]:
    """The module-level names that a node binds or acts upon, as ``CLIENT.connect()`` acts upon CLIENT."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from (imported.name for imported in imports_of(node))
        case ast.Name(id=name, ctx=ast.Store()):
            yield name
        case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
            yield from (inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name))
        case ast.Expr():
            yield from (inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name))
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name
        case ast.MatchMapping(rest=str(name)):
            yield name
        case _:
            # PEP 695 aliases exist from Python 3.12 on.
            if type(node).__name__ == "TypeAlias":
                yield node.name.id  # type: ignore[attr-defined]


def imports_of(node: ast.AST) -> list[Imported]:
    """What an import statement binds, one by one; nothing for other nodes and for star imports."""
    if isinstance(node, ast.Import):
        # `import a.b` binds `a`, `import a.b as c` binds the module a.b.
        return [Imported(alias.asname or alias.name.partition(".")[0], alias.name, 0, "") for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        named = [alias for alias in node.names if alias.name != "*"]
        return [Imported(a.asname or a.name, node.module or "", node.level, a.name) for a in named]
    return []


def normalised(tree: ast.Module) -> ast.Module:
    """The tree without docstrings, bare constants, ``pass`` and the annotations that nothing can read."""
    tree = _Normaliser().visit(tree)
    return ast.fix_missing_locations(tree)


class _Normaliser(ast.NodeTransformer):
    def __init__(self) -> None:
        self._in_function = False

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == [] and not isinstance(node, ast.Module):
            node.body = [ast.copy_location(ast.Pass(), node)]  # type: ignore[attr-defined]
        if isinstance(node, _GUARDED) and not node.handlers and not node.finalbody:
            node.finalbody = [ast.copy_location(ast.Pass(), node)]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Pass(self, node: ast.Pass) -> None:
        return None

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._scoped(node, in_function=False)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        # A decorator may read annotations (singledispatch, validate_call), so they stay below one.
        return self._scoped(node if node.decorator_list else _unannotated(node), in_function=True)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._scoped(node if node.decorator_list else _unannotated(node), in_function=True)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if not self._in_function or node.value is None:
            return node
        return ast.copy_location(ast.Assign(targets=[node.target], value=node.value), node)

    def _scoped(self, node: ast.AST, *, in_function: bool) -> ast.AST:
        before, self._in_function = self._in_function, in_function
        try:
            return self.generic_visit(node)
        finally:
            self._in_function = before


def _unannotated(node: Function) -> Function:
    node.returns = None
    for argument in _arguments(node.args):
        argument.annotation = None
    return node


def _arguments(args: ast.arguments) -> list[ast.arg]:
    starred = [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *starred]


def bare(node: Function | ast.Lambda, *, decorated: bool) -> ast.AST:
    """A definition without its name and defaults' expressions, and without decorators and annotations if told so."""
    node = copy.copy(node)
    node.args = copy.copy(node.args)
    node.args.defaults, node.args.kw_defaults = [], []
    if isinstance(node, ast.Lambda):
        return node
    node.name = ""
    if not decorated:
        for field in ("posonlyargs", "args", "kwonlyargs"):
            setattr(node.args, field, [copy.copy(arg) for arg in getattr(node.args, field)])
        node.args.vararg, node.args.kwarg = copy.copy(node.args.vararg), copy.copy(node.args.kwarg)
        node.decorator_list = []
        _unannotated(node)
    return node


def defaults_of(node: Function | ast.Lambda) -> list[ast.expr]:
    """The expressions of a definition's defaults."""
    return [*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]


def header_of(node: Function | ast.Lambda) -> list[ast.expr]:
    """A definition's decorators and, below them, the annotations they can read."""
    if isinstance(node, ast.Lambda) or not node.decorator_list:
        return []
    annotations = [node.returns, *(argument.annotation for argument in _arguments(node.args))]
    return [*node.decorator_list, *(read for a in annotations if a is not None for read in _unquoted(a))]


def class_level(node: ast.ClassDef) -> Iterator[ast.expr]:
    """The expressions that run when a class is made: decorators, bases, keywords, fields, but no method's body."""
    yield from node.decorator_list
    yield from node.bases
    yield from (keyword.value for keyword in node.keywords)
    for statement in node.body:
        if isinstance(statement, Function):
            yield from (*header_of(statement), *defaults_of(statement))
        elif isinstance(statement, ast.ClassDef):
            yield from class_level(statement)
        else:
            yield from (read for top in ast.iter_child_nodes(statement) for read in _expressions(top))


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    if isinstance(node, ast.expr):
        yield from _unquoted(node)
    elif not isinstance(node, _SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from _expressions(child)


def _unquoted(node: ast.expr) -> Iterator[ast.expr]:
    """The expression, and what a quoted annotation inside it says."""
    yield node
    for inner in ast.walk(node):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and len(inner.value) < 200:
            try:
                quoted = ast.parse(inner.value.strip(), mode="eval").body
            except (SyntaxError, ValueError):
                continue
            yield ast.copy_location(quoted, inner)


def members_of(node: ast.ClassDef) -> set[str]:
    """The names a class body binds."""
    return {name for statement in node.body for inner in _within_scope(statement) for name in _bound_by(inner)}


def chains_of(nodes: Iterable[ast.AST]) -> set[AttributeChain]:
    """Every name in the nodes with the attributes read from it; ``getattr(x, "a")`` reads like ``x.a``."""
    found: set[AttributeChain] = set()
    for node in nodes:
        _gather(node, found)
    return found


def _gather(node: ast.AST, found: set[AttributeChain]) -> None:
    chain = _chain(node)
    if chain is not None:
        found.add(chain)
        rest = node.args[1:] if isinstance(node, ast.Call) else []
        if isinstance(node, ast.Call):
            found.add(AttributeChain("getattr", (), node.lineno))
    else:
        rest = list(ast.iter_child_nodes(node))  # type: ignore[arg-type]
    for child in rest:
        _gather(child, found)


def _chain(node: ast.AST) -> AttributeChain | None:
    match node:
        case ast.Name(id=name, ctx=ast.Load()):  # what is only bound (a field `limit: int`) reads no global
            return AttributeChain(name, (), node.lineno)
        case ast.Attribute(value=inner, attr=attribute):
            pass
        case ast.Call(func=ast.Name(id="getattr"), args=[inner, ast.Constant(value=str(attribute)), *_]):
            pass
        case _:
            return None
    before = _chain(inner)
    return before and AttributeChain(before.name, (*before.attributes, attribute), before.line)


def hiding(node: ast.AST) -> list[tuple[int, str]]:
    """The calls in a node that hide what they reach, as (line, called name)."""
    return [(call.lineno, name) for call in ast.walk(node) if isinstance(call, ast.Call) and (name := _hides(call))]


def _hides(call: ast.Call) -> str:
    match call:
        case ast.Call(func=ast.Name(id="getattr"), args=[_, ast.Constant(value=str()), *_]):
            return ""
        case ast.Call(func=ast.Name(id="getattr")):
            return "getattr"
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr="import_module" as name)) if name in _HIDING:
            return name
    return ""


def loaded_globals(code: CodeType) -> frozenset[str]:
    """The global names that a code object and the code objects inside it load."""
    return frozenset(_loads(code))


@lru_cache(maxsize=8192)
def _loads(code: CodeType) -> frozenset[str]:
    own = {
        str(step.argval)
        for step in dis.get_instructions(code)
        if step.opname in _GLOBAL_LOADS and not (step.opname == "LOAD_NAME" and step.argval in _IMPLICIT)
    }
    return frozenset(own).union(*(_loads(inner) for inner in code.co_consts if isinstance(inner, CodeType)))


def compiled(statement: ast.stmt) -> CodeType:
    """A module-level statement as code, to read its global names from."""
    module = ast.Module(body=[statement], type_ignores=[])
    code: CodeType = compile(module, "<statement>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return code


def dump(node: object) -> str:
    """A tree as text that says what it does and is one on every Python from 3.11 on.

    Positions, contexts and empty optional fields, which differ between versions, stay out.

    >>> dump(ast.parse("1_000", mode="eval").body) == dump(ast.parse("(1000)", mode="eval").body)
    True
    """
    if isinstance(node, ast.AST):
        said = ((name, value) for name, value in ast.iter_fields(_joined(node)) if name not in _UNSAID)
        fields = ",".join(f"{name}={dump(value)}" for name, value in sorted(said, key=_first) if _says(value))
        return f"{type(node).__name__}({fields})"
    if isinstance(node, list):
        return "[" + ",".join(map(dump, node)) + "]"
    return _literal(node)


def _first(pair: tuple[str, object]) -> str:
    return pair[0]


def _says(value: object) -> bool:
    return value is not None and value != []


def _literal(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, bytes):
        return f"b{value.hex()}"
    if isinstance(value, bool) or value is None or value is ...:
        return repr(value)
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, complex):
        return f"{value.real.hex()}+{value.imag.hex()}j"
    return value.hex() if isinstance(value, float) else repr(value)


def _joined(node: ast.AST) -> ast.AST:
    """An f-string with neighbouring constants merged: versions split them differently."""
    if not isinstance(node, ast.JoinedStr):
        return node
    parts: list[ast.expr] = []
    for part in node.values:
        if isinstance(part, ast.Constant) and parts and isinstance(parts[-1], ast.Constant):
            parts[-1] = ast.Constant(f"{parts[-1].value!s}{part.value!s}")
        elif not (isinstance(part, ast.Constant) and part.value == ""):
            parts.append(part)
    return ast.JoinedStr(values=parts)
