"""Fit and judge are disjoint: rows that judge something were not seen by what they judge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from funade.clock import to_minute
from funade.declare.graph import Graph
from funade.declare.spec import Edge, Spec
from funade.declare.window import Interval
from funade.store.naming import short
from funade.store.records import Finding, Pins, RowSet, Version
from funade.store.store import Store
from funade.store.warehouse import query, versions


class Proof(msgspec.Struct, frozen=True):
    """Whether two sets of rows have a row in common, and how that is known."""

    state: Literal["disjoint", "common", "unproven"]
    how: str


class Meeting(msgspec.Struct, frozen=True):
    """One input whose rows judge, and one version whose fit they may not have been part of."""

    judge: str
    edge: Edge
    rows: RowSet
    fitted: Version


class Proofs:
    """Proofs about rows of one store; each pair of row sets is looked at once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._known: dict[tuple[RowSet, RowSet], Proof] = {}

    def of(self, rows: RowSet, version: Version) -> Proof:
        """Whether rows meet any that a version was fitted on: the worst of its proofs."""
        proofs = [self._proof(rows, fit) for fit in version.fits]
        worst = max(proofs, key=lambda p: _BADNESS[p.state], default=None)
        return worst or Proof("disjoint", "it was fitted on no row")

    def _proof(self, rows: RowSet, fit: RowSet) -> Proof:
        if (rows, fit) not in self._known:
            self._known[rows, fit] = prove(rows, fit, self.store)
        return self._known[rows, fit]


_BADNESS = {"disjoint": 0, "unproven": 1, "common": 2}


def prove(rows: RowSet, fit: RowSet, store: Store) -> Proof:
    """Whether rows that judge and rows of a fit have one in common.

    Of one version this is always known: by their windows, their parts, or by counting. Of two versions it is proven
    when the judging rows begin at or after the fit's reach, or when both have one key and no value of it in common.
    """
    if rows.version == fit.version:
        return _of_one_version(rows, fit, store)
    if fit.reach is not None:
        begin = _begin(rows, fit.reach, store)
        if begin is not None and begin >= fit.reach:
            return Proof("disjoint", f"they begin {to_minute(begin)}, the fit ends {to_minute(fit.reach)}")
    return _by_key(rows, fit, store)


def judging(
    spec: Spec, version: Version, graph: Graph, store: Store, zone: ZoneInfo
) -> Iterator[tuple[Edge, RowSet, set[str]]]:
    """The inputs of an evaluation or threshold whose rows judge: edge, rows, and the nodes that they judge.

    Answers judge everything behind their api. Rows taken directly judge the models and thresholds beside them, and
    what the tables beside them were made with.
    """
    inputs = {e.parameter: store.version(version.inputs[e.node]) for e in spec.edges}
    end = versions.earliest_end([(e, inputs[e.parameter]) for e in spec.edges])
    direct = {e.node for e in spec.edges if not e.api}
    for edge in spec.edges:
        if graph[edge.node].kind not in ("source", "dataset"):
            continue
        made = inputs[edge.parameter]
        rows = versions.row_set(edge, made, versions.interval_of(edge, made, end, zone))
        yield edge, rows, graph.behind(edge.api, edge.replaced) if edge.api else direct


def meetings(pins: Pins, graph: Graph, store: Store, zone: ZoneInfo) -> Iterator[Meeting]:
    """Everything in a cut that is judged, or cut off, on rows it may not have been fitted on."""
    for spec in graph:
        version = store.metadata.version(pins.get(spec.name, ""))
        if version is None or spec.kind not in ("evaluation", "threshold"):
            continue
        for edge, rows, nodes in judging(spec, version, graph, store, zone):
            for fitted in _fitted(nodes, pins, graph, store):
                yield Meeting(spec.name, edge, rows, fitted)


def findings(pairs: Iterable[Meeting], graph: Graph, proofs: Proofs) -> Iterator[Finding]:
    """One finding for each pair of a judge and what it judges: of its inputs, the worst."""
    worst: dict[tuple[str, str], tuple[int, Finding]] = {}
    for meeting in pairs:
        proof = proofs.of(meeting.rows, meeting.fitted)
        pair, badness = (meeting.judge, meeting.fitted.node), _BADNESS[proof.state]
        if pair not in worst or badness > worst[pair][0]:
            worst[pair] = (badness, _finding(meeting, proof, graph))
    yield from (finding for _, finding in worst.values())


