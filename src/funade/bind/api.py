"""One api bound to its pinned inputs, ready to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from funade.bind.guards import Guards
from funade.contract.answer import AnswerSchema, wrong
from funade.contract.arrays import Columns
from funade.contract.batch import Batch
from funade.contract.field import Contract
from funade.contract.from_frame import from_frame
from funade.contract.outcome import GUARD, REFUSED, Outcome
from funade.contract.request import RequestSchema
from funade.contract.to_frame import to_frame
from funade.declare.decorators import Takes
from funade.declare.guard import GuardFunction
from funade.declare.node import Node
from funade.declare.policy import AnswersWithin, Fallback, Guard, Logged, Owner
from funade.declare.setting import as_declared
from funade.declare.spec import Spec
from funade.errors import AnswerError


class Decision(NamedTuple):
    """Answers as they leave: the fallback's where a guard held the api's own back.

    ``guarded`` are those rows; ``rejected`` the rows that a guard leaves without any answer: their values mean nothing.
    """

    columns: Columns
    guarded: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()


class BoundApi:
    """One api with everything it needs, ready to answer."""

    def __init__(
        self, spec: Spec, node: Node[Any, Any], inputs: Mapping[str, Any], settings: Mapping[str, Any], zone: ZoneInfo
    ) -> None:
        assert spec.contract is not None
        self.name = spec.name
        self.spec = spec
        self.contract: Contract = spec.contract
        fallback, owner, within = spec.policy(Fallback), spec.policy(Owner), spec.policy(AnswersWithin)
        self.fallback: dict[str, Any] | None = fallback.answer if fallback else None
        self.owner = owner.name if owner else ""
        self.promise_s = within.p99_ms / 1000 if within else None
        takes = node.policy(Takes)
        assert takes is not None  # declared: an api has its contract
        self.requests = RequestSchema(takes.struct, zone=zone)
        self.answers = AnswerSchema(self.contract.gives_fields)
        logged = spec.policy(Logged) or Logged()
        self.durable, self.unlogged = logged.durable, frozenset(logged.without)
        self.decode = self.requests.decode
        self.zone = zone
        self._function = node.function
        self._arguments = {**inputs, **as_declared(node.function, settings)}
        guards = [p for p in node.policies if isinstance(p, Guard | GuardFunction)]
        self._guards = Guards(self.name, guards, self.contract, self._arguments) if guards else None

    def take(self, rows: Sequence[Any]) -> Batch:
        """Decoded requests as the columns that the function takes."""
        return self.requests.take(rows)

    def call(self, batch: Columns, rows: int) -> Columns:
        """The answers for a batch given as columns.

        Raises:
            AnswerError: as ``decide``, and where a guard rejects a row.
        """
        decided = self.decide(batch, rows)
        if decided.rejected:
            raise AnswerError(f"api `{self.name}` answered row {decided.rejected[0]} with what a guard rejects")
        return decided.columns

    def decide(self, batch: Columns, rows: int) -> Decision:
        """The answers for a batch given as columns, the fallback's where a guard held one back.

        Raises:
            AnswerError: as ``give``; a row's values break the contract, or a guard holds them back and there is no
                fallback.
        """
        columns, faults, _ = self.give(batch, rows)
        if not faults:
            return Decision(columns)
        guarded = {row: fault for row, fault in faults.items() if fault.code == GUARD}
        rejected = sorted(row for row, fault in faults.items() if fault.code == REFUSED)
        if len(guarded) + len(rejected) < len(faults):
            raise wrong({r: f for r, f in faults.items() if f.code not in (GUARD, REFUSED)}, self.name)
        if guarded and self.fallback is None:
            raise wrong(guarded, self.name, do="add fn.fallback(…), which then answers")
        if guarded:
            columns = self.answers.standing(columns, [*guarded], self.answers.constant(self.fallback or {}))
        return Decision(columns, tuple(sorted(guarded)), tuple(rejected))

    def give(self, batch: Columns, rows: int) -> Outcome:
        """The answers for a batch given as columns; a row whose values break the contract is named, not its neighbours.

        Raises:
            AnswerError: the function gave another number of rows, other columns or columns of another type.
        """
        if rows == 0:
            return Outcome(self.answers.empty())
        form = self.spec.batch_form or "pandas"
        own = batch
        if self._guards is not None and form == "columns":  # a guard judges what came
            own = {name: column.copy() for name, column in batch.items()}
        frame = to_frame(own, form, fields=self.contract.takes_fields)
        result = self._function(**{self.spec.batch: frame}, **self._arguments)
        columns = from_frame(result, form=self.spec.result_form, rows=rows, api=self.name, zone=self.zone)
        if self._guards is not None:
            return self._guards.judge(columns, batch, rows)
        return Outcome(*self.answers.judge(columns, rows, api=self.name))


def as_json(api: BoundApi, decided: Decision) -> list[dict[str, Any]]:
    """Answers as a client reads them (JSON values); {} for a row that a guard rejects."""
    rows = api.answers.rows(decided.columns)
    for row in decided.rejected:
        rows[row] = {}
    return rows
