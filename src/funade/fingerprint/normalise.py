"""A syntax tree without what changes no result: docstrings, bare constants, ``pass``, annotations nobody can read."""

from __future__ import annotations

import ast
import copy

Function = ast.FunctionDef | ast.AsyncFunctionDef
_GUARDED = (ast.Try, ast.TryStar)


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
    for argument in arguments(node.args):
        argument.annotation = None
    return node


def arguments(args: ast.arguments) -> list[ast.arg]:
    """Every argument of a signature."""
    starred = [arg for arg in (args.vararg, args.kwarg) if arg is not None]
    return [*args.posonlyargs, *args.args, *args.kwonlyargs, *starred]


def bare(node: Function | ast.Lambda, *, decorated: bool) -> ast.AST:
    """A definition without name and defaults; unless ``decorated``, also without decorators and annotations."""
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
