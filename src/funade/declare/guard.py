"""Guards: what of an api's answers may leave, and what becomes of an answer that may not."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, get_args

from funade.contract.field import Contract, Field, admits
from funade.declare.node import Node, refusal
from funade.declare.policy import Guard, Otherwise, _Policy
from funade.errors import DeclarationError, closest

Bounds = tuple[float | None, float | None]
"""(least, greatest), both included; None leaves a side open."""


class GuardFunction(_Policy, frozen=True):
    """A function of the user's that says which answers may leave; ``declared`` gives it as plain data."""

    on = frozenset({"api"})
    effect = "remakes"
    many = True
    function: Any
    otherwise: Otherwise

    @property
    def declared(self) -> Guard:
        """The policy without its code."""
        return Guard({}, self.otherwise, f"{self.function.__module__}:{self.function.__qualname__}")


def guard(
    check: Callable[..., Any] | None = None, /, *, otherwise: Otherwise | None = None, **bounds: Bounds
) -> Guard | GuardFunction:
    """Check answers before they leave: fields against bounds, ``guard(eta_min=(0, 180))``, or rows by a function.

    The function takes, by the names of its parameters, columns of the answers and of the request (NumPy arrays) and the
    api's inputs and settings; it gives a bool for each row, true where the answer may leave.

    Args:
        check: the function; without it, give bounds.
        otherwise: what becomes of another answer: ``clamp`` it to the nearer bound (as usual with bounds), answer the
            ``fallback`` (as usual with a function), or ``reject`` the row with an error.
        bounds: field → (least, greatest), both included; None or infinity leaves a side open. NaN is not touched.
    """
    known = get_args(Otherwise)
    if otherwise is not None and otherwise not in known:
        raise DeclarationError(f"policy `guard` expected otherwise= one of {', '.join(known)}, got {otherwise!r}")
    if check is None:
        limits = {name: _bound(name, bound) for name, bound in bounds.items()}
        if not limits:
            raise DeclarationError("policy `guard` expected bounds or a function, got none", do=_EXAMPLES)
        return Guard(limits, otherwise or "clamp")
    if bounds:
        raise DeclarationError(
            f"policy `guard` expected bounds or a function, got both (`{next(iter(bounds))}`)", do="write two guards"
        )
    if not inspect.isfunction(check) or check.__name__ == "<lambda>":
        got = "a lambda" if inspect.isfunction(check) else f"`{check!r}`"
        raise DeclarationError(f"policy `guard` expected a function with a name, got {got}", do="write def name(…)")
    if otherwise == "clamp":
        raise DeclarationError(
            f"policy `guard` expected bounds to clamp to, got the function `{check.__name__}`",
            do='say otherwise="fallback" or otherwise="reject"',
        )
    return GuardFunction(check, otherwise or "fallback")


_EXAMPLES = "write fn.guard(field=(least, greatest)), or fn.guard(function)"


def _bound(name: str, bound: Any) -> Bounds:
    pair = tuple(bound) if isinstance(bound, tuple | list) else ()
    sides = [None if isinstance(side, float) and math.isinf(side) else side for side in pair]
    fine = all(s is None or (isinstance(s, int | float) and not isinstance(s, bool) and s == s) for s in sides)
    least, greatest = sides if fine and len(sides) == 2 else (None, None)
    if (least is None and greatest is None) or (least is not None and greatest is not None and least > greatest):
        raise DeclarationError(f"policy `guard` expected {name}=(least, greatest), got {bound!r}")
    return None if least is None else float(least), None if greatest is None else float(greatest)


def check_guards(node: Node[Any, Any], guards: Sequence[Guard | GuardFunction], contract: Contract) -> None:
    """Refuse guards that do not fit their api.

    Raises:
        DeclarationError: a field or parameter that is not there, or a bound that the contract does not admit.
    """
    fields = {f.name: f for f in contract.gives_fields}
    for rule in guards:
        if isinstance(rule, GuardFunction):
            _check_parameters(node, rule, contract)
            continue
        for name, bound in rule.bounds.items():
            if name not in fields:
                what = f"expected a field of its answer under `guard`, got `{name}`"
                raise refusal(node, what, closest(name, fields))
            _check_bound(node, fields[name], bound, rule.otherwise)


def _check_bound(node: Node[Any, Any], field: Field, bound: Bounds, otherwise: str) -> None:
    if field.type not in ("int", "float"):
        what = f"expected a number under `guard`, got `{field.name}`, which is {field.type}"
        raise refusal(node, what, "guard it with a function")
    whole = field.type == "int"
    for side in bound if otherwise == "clamp" else ():
        if side is not None and ((whole and not side.is_integer()) or not admits(field, int(side) if whole else side)):
            what = f"expected `{field.name}` clamped to values of its contract, got {side:.15g}"
            raise refusal(node, what, "change the guard's bounds, or the contract's")


def _check_parameters(node: Node[Any, Any], rule: GuardFunction, contract: Contract) -> None:
    gives, takes = ({f.name for f in fields} for fields in (contract.gives_fields, contract.takes_fields))
    known = [*gives, *takes, *node.inputs, *node.settings]
    for name, parameter in inspect.signature(rule.function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            got = str(parameter).partition(":")[0]
            what, remedy = f"expected parameters that can be given by name, got `{got}`", "name each of them"
        elif known.count(name) > 1:
            what, remedy = f"expected one meaning of `{name}`, got {known.count(name)}", "rename one of them"
        elif name not in known and parameter.default is parameter.empty:
            what = f"expected parameters named as columns, inputs or settings of its api, got `{name}`"
            remedy = closest(name, known)
        else:
            continue
        label = f"guard `{rule.function.__name__}` of api `{node.name}`"
        raise DeclarationError(f"{label} {what}", at=node.place, do=remedy)
