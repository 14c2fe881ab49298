"""A rehearsal: the candidate loaded, asked its golden rows and, beside it, the current release over the same rows.

An earlier release is loaded and asked once more before it answers again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pyarrow.parquet as pq

from funade.declare.graph import Graph
from funade.declare.spec import Edge, Spec
from funade.digest import SHORT
from funade.process.child import ChildFailed
from funade.process.error_report import ErrorReport
from funade.release import disjoint
from funade.release.bars import Comparison
from funade.release.host import HostProcess
from funade.release.host_process import (
    Answer,
    EvaluationResult,
    Judge,
    RehearsalResult,
    RehearsalResults,
    Rehearse,
    ReplayedRows,
    Warm,
    WarmResult,
)
from funade.release.obligations import broken
from funade.store.records import Candidate, Release, RowSet, Version
from funade.store.store import Store
from funade.store.warehouse import versions


class Contender(msgspec.Struct, frozen=True):
    """One of the two that are compared; ``release`` is 0 for the candidate."""

    candidate: Candidate
    graph: Graph
    release: int = 0


class Rehearsal(msgspec.Struct, frozen=True):
    """What the two processes said: whether the candidate loads, what its apis answered, numbers side by side."""

    trouble: ErrorReport | None
    apis: tuple[RehearsalResult, ...]
    compared: tuple[Comparison, ...]


class _EvaluationPlan(msgspec.Struct):
    """One evaluation of the candidate: its inputs with the files of their rows, and what keeps it from comparing.

    ``refused``: how many of the rows the current release refuses.
    """

    spec: Spec
    version: Version
    inputs: list[tuple[Edge, RowSet, str]]
    refused: int = 0
    why: str = ""
    answered: dict[str, str] = {}
    numbers: dict[str, float | None] | None = None


def rehearse(ours: Contender, theirs: Contender | None, proofs: disjoint.Proofs, folder: Path) -> Rehearsal:
    """Rehearse the candidate and compare it with the current release; each has a process, both run at once.

    ``folder`` takes the rows that both are asked about.
    """
    with HostProcess(proofs.store, ours.candidate, folder / "candidate") as mine:
        plans = _side_by_side(ours, theirs, proofs, folder)
        asked = _ask_numbers(mine, plans, theirs)
        mine.ask(Rehearse(_golden_rows(plans)))  # alone on the machine by now, for it is timed
        trouble = mine.loaded()
        _hear_numbers(mine, asked, trouble)
        apis: tuple[RehearsalResult, ...] = ()
        try:
            apis = () if trouble else mine.answer(RehearsalResults).apis
        except ChildFailed as failed:
            trouble = failed.report
    return Rehearsal(trouble, apis, tuple(_compared(plan, theirs) for plan in plans))


def _side_by_side(
    ours: Contender, theirs: Contender | None, proofs: disjoint.Proofs, folder: Path
) -> list[_EvaluationPlan]:
    if theirs is None:
        return list(_plans(ours, proofs.store, folder))
    with HostProcess(proofs.store, theirs.candidate, folder / "current") as other:
        plans = list(_plans(ours, proofs.store, folder))
        _replay(other, plans, ours, theirs, proofs)
    return plans


def _plans(ours: Contender, store: Store, folder: Path) -> Iterator[_EvaluationPlan]:
    zone = ZoneInfo(ours.candidate.timezone or "UTC")
    files: dict[RowSet, str] = {}
    for spec in ours.graph.of_kind("evaluation"):
        version = store.metadata.version(ours.candidate.pins.get(spec.name, ""))
        if version is None:
            continue
        inputs = []
        for edge, rows, _ in disjoint.judging(spec, version, ours.graph, store, zone):
            if rows not in files:
                files[rows] = str(folder / f"rows-{len(files)}.parquet")
                pq.write_table(versions.rows(rows, store), files[rows])
            inputs.append((edge, rows, files[rows]))
        yield _EvaluationPlan(spec, version, inputs)


def _golden_rows(plans: list[_EvaluationPlan]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Api → the rows of its first evaluation."""
    rows_of: dict[str, tuple[str, tuple[str, ...]]] = {}
    for plan in plans:
        for edge, rows, file in plan.inputs:
            if edge.api:
                rows_of.setdefault(edge.api, (file, rows.key))
    return rows_of


def _replay(
    other: HostProcess, plans: list[_EvaluationPlan], ours: Contender, theirs: Contender, proofs: disjoint.Proofs
) -> None:
    """The current release's answers for every evaluation that can be compared."""
    waiting = []
    for plan in plans:
        plan.why = _incomparable(plan, ours, theirs, proofs)
        for edge, _, file in plan.inputs if not plan.why else ():
            plan.answered[edge.parameter] = file
            if edge.api:
                into = f"{file}.{plan.spec.name}.{edge.parameter}"
                other.ask(Answer(edge.api, file, into, edge.replaced))
                waiting.append((plan, edge, into))
    trouble = other.loaded() if waiting else None
    for plan, edge, into in waiting:
        try:
            answered = other.answer(ReplayedRows) if trouble is None else ReplayedRows(failed=trouble)
        except ChildFailed as failed:
            answered = ReplayedRows(failed=failed.report)
        _take(plan, edge, answered, into)
    for plan in plans:
        if not plan.why and plan.refused != plan.version.refused:
            plan.why = f"it refuses {plan.refused} of the rows, not {plan.version.refused}"