def seen_by(rows: RowSet, nodes: set[str], pins: Pins, graph: Graph, proofs: Proofs) -> str:
    """Why rows cannot judge another release's nodes ("its `line` …"); "" when they can."""
    for fitted in _fitted(nodes, pins, graph, proofs.store):
        proof = proofs.of(rows, fitted)
        if proof.state != "disjoint":
            how = f"saw {proof.how}" if proof.state == "common" else "may have seen the rows"
            return f"its `{fitted.node}` {how}"
    return ""


def _fitted(nodes: set[str], pins: Pins, graph: Graph, store: Store) -> Iterator[Version]:
    for spec in graph:
        version = store.metadata.version(pins.get(spec.name, "")) if spec.name in nodes else None
        if version is not None and (version.kind in ("model", "threshold") or version.fits):
            yield version


def _finding(meeting: Meeting, proof: Proof, graph: Graph) -> Finding:
    trust, unsafe = meeting.edge.trust, proof.state != "disjoint"
    got = proof.how + (f", trusted: {trust}" if unsafe and trust else "")
    judge = graph[meeting.judge]
    verb = "judge" if judge.kind == "evaluation" else "cut off"
    return Finding(
        check="disjoint",
        expected=f"`{judge.name}` to {verb} on rows that `{meeting.fitted.node}` was not fitted on",
        got=got,
        holds=not unsafe or bool(trust),
        at=f"{judge.kind} `{judge.name}`, input `{meeting.edge.parameter}`",
        do=_REMEDY[proof.state],
    )


_REMEDY = {
    "disjoint": "",
    "common": "take a later window, or the other part of a split, for one of them",
    "unproven": 'give both a window or one key, or say .trust("reason") on the rows',
}


def _of_one_version(rows: RowSet, fit: RowSet, store: Store) -> Proof:
    if rows.part and fit.part and rows.part != fit.part:
        return Proof("disjoint", "the other part of one split")
    if rows.interval and fit.interval and not rows.interval.overlaps(fit.interval):
        return Proof("disjoint", "another window of one version")
    common = msgspec.structs.replace(rows, interval=_both(rows.interval, fit.interval), part=rows.part or fit.part)
    count = versions.rows(common, store).num_rows
    where = f"`{short(rows.node, rows.version)}`"
    return Proof("common", f"{count} common rows of {where}") if count else Proof("disjoint", "no common row")


def _both(left: Interval | None, right: Interval | None) -> Interval | None:
    if left is None or right is None:
        return left or right
    starts = [i.start for i in (left, right) if i.start is not None]
    ends = [i.end for i in (left, right) if i.end is not None]
    return Interval(max(starts, default=None), min(ends, default=None))


def _begin(rows: RowSet, reach: datetime, store: Store) -> datetime | None:
    """When the rows begin: their window's start or, where that is too early to prove anything, the first found."""
    start = rows.interval.start if rows.interval else None
    if start is not None and start >= reach:
        return start
    version = store.version(rows.version)
    if not version.time:
        return None
    column = versions.rows(rows, store).column(version.time)
    if column.null_count or not len(column):
        return None
    first: datetime = pc.min(column).as_py()
    return first.astimezone(UTC)


def _by_key(rows: RowSet, fit: RowSet, store: Store) -> Proof:
    if not rows.key or rows.key != fit.key:
        return Proof("unproven", "no proof: neither time nor a common key tells them apart")
    names = ", ".join(rows.key)
    count = common_keys(*(versions.rows(r, store).select(list(r.key)) for r in (rows, fit)))
    if count is None:
        return Proof("unproven", f"no proof: their keys ({names}) are of different types")
    return Proof("common", f"{count} rows of a common key ({names})") if count else Proof("disjoint", "no common key")


def common_keys(rows: pa.Table, fit: pa.Table) -> int | None:
    """How many of the first table's rows stand in the second, missing values being equal; None where types differ."""
    if [_kind(t) for t in rows.schema.types] != [_kind(t) for t in fit.schema.types]:
        return None
    names = [f"k{index}" for index in range(rows.num_columns)]
    same = " AND ".join(f"fit.{name} IS NOT DISTINCT FROM judge.{name}" for name in names)
    connection = query.memory()
    try:
        connection.register("judge", rows.rename_columns(names))
        connection.register("fit", fit.rename_columns(names))
        counts = connection.execute(f"SELECT count(*) FROM judge SEMI JOIN fit ON {same}").fetchall()
    finally:
        connection.close()
    return int(counts[0][0])


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_integer(type_):
        return "integer"
    return "text" if pa.types.is_string(type_) or pa.types.is_large_string(type_) else str(type_)
