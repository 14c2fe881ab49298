"""A syntax tree as text that is one on every Python version."""

from __future__ import annotations

import ast
import json

_OMITTED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def dump(node: object) -> str:
    """A tree as text that says what it does and is one on every Python from 3.11 on.

    Positions, contexts and empty optional fields, which differ between versions, stay out.

    >>> dump(ast.parse("1_000", mode="eval").body) == dump(ast.parse("(1000)", mode="eval").body)
    True
    """
    if isinstance(node, ast.AST):
        values = dict(ast.iter_fields(_joined(node)))
        names = sorted(name for name in values.keys() - _OMITTED if values[name] is not None and values[name] != [])
        fields = ",".join(f"{name}={dump(values[name])}" for name in names)
        return f"{type(node).__name__}({fields})"
    if isinstance(node, list):
        return "[" + ",".join(map(dump, node)) + "]"
    return _literal(node)


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
