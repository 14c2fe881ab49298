"""Which names an expression reads, with the attributes read from them, and where it hides what it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

_HIDING = frozenset({"__import__", "exec", "eval", "globals", "locals", "import_module"})


@dataclass(frozen=True, order=True)
class AttributeChain:
    """A name and the attributes read from it: ``np.random.rand`` is name ``np``, attributes ``("random", "rand")``."""

    name: str
    attributes: tuple[str, ...]
    line: int


def chains_of(nodes: Iterable[ast.AST]) -> set[AttributeChain]:
    """Every name in the nodes with the attributes read from it; ``getattr(x, "a")`` reads like ``x.a``."""
    chains: set[AttributeChain] = set()
    for node in nodes:
        _gather(node, chains)
    return chains


def _gather(node: ast.AST, chains: set[AttributeChain]) -> None:
    chain = _chain(node)
    if chain is not None:
        chains.add(chain)
        rest = node.args[1:] if isinstance(node, ast.Call) else []
        if isinstance(node, ast.Call):
            chains.add(AttributeChain("getattr", (), node.lineno))
    else:
        rest = list(ast.iter_child_nodes(node))  # type: ignore[arg-type]
    for child in rest:
        _gather(child, chains)


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
