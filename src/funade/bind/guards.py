"""Guards at run time: a function's answers held back, clamped or replaced."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import msgspec
import numpy as np

from funade.contract.answer import AnswerSchema
from funade.contract.arrays import Array, Columns, Masks
from funade.contract.field import Contract, Field
from funade.contract.outcome import GUARD, REFUSED, Fault, Outcome
from funade.declare.guard import Bounds, GuardFunction
from funade.declare.policy import Guard
from funade.errors import AnswerError

_VERBS = {"clamp": "clamped", "fallback": "fallback", "reject": "rejected"}
_CODES = {"fallback": GUARD, "reject": REFUSED}


class Guards:
    """The guards of one api, in the order in which they are applied; ``arguments`` are its inputs and settings."""

    def __init__(
        self, api: str, guards: Sequence[Guard | GuardFunction], contract: Contract, arguments: Mapping[str, Any]
    ) -> None:
        self._api = api
        self._guards = tuple(guards)
        self._takes = {
            guard.function: tuple(inspect.signature(guard.function).parameters)
            for guard in guards
            if isinstance(guard, GuardFunction)
        }
        self._arguments = arguments
        # A guard's bounds are often the contract's own: what is beyond them is the guard's to judge first.
        self._typed = AnswerSchema(tuple(_unlimited(f) for f in contract.gives_fields))
        self._answers = AnswerSchema(contract.gives_fields)

    def judge(self, answers: Columns, request: Columns, rows: int) -> Outcome:
        """What may leave of a function's answers, in the contract's order and types.

        Rows whose number is not finite, or that another guard held back, are no guard's to judge.

        Raises:
            AnswerError: as ``AnswerSchema.judge``; a guard's function gave something else than a bool for each row.
        """
        columns, faults = self._typed.judge(answers, rows, api=self._api)
        masks: Masks = {}
        for guard in self._guards:
            if isinstance(guard, GuardFunction):
                self._ask(guard, columns, request, rows, faults, masks)
            else:
                for name, bound in guard.bounds.items():
                    _hold(name, bound, guard.otherwise, columns, faults, masks)
        coerced, broken = self._answers.judge(columns, rows, api=self._api)
        by_guards = {row: fault for row, fault in faults.items() if fault.code in (GUARD, REFUSED)}
        return Outcome(coerced, {**faults, **broken, **by_guards}, masks or None)

    def _ask(
        self,
        guard: GuardFunction,
        columns: Columns,
        request: Columns,
        rows: int,
        faults: MutableMapping[int, Fault],
        masks: Masks,
    ) -> None:
        free = np.ones(rows, dtype=np.bool_)
        free[list(faults)] = False
        if not free.any():
            return
        name = guard.function.__name__
        arguments = self._arguments_of(guard.function, columns, request, None if free.all() else free)
        verdicts = np.asarray(guard.function(**arguments))
        expected = int(np.count_nonzero(free))
        if verdicts.shape != (expected,) or verdicts.dtype != np.bool_:
            raise AnswerError(
                f"guard `{name}` of api `{self._api}` gave {verdicts.dtype} of shape {verdicts.shape}, "
                f"expected a bool for each of {expected} rows",
                do="return true where the answer may leave",
            )
        held = np.zeros(rows, dtype=np.bool_)
        held[free] = ~verdicts
        if held.any():
            _mark(masks, f"{name} {_VERBS[guard.otherwise]}", held)
            fault = Fault(_CODES[guard.otherwise], f"values that guard `{name}` does not let pass")
            faults.update(dict.fromkeys(np.flatnonzero(held).tolist(), fault))

    def _arguments_of(self, function: Any, columns: Columns, request: Columns, free: Array | None) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        for name in self._takes[function]:
            array = columns.get(name, request.get(name))
            if array is not None:
                arguments[name] = _read_only(array if free is None else array[free])
            elif name in self._arguments:
                arguments[name] = self._arguments[name]
        return arguments


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
    """Clamp the values outside the bounds, or record a fault for their rows."""
    array, (least, greatest) = columns[name], bound
    out = np.zeros(len(array), dtype=np.bool_)
    if least is not None:
        out |= array < least
    if greatest is not None:
        out |= array > greatest
    out[list(faults)] = False
    if not out.any():
        return
    _mark(masks, f"{name} {_VERBS[otherwise]}", out)
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
    view = array.view()
    view.flags.writeable = False
    return view
