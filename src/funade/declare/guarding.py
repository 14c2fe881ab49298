"""Guards: what of an api's answers may leave, and what becomes of an answer that may not."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from funade.declare.answers import Answers
from funade.declare.breaks import admits
from funade.declare.field import Contract, Field
from funade.declare.given import Fault, Given
from funade.declare.policy import Guard, Otherwise, _Policy
from funade.declare.reason import GUARD, REFUSED
from funade.errors import AnswerError, DeclarationError, closest

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Columns = dict[str, Array]
    Masks = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]

Bounds = tuple[float | None, float | None]
"""(least, greatest), both included; None leaves a side open."""

_SAID = {"clamp": "clamped", "fallback": "fallback", "reject": "rejected"}
_CODES = {"fallback": GUARD, "reject": REFUSED}


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
    """What of the answers may leave: fields within bounds, ``guard(eta_min=(0, 180))``, or what a function allows.

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
        found = {name: _bound(name, bound) for name, bound in bounds.items()}
        if not found:
            raise DeclarationError("policy `guard` expected bounds or a function, got none", do=_EXAMPLES)
        return Guard(found, otherwise or "clamp")
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


def check_guards(api: str, guards: Sequence[Guard | GuardFunction], contract: Contract, others: Sequence[str]) -> None:
    """Refuse guards that do not fit their api.

    Args:
        api: its name.
        guards: its guards.
        contract: its contract.
        others: names of its inputs and settings.

    Raises:
        DeclarationError: a field or parameter that is not there, or a bound that the contract does not admit.
    """
    fields = {f.name: f for f in contract.gives_fields}
    for one in guards:
        if isinstance(one, GuardFunction):
            _check_parameters(api, one, contract, others)
            continue
        for name, bound in one.bounds.items():
            if name not in fields:
                raise DeclarationError(
                    f"api `{api}` expected a field of its answer under `guard`, got `{name}`", do=closest(name, fields)
                )
            _check_bound(api, fields[name], bound, one.otherwise)


def _check_bound(api: str, field: Field, bound: Bounds, otherwise: str) -> None:
    if field.type not in ("int", "float"):
        raise DeclarationError(
            f"api `{api}` expected a number under `guard`, got `{field.name}`, which is {field.type}",
            do="guard it with a function",
        )
    whole = field.type == "int"
    for side in bound if otherwise == "clamp" else ():
        if side is not None and ((whole and not side.is_integer()) or not admits(field, int(side) if whole else side)):
            raise DeclarationError(
                f"api `{api}` expected `{field.name}` clamped to values of its contract, got {side:.15g}",
                do="change the guard's bounds, or the contract's",
            )