def _take(plan: _EvaluationPlan, edge: Edge, answered: ReplayedRows, into: str) -> None:
    plan.refused += answered.refused
    if answered.failed is not None:
        plan.why = plan.why or f"its `{edge.api}` fails on the rows ({answered.failed.what})"
    elif answered.absent and edge.replaced:
        del plan.answered[edge.parameter]  # a baseline that it does not have yet: both are held against ours
    elif answered.absent:
        plan.why = plan.why or f"it has no `{answered.absent}`"
    else:
        plan.answered[edge.parameter] = into


def _incomparable(plan: _EvaluationPlan, ours: Contender, theirs: Contender, proofs: disjoint.Proofs) -> str:
    """Why the current release cannot be judged by an evaluation of the candidate; "" when it can."""
    spec, old, pins = plan.spec, theirs.graph, theirs.candidate.pins
    if spec.places or spec.secrets:
        return "the evaluation asks for a place or a secret, which the gate does not give"
    direct = {e.node for e in spec.edges if not e.api and ours.graph[e.node].kind in ("model", "threshold")}
    for node in sorted(direct):
        version = proofs.store.metadata.version(pins.get(node, ""))
        if version is None:
            return f"it has no `{node}`"
        if version.classes != ours.graph[node].classes:
            return f"its `{node}` needs code that changed"
    for edge, rows, _ in plan.inputs:
        if edge.api and edge.api not in old.specs:
            return f"it has no api `{edge.api}`"
        if edge.api and broken(old[edge.api], ours.graph):
            return f"the contract of `{edge.api}` changed"
        replaced = {p: n for p, n in edge.replaced.items() if n in old.specs}
        nodes = old.behind(edge.api, replaced) if edge.api else direct
        seen = "" if edge.trust else disjoint.seen_by(rows, nodes, pins, old, proofs)
        if seen:
            return seen
    return ""


def _ask_numbers(
    mine: HostProcess, plans: list[_EvaluationPlan], theirs: Contender | None
) -> list[tuple[_EvaluationPlan, int]]:
    """Ask the candidate's process to judge the current release's answers; how many answers come before each number."""
    asked = []
    for plan in plans if theirs is not None else ():
        if plan.why:
            continue
        assert theirs is not None
        own = [(edge, file) for edge, _, file in plan.inputs if edge.parameter not in plan.answered]
        for edge, file in own:
            plan.answered[edge.parameter] = f"{file}.{plan.spec.name}.{edge.parameter}.own"
            mine.ask(Answer(edge.api, file, plan.answered[edge.parameter], edge.replaced))
        edges = [e for e in plan.spec.edges if e.parameter not in plan.answered]
        artifacts = {e.parameter: theirs.candidate.pins[e.node] for e in edges}
        mine.ask(Judge(plan.spec.name, plan.answered, artifacts))
        asked.append((plan, len(own)))
    return asked


def _hear_numbers(mine: HostProcess, asked: list[tuple[_EvaluationPlan, int]], trouble: ErrorReport | None) -> None:
    for plan, before in asked:
        try:
            if trouble is not None:
                raise ChildFailed(ErrorReport(f"the candidate gives no numbers ({trouble.what})"))
            for _ in range(before):
                mine.answer(ReplayedRows)
            numbers = mine.answer(EvaluationResult)
        except ChildFailed as failed:
            plan.why = failed.report.what
            continue
        if numbers.failed is not None:
            plan.why = f"the evaluation fails on its answers ({numbers.failed.what})"
        else:
            plan.numbers = numbers.metrics


def _compared(plan: _EvaluationPlan, theirs: Contender | None) -> Comparison:
    version = plan.version
    return Comparison(
        evaluation=plan.spec.name,
        metrics=version.metrics,
        rows=version.judged_rows,
        refused=version.refused,
        release=theirs.release if theirs else 0,
        current=plan.numbers,
        why=plan.why,
    )


# -- a release once more


class Difference(msgspec.Struct, frozen=True):
    """What a release does not do as it did. ``loads`` is False when it cannot answer at all."""

    what: str
    loads: bool


def reproduce(release: Release, store: Store) -> Difference | None:
    """Load a release from its own snapshot and ask its golden rows; None when it answers as it did."""
    candidate = store.metadata.candidate(release.candidate)
    if candidate is None:
        return Difference(f"its candidate `{release.candidate[:SHORT]}` is not in the store", loads=False)
    with tempfile.TemporaryDirectory(prefix="funade-") as folder:
        golden = tuple(release.golden.values())
        with HostProcess(store, candidate, Path(folder) / "release", golden=golden) as host:
            host.ask(Warm())
            unloaded = host.loaded()
            if unloaded is not None:
                return Difference(unloaded.what, loads=False)
            try:
                differs = host.answer(WarmResult).failed
            except ChildFailed as failed:
                return Difference(failed.report.what, loads=False)
    return Difference(differs.what, loads=True) if differs else None
