"""The syntax of one source file: parsed once, normalised, indexed by what it defines.

This module and those it takes from this package need the standard library alone, so that equality across Python
versions can be shown on an interpreter that has nothing else.
"""

from __future__ import annotations

import ast
import dis
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType, ModuleType
from typing import Annotated, Any

from funade.fingerprint.normalise import Function, arguments, normalised

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_GLOBAL_LOADS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_IMPLICIT = frozenset({"__name__", "__qualname__", "__module__", "__firstlineno__"})


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


def defaults_of(node: Function | ast.Lambda) -> list[ast.expr]:
    """The expressions of a definition's defaults."""
    return [*node.args.defaults, *(value for value in node.args.kw_defaults if value is not None)]


def header_of(node: Function | ast.Lambda, scope: Mapping[str, Any]) -> list[ast.expr]:
    """A definition's decorators and, below them, the annotations they can read; ``scope`` has its module's names."""
    if isinstance(node, ast.Lambda) or not node.decorator_list:
        return []
    annotations = [node.returns, *(argument.annotation for argument in arguments(node.args))]
    return [*node.decorator_list, *(read for a in annotations if a is not None for read in _annotation(a, scope))]


def class_level(node: ast.ClassDef, scope: Mapping[str, Any]) -> Iterator[ast.expr]:
    """The expressions that run when a class is made: decorators, bases, keywords, fields, but no method's body."""
    yield from node.decorator_list
    yield from node.bases
    yield from (keyword.value for keyword in node.keywords)
    for statement in node.body:
        if isinstance(statement, Function):
            yield from (*header_of(statement, scope), *defaults_of(statement))
        elif isinstance(statement, ast.ClassDef):
            yield from class_level(statement, scope)
        else:
            yield from _expressions(statement, scope)


def _expressions(node: ast.AST, scope: Mapping[str, Any]) -> Iterator[ast.expr]:
    if isinstance(node, ast.AnnAssign):
        yield from _annotation(node.annotation, scope)
        yield from [node.value] if node.value is not None else []
    elif isinstance(node, ast.expr):
        yield node
    elif not isinstance(node, _SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from _expressions(child, scope)


def _annotation(node: ast.expr, scope: Mapping[str, Any]) -> Iterator[ast.expr]:
    """The annotation, and what quoted ones inside it say."""
    yield node
    yield from _quoted(node, scope)


def _quoted(node: ast.AST, scope: Mapping[str, Any]) -> Iterator[ast.expr]:
    """What is quoted as a type: neither a Literal's texts, nor those that a call or Annotated is given."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            yield ast.copy_location(ast.parse(node.value.strip(), mode="eval").body, node)
        except (SyntaxError, ValueError):
            return
    elif isinstance(node, ast.Subscript):
        form = _form(node.value, scope)
        if form == "Annotated" and isinstance(node.slice, ast.Tuple):
            yield from _quoted(node.slice.elts[0], scope)
        elif form != "Literal":
            yield from _quoted(node.slice, scope)
    elif not isinstance(node, ast.Call):
        for inner in ast.iter_child_nodes(node):
            yield from _quoted(inner, scope)


def _form(node: ast.expr, scope: Mapping[str, Any]) -> str:
    """What a subscripted name of typing is called there, whatever the module calls it."""
    value: Any = None
    if isinstance(node, ast.Name):
        value = scope.get(node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        value = vars(scope[node.value.id]).get(node.attr) if isinstance(scope.get(node.value.id), ModuleType) else None
    if value is None:  # imported for type checkers alone
        return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return "Annotated" if value is Annotated else str(getattr(value, "_name", ""))


def members_of(node: ast.ClassDef) -> set[str]:
    """The names a class body binds."""
    return {name for statement in node.body for inner in _within_scope(statement) for name in _bound_by(inner)}


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