def _check_parameters(api: str, one: GuardFunction, contract: Contract, others: Sequence[str]) -> None:
    label = f"guard `{one.function.__name__}` of api `{api}`"
    gives, takes = ({f.name for f in fields} for fields in (contract.gives_fields, contract.takes_fields))
    known = [*gives, *takes, *others]
    for name, parameter in inspect.signature(one.function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            got = str(parameter).partition(":")[0]
            raise DeclarationError(
                f"{label} expected parameters that can be given by name, got `{got}`", do="name each of them"
            )
        if known.count(name) > 1:
            raise DeclarationError(
                f"{label} expected one meaning of `{name}`, got {known.count(name)}", do="rename one of them"
            )
        if name not in known and parameter.default is parameter.empty:
            raise DeclarationError(
                f"{label} expected parameters named as columns, inputs or settings of its api, got `{name}`",
                do=closest(name, known),
            )


class Guards:
    """The guards of one api, ready to judge its answers.

    Args:
        api: its name, for errors.
        guards: in the order in which they are applied.
        contract: the api's.
        arguments: the api's inputs and settings, by name.
    """

    def __init__(
        self, api: str, guards: Sequence[Guard | GuardFunction], contract: Contract, arguments: Mapping[str, Any]
    ) -> None:
        self._api = api
        self._guards = tuple(guards)
        self._takes = {
            one.function: tuple(inspect.signature(one.function).parameters)
            for one in guards
            if isinstance(one, GuardFunction)
        }
        self._arguments = arguments
        # A guard's bounds are often the contract's own: what is beyond them is the guard's to judge first.
        self._typed = Answers(tuple(_unlimited(f) for f in contract.gives_fields))
        self._answers = Answers(contract)

    def judge(self, answers: Columns, request: Columns, rows: int) -> Given:
        """What may leave of a function's answers, in the contract's order and types.

        Rows whose number is not finite, or that another guard held back, are no guard's to judge.

        Raises:
            AnswerError: as ``Answers.judge``; a guard's function gave something else than a bool for each row.
        """
        columns, faults = self._typed.judge(answers, rows, api=self._api)
        masks: Masks = {}
        for one in self._guards:
            if isinstance(one, GuardFunction):
                self._ask(one, columns, request, rows, faults, masks)
            else:
                for name, bound in one.bounds.items():
                    _hold(name, bound, one.otherwise, columns, faults, masks)
        settled, broken = self._answers.judge(columns, rows, api=self._api)
        held = {row: fault for row, fault in faults.items() if fault.code in (GUARD, REFUSED)}
        return Given(settled, {**faults, **broken, **held}, masks or None)

    def _ask(
        self,
        one: GuardFunction,
        columns: Columns,
        request: Columns,
        rows: int,
        faults: MutableMapping[int, Fault],
        masks: Masks,
    ) -> None:
        import numpy as np

        free = np.ones(rows, dtype=np.bool_)
        free[list(faults)] = False
        if not free.any():
            return
        name = one.function.__name__
        given = self._given(one.function, columns, request, None if free.all() else free)
        found = np.asarray(one.function(**given))
        expected = int(np.count_nonzero(free))
        if found.shape != (expected,) or found.dtype != np.bool_:
            raise AnswerError(
                f"guard `{name}` of api `{self._api}` gave {found.dtype} of shape {found.shape}, "
                f"expected a bool for each of {expected} rows",
                do="return true where the answer may leave",
            )
        held = np.zeros(rows, dtype=np.bool_)
        held[free] = ~found
        if held.any():
            _mark(masks, f"{name} {_SAID[one.otherwise]}", held)
            fault = Fault(_CODES[one.otherwise], f"values that guard `{name}` does not let pass")
            faults.update(dict.fromkeys(np.flatnonzero(held).tolist(), fault))

    def _given(self, function: Any, columns: Columns, request: Columns, free: Array | None) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name in self._takes[function]:
            array = columns.get(name, request.get(name))
            if array is not None:
                given[name] = _read_only(array if free is None else array[free])
            elif name in self._arguments:
                given[name] = self._arguments[name]
        return given


def _unlimited(field: Field) -> Field:
    return msgspec.structs.replace(
        field, ge=None, gt=None, le=None, lt=None, multiple_of=None, min_length=None, max_length=None, pattern=None,
        values=(), tz=None,
    )  # fmt: skip


def _hold(
    name: str,
    bound: Bounds,
    otherwise: str,
    columns: Columns,
    faults: MutableMapping[int, Fault],
    masks: Masks,
) -> None:
    """Hold one column between bounds."""
    import numpy as np

    array, (least, greatest) = columns[name], bound
    out = np.zeros(len(array), dtype=np.bool_)
    if least is not None:
        out |= array < least
    if greatest is not None:
        out |= array > greatest
    out[list(faults)] = False
    if not out.any():
        return
    _mark(masks, f"{name} {_SAID[otherwise]}", out)
    if otherwise == "clamp":
        columns[name] = array.copy()
        columns[name][out] = np.clip(array[out], least, greatest)
        return
    within = " and ".join(f"{sign} {b:.15g}" for sign, b in ((">=", least), ("<=", greatest)) if b is not None)
    for row in np.flatnonzero(out).tolist():
        faults[row] = Fault(_CODES[otherwise], f"`{name}` {array[row].item()!r}, expected {within} by its guard")


def _mark(masks: Masks, label: str, rows: Array) -> None:
    masks[label] = masks[label] | rows if label in masks else rows


def _read_only(array: Array) -> Array:
    found = array.view()
    found.flags.writeable = False
    return found
