"""The gate: one candidate judged against one current release; every check is made, and all are told."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec

from funade.clock import Clock
from funade.declare.graph import Graph
from funade.declare.policy import AnswersWithin
from funade.digest import SHORT
from funade.errors import FunadeError, GateClosed
from funade.release import bars, disjoint, obligations, pins
from funade.release.bars import Comparison
from funade.release.host_process import RehearsalResult
from funade.release.rehearsal import Contender, Rehearsal, rehearse
from funade.store.codecs.onnx.parity import DO
from funade.store.records import Candidate, Finding, Release
from funade.store.store import Store

FINAL = frozenset({"cut", "loads"})
"""Checks that no reason overrides: what does not hold together, or does not load, cannot answer."""


class GateReport(msgspec.Struct, frozen=True):
    """Everything the gate found.

    ``golden`` maps api → the blob of its golden rows. ``compared`` has the numbers of every evaluation, side by side.
    ``release`` is the number that the candidate would bear. ``tracebacks``: the user's own frames, where their code
    failed.
    """

    findings: tuple[Finding, ...]
    golden: dict[str, str]
    compared: tuple[Comparison, ...]
    release: int
    tracebacks: tuple[str, ...] = ()


def judge(candidate: Candidate, current: Release | None, store: Store, *, now: Clock) -> GateReport:
    """Run every check of a candidate; nothing but golden rows is written."""
    before = store.metadata.candidate(current.candidate) if current else None
    ours = Contender(candidate, Graph(candidate.specs))
    theirs = Contender(before, Graph(before.specs), current.number) if current and before else None
    proofs, zone = disjoint.Proofs(store), ZoneInfo(candidate.timezone or "UTC")
    findings = [
        *_made("cut", lambda: pins.findings(candidate, ours.graph, store, now())),
        *_made(
            "disjoint",
            lambda: disjoint.findings(disjoint.meetings(candidate.pins, ours.graph, store, zone), ours.graph, proofs),
        ),
        *obligations.findings(ours.graph, theirs.graph if theirs else None, theirs.release if theirs else 0),
        *(bars.withdrawn(ours.graph, theirs.graph, theirs.release) if theirs else ()),
    ]
    golden: dict[str, str] = {}
    rehearsal = Rehearsal(None, (), ())
    try:
        with tempfile.TemporaryDirectory(prefix="funade-") as folder:
            rehearsal = rehearse(ours, theirs, proofs, Path(folder))
    except FunadeError as error:
        findings.append(_unmade("loads", error))
    else:
        findings += _rehearsed(rehearsal, ours)
        golden = {a.api: store.blobs.put_bytes(msgspec.json.encode(a.golden)) for a in rehearsal.apis if a.golden}
    number = max((r.number for r in store.metadata.releases()), default=0) + 1
    return GateReport(tuple(map(_plain, findings)), golden, rehearsal.compared, number, _tracebacks(rehearsal))


def refuse(judged: GateReport, candidate: Candidate, current: Release | None, *, because: str) -> None:
    """Let the candidate pass if everything holds, or if a reason is given for what does not.

    No reason overrides a cut that does not agree with itself or is not in the store, nor a candidate that does not
    load.

    Raises:
        GateClosed: names the first finding that stands in the way; ``findings`` has everything.
    """
    failing = [f for f in judged.findings if not f.holds and (f.check in FINAL or not because)]
    if not failing:
        return
    first = failing[0]
    raise GateClosed(
        f"release {judged.release} expected {first.expected}, got {first.got}",
        at=first.at,
        do=first.do,
        findings=judged.findings,
        traceback="\n".join(judged.tracebacks),
        candidate=candidate.id,
        current=current.number if current else None,
    )


def _made(check: str, findings: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings; one more when they cannot all be made, as when the store lacks bytes."""
    try:
        yield from findings()
    except FunadeError as error:
        yield _unmade(check, error)


def _plain(finding: Finding) -> Finding:
    """What holds needs no remedy."""
    return msgspec.structs.replace(finding, do="") if finding.holds else finding


def _unmade(check: str, error: FunadeError) -> Finding:
    return Finding(
        check=check, expected=f"check `{check}` to be made", got=error.what, holds=False, at=error.at, do=error.do
    )


def _rehearsed(rehearsal: Rehearsal, ours: Contender) -> Iterator[Finding]:
    for compared in rehearsal.compared:
        yield from bars.findings(ours.graph[compared.evaluation], compared)
    yield _loads(rehearsal, ours.candidate)
    for api in rehearsal.apis:
        yield from _answers(api, ours.graph)


def _tracebacks(rehearsal: Rehearsal) -> tuple[str, ...]:
    troubles = [rehearsal.trouble, *(t for api in rehearsal.apis for t in (api.refused, api.failed))]
    return tuple(t.traceback for t in troubles if t is not None and t.traceback)


def _loads(rehearsal: Rehearsal, candidate: Candidate) -> Finding:
    trouble, at = rehearsal.trouble, f"candidate `{candidate.id[:SHORT]}`"
    expected = "a candidate that loads from its own snapshot and answers"
    if trouble is None:
        return Finding("loads", expected, "one that does", holds=True, at=at)
    do = trouble.do or "mend it, then run: funade build && funade stage"
    return Finding("loads", expected, trouble.what, holds=False, at=trouble.at or at, do=do)


def _answers(rehearsal: RehearsalResult, graph: Graph) -> Iterator[Finding]:
    spec = graph[rehearsal.api]
    at = f"api `{spec.name}`"
    if rehearsal.refused:
        expected, _, got = rehearsal.refused.what.partition(" expected ")[2].partition(", got ")
        yield Finding("golden", expected, got, holds=False, at=rehearsal.refused.at or at, do="mend the file")
    if rehearsal.failed:
        expected, what = f"`{spec.name}` to answer its golden rows", rehearsal.failed.what
        do = rehearsal.failed.do or "mend the function, then run: funade build && funade stage"
        yield Finding("golden", expected, what, holds=False, at=rehearsal.failed.at or at, do=do)
        return
    rows = f"{len(rehearsal.golden.requests)} that it answers" if rehearsal.golden else "no golden rows"
    yield Finding("golden", f"golden rows of `{spec.name}`", rows, holds=True, at=at)
    if not rehearsal.golden:
        return
    yield Finding(
        check="batch",
        expected=f"`{spec.name}` to answer a row alone as among others",
        got=rehearsal.batch or "the same answers",
        holds=not rehearsal.batch,
        at=at,
        do="compute each answer from its own row",
    )
    for parity in rehearsal.parity:
        yield Finding(
            check="parity",
            expected=f"`{parity.model}` as ONNX to answer as its original within {parity.within:g}",
            got=parity.differs or f"at most {parity.worst:.2g} apart on {parity.rows} rows",
            holds=not parity.differs,
            at=at,
            do=DO,
        )
    within = spec.policy(AnswersWithin)
    if within is not None:
        yield Finding(
            check="speed",
            expected=f"99 of 100 rows answered within {within.p99_ms:g} ms",
            got=f"{rehearsal.p99_ms:.4g} ms in {rehearsal.calls} calls of one row",
            holds=rehearsal.p99_ms <= within.p99_ms,
            at=at,
            do="make it faster, or set fn.answers_within(p99_ms=…)",
        )
