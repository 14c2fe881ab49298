"""A rehearsal: the candidate loaded, asked its golden rows and, beside it, the current release over the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pyarrow.parquet as pq

from funade.declare.graph import Graph
from funade.declare.spec import Edge, Spec
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
)
from funade.release.obligations import broken
from funade.store.records import Candidate, RowSet, Version
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
        judged = _side_by_side(ours, theirs, proofs, folder)
        asked = _ask_numbers(mine, judged, theirs)
        mine.ask(Rehearse(_golden_rows(judged)))  # alone on the machine by now, for it is timed
        trouble = mine.loaded()
        _hear_numbers(mine, asked, trouble)
        apis: tuple[RehearsalResult, ...] = ()
        try:
            apis = () if trouble else mine.answer(RehearsalResults).apis
        except ChildFailed as failed:
            trouble = failed.report
    return Rehearsal(trouble, apis, tuple(_compared(j, theirs) for j in judged))


def _side_by_side(
    ours: Contender, theirs: Contender | None, proofs: disjoint.Proofs, folder: Path
) -> list[_EvaluationPlan]:
    if theirs is None:
        return list(_judged(ours, proofs.store, folder))
    with HostProcess(proofs.store, theirs.candidate, folder / "current") as other:
        judged = list(_judged(ours, proofs.store, folder))
        _replay(other, judged, ours, theirs, proofs)
    return judged


def _judged(ours: Contender, store: Store, folder: Path) -> Iterator[_EvaluationPlan]:
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


def _golden_rows(judged: list[_EvaluationPlan]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Api → the rows of its first evaluation."""
    rows_of: dict[str, tuple[str, tuple[str, ...]]] = {}
    for judging in judged:
        for edge, rows, file in judging.inputs:
            if edge.api:
                rows_of.setdefault(edge.api, (file, rows.key))
    return rows_of


def _replay(
    other: HostProcess, judged: list[_EvaluationPlan], ours: Contender, theirs: Contender, proofs: disjoint.Proofs
) -> None:
    """The current release's answers for every evaluation that can be compared."""
    waiting = []
    for judging in judged:
        judging.why = _incomparable(judging, ours, theirs, proofs)
        for edge, _, file in judging.inputs if not judging.why else ():
            judging.answered[edge.parameter] = file
            if edge.api:
                into = f"{file}.{judging.spec.name}.{edge.parameter}"
                other.ask(Answer(edge.api, file, into, edge.replaced))
                waiting.append((judging, edge, into))
    trouble = other.loaded() if waiting else None
    for judging, edge, into in waiting:
        try:
            answered = other.answer(ReplayedRows) if trouble is None else ReplayedRows(failed=trouble)
        except ChildFailed as failed:
            answered = ReplayedRows(failed=failed.report)
        _take(judging, edge, answered, into)
    for judging in judged:
        if not judging.why and judging.refused != judging.version.refused:
            judging.why = f"it refuses {judging.refused} of the rows, not {judging.version.refused}"


def _take(judging: _EvaluationPlan, edge: Edge, answered: ReplayedRows, into: str) -> None:
    judging.refused += answered.refused
    if answered.failed is not None:
        judging.why = judging.why or f"its `{edge.api}` fails on the rows ({answered.failed.what})"
    elif answered.absent and edge.replaced:
        del judging.answered[edge.parameter]  # a baseline that it does not have yet: both are held against ours
    elif answered.absent:
        judging.why = judging.why or f"it has no `{answered.absent}`"
    else:
        judging.answered[edge.parameter] = into


def _incomparable(judging: _EvaluationPlan, ours: Contender, theirs: Contender, proofs: disjoint.Proofs) -> str:
    """Why the current release cannot be judged by an evaluation of the candidate; "" when it can."""
    spec, old, pins = judging.spec, theirs.graph, theirs.candidate.pins
    if spec.places or spec.secrets:
        return "the evaluation asks for a place or a secret, which the gate does not give"
    direct = {e.node for e in spec.edges if not e.api and ours.graph[e.node].kind in ("model", "threshold")}
    for node in sorted(direct):
        version = proofs.store.metadata.version(pins.get(node, ""))
        if version is None:
            return f"it has no `{node}`"
        if version.classes != ours.graph[node].classes:
            return f"its `{node}` needs code that changed"
    for edge, rows, _ in judging.inputs:
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
    mine: HostProcess, judged: list[_EvaluationPlan], theirs: Contender | None
) -> list[tuple[_EvaluationPlan, int]]:
    """Ask the candidate's process to judge the current release's answers; how many answers come before each number."""
    asked = []
    for judging in judged if theirs is not None else ():
        if judging.why:
            continue
        assert theirs is not None
        own = [(edge, file) for edge, _, file in judging.inputs if edge.parameter not in judging.answered]
        for edge, file in own:
            judging.answered[edge.parameter] = f"{file}.{judging.spec.name}.{edge.parameter}.own"
            mine.ask(Answer(edge.api, file, judging.answered[edge.parameter], edge.replaced))
        edges = [e for e in judging.spec.edges if e.parameter not in judging.answered]
        artifacts = {e.parameter: theirs.candidate.pins[e.node] for e in edges}
        mine.ask(Judge(judging.spec.name, judging.answered, artifacts))
        asked.append((judging, len(own)))
    return asked


def _hear_numbers(mine: HostProcess, asked: list[tuple[_EvaluationPlan, int]], trouble: ErrorReport | None) -> None:
    for judging, before in asked:
        try:
            if trouble is not None:
                raise ChildFailed(ErrorReport(f"the candidate gives no numbers ({trouble.what})"))
            for _ in range(before):
                mine.answer(ReplayedRows)
            numbers = mine.answer(EvaluationResult)
        except ChildFailed as failed:
            judging.why = failed.report.what
            continue
        if numbers.failed is not None:
            judging.why = f"the evaluation fails on its answers ({numbers.failed.what})"
        else:
            judging.numbers = numbers.metrics


def _compared(judging: _EvaluationPlan, theirs: Contender | None) -> Comparison:
    version = judging.version
    return Comparison(
        evaluation=judging.spec.name,
        metrics=version.metrics,
        rows=version.judged_rows,
        refused=version.refused,
        release=theirs.release if theirs else 0,
        current=judging.numbers,
        why=judging.why,
    )
