"""The other side of a rehearsal: a process that hosts one candidate on its own code and does what it is asked.

It is begun with ``HostSettings``, says ``Ready`` or why it does not load, then answers each ``Request`` until it is
ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from funade.bind.api import BoundApi, as_json
from funade.bind.bind import bind
from funade.bind.evaluate import metrics_of, replay
from funade.bind.golden import answer_golden
from funade.bind.release import LoadedRelease, load_candidate
from funade.declare.policy import Golden as GoldenFile
from funade.declare.policy import Onnx
from funade.fingerprint.importing import user_traceback
from funade.process.child import Ready
from funade.process.error_report import ErrorReport
from funade.process.parent import Parent, run
from funade.release import golden
from funade.store import code_snapshot
from funade.store.codecs.onnx import parity
from funade.store.records import Candidate, GoldenRows
from funade.store.store import Store
from funade.store.warehouse.frames import from_arrow

T = TypeVar("T")

CALLS = 100
"""One-row calls that are timed at least."""

WARM = 10
"""One-row calls made before."""

BUDGET_S = 30.0
"""After so long no further one-row call is begun."""

ROUNDING = 1e-5
"""Relative difference of floats that is put down to rounding: float32 sums in another order."""


class HostSettings(msgspec.Struct, frozen=True):
    """What a process hosts: a candidate of the store with that address, with golden answers to reproduce."""

    store: str
    candidate: Candidate
    golden: tuple[str, ...] = ()


class Rehearse(msgspec.Struct, frozen=True, tag=True):
    """Answer golden rows: api → the Parquet file they are drawn from ("" for none) and the rows' key."""

    rows: dict[str, tuple[str, tuple[str, ...]]]


class Parity(msgspec.Struct, frozen=True):
    """One model as ONNX beside its original, on ``rows`` rows that an api gave it; ``differs`` is "" within bounds."""

    model: str
    within: float
    rows: int
    worst: float
    differs: str = ""


class RehearsalResult(msgspec.Struct, frozen=True):
    """One api's rehearsal. ``batch`` tells how the answers of one call differ from those of single calls.

    ``calls`` single calls were timed; ``p99_ms`` is theirs. ``refused``: a golden file's row; ``failed``: the api.
    """

    api: str
    golden: GoldenRows | None = None
    calls: int = 0
    p99_ms: float = 0.0
    batch: str = ""
    parity: tuple[Parity, ...] = ()
    refused: ErrorReport | None = None
    failed: ErrorReport | None = None


class RehearsalResults(msgspec.Struct, frozen=True, tag=True):
    """Every api's rehearsal."""

    apis: tuple[RehearsalResult, ...]


class Answer(msgspec.Struct, frozen=True, tag=True):
    """Answer the rows of one Parquet file by an api, some of its inputs replaced, into another file."""

    api: str
    rows: str
    into: str
    replaced: dict[str, str] = {}


class ReplayedRows(msgspec.Struct, frozen=True, tag=True):
    """How many rows the contract refused; ``absent`` names a node that the candidate does not have."""

    refused: int = 0
    absent: str = ""
    failed: ErrorReport | None = None


class Judge(msgspec.Struct, frozen=True, tag=True):
    """Call an evaluation with rows from Parquet files (by parameter) and artifacts of these versions."""

    evaluation: str
    rows: dict[str, str]
    artifacts: dict[str, str] = {}


class EvaluationResult(msgspec.Struct, frozen=True, tag=True):
    """What an evaluation returned."""

    metrics: dict[str, float | None] = {}
    failed: ErrorReport | None = None


class Warm(msgspec.Struct, frozen=True, tag=True):
    """Reproduce the golden answers."""


class WarmResult(msgspec.Struct, frozen=True, tag=True):
    """What differs; nothing when ``failed`` is None."""

    failed: ErrorReport | None = None


Request = Rehearse | Answer | Judge | Warm


class CandidateHost:
    """One candidate in this process, and what it can be asked."""

    def __init__(self, settings: HostSettings) -> None:
        self.candidate = settings.candidate
        self.store = Store.open(settings.store)
        self.folder = code_snapshot.unpack(self.store.blobs, self.candidate.code, self.store.code_folder)
        rows = tuple(msgspec.json.decode(self.store.blobs.read(d), type=GoldenRows) for d in settings.golden)
        self.loaded: LoadedRelease = load_candidate(self.store, self.candidate, golden=rows)
        self._bound: dict[tuple[str, tuple[tuple[str, str], ...]], BoundApi] = {}

    def do(self, request: Request) -> msgspec.Struct:
        """The reply to one request; what fails is told in it."""
        if isinstance(request, Rehearse):
            apis = self.loaded.apis
            return RehearsalResults(tuple(self._rehearsed(api, *request.rows.get(api, ("", ()))) for api in apis))
        if isinstance(request, Answer):
            return self._answered(request)
        if isinstance(request, Judge):
            metrics, failed = _attempt(lambda: self._metrics(request), self.folder)
            return EvaluationResult(metrics or {}, failed)
        return WarmResult(_attempt(self.loaded.warm, self.folder)[1])

    def _rehearsed(self, name: str, rows: str, key: tuple[str, ...]) -> RehearsalResult:
        api, refused = self.loaded.apis[name], None
        requests = golden.draw(api, _table(rows), key) if rows else []
        file = api.spec.policy(GoldenFile)
        if file is not None:
            listed, refused = _attempt(lambda: golden.read(self.folder / file.file, file.file, api), self.folder)
            requests = golden.unique([*requests, *(listed or [])])
        if not requests:
            return RehearsalResult(name, refused=refused)
        answers, failed = _attempt(lambda: answer_golden(api, requests), self.folder)
        if answers is None:
            return RehearsalResult(name, refused=refused, failed=failed)
        models, failed = _attempt(lambda: self._parity(name, rows, requests), self.folder)
        if models is None:
            return RehearsalResult(name, answers, refused=refused, failed=failed)
        timed, failed = _attempt(lambda: single(api, answers), self.folder)
        calls, p99_ms, batch = timed or (0, 0.0, "")
        return RehearsalResult(name, answers, calls, p99_ms, batch, models, refused, failed)

    def _parity(self, name: str, rows: str, requests: Sequence[dict[str, Any]]) -> tuple[Parity, ...]:
        """The api asked everything once more, each model as ONNX beside its original on the rows it is then given."""
        watched = self._watched(name)
        if not watched:
            return ()
        api = self._bind(name, models=watched)
        answer_golden(api, requests)
        if rows:
            table = _table(rows)
            replay(api, table[:: -(-len(table) // parity.MOST)] if len(table) > parity.MOST else table)
        return tuple(Parity(n, w.within, w.rows, w.worst, w.differs) for n, w in watched.items() if w.rows)

    def _watched(self, name: str) -> dict[str, parity.ParityWatch]:
        graph, types, watches = self.loaded.graph, self.loaded.graph.packages, {}
        for node in sorted(graph.behind(name)):
            policy = graph[node].policy(Onnx)
            if policy is not None:
                version = self.candidate.pins[node]
                served, native = (self.store.load(version, project_types=types, native=n) for n in (False, True))
                watches[node] = parity.ParityWatch(served, native, policy.within)
        return watches

    def _answered(self, request: Answer) -> ReplayedRows:
        absent = self._absent(request)
        if absent:
            return ReplayedRows(absent=absent)
        rows = _table(request.rows)
        done, failed = _attempt(lambda: replay(self._api(request.api, request.replaced), rows), self.folder)
        if done is None:
            return ReplayedRows(failed=failed)
        pq.write_table(done.table, request.into)
        return ReplayedRows(len(done.refused))

    def _absent(self, request: Answer) -> str:
        graph = self.loaded.graph
        if request.api not in self.loaded.apis:
            return request.api
        nodes = {edge.parameter: edge.node for edge in graph[request.api].edges}
        for parameter, node in request.replaced.items():
            if parameter not in nodes or node not in self.candidate.pins:
                return node
            if graph[node].kind != graph[nodes[parameter]].kind:
                return node
        return ""

    def _api(self, name: str, replaced: Mapping[str, str]) -> BoundApi:
        if not replaced:
            return self.loaded.apis[name]
        key = (name, tuple(sorted(replaced.items())))
        if key not in self._bound:
            self._bound[key] = self._bind(name, replaced=replaced)
        return self._bound[key]

    def _bind(
        self, name: str, *, replaced: Mapping[str, str] | None = None, models: Mapping[str, Any] | None = None
    ) -> BoundApi:
        return bind(
            self.loaded.graph,
            self.loaded.nodes,
            self.candidate.pins,
            self.store,
            settings=self.candidate.settings,
            zone=ZoneInfo(self.candidate.timezone or "UTC"),
            only=[name],
            replaced=replaced,
            artifacts=models,
        )[name]

    def _metrics(self, request: Judge) -> dict[str, float | None]:
        spec = self.loaded.graph[request.evaluation]
        arguments: dict[str, Any] = spec.settings | self.candidate.settings.get(spec.name, {})
        types = self.loaded.graph.packages
        for edge in spec.edges:
            if edge.parameter in request.rows:
                arguments[edge.parameter] = from_arrow(_table(request.rows[edge.parameter]), edge.form or "pandas")
            else:
                arguments[edge.parameter] = self.store.load(request.artifacts[edge.parameter], project_types=types)
        return metrics_of(spec, self.loaded.nodes[spec.name].function(**arguments))


def single(api: BoundApi, golden_rows: GoldenRows) -> tuple[int, float, str]:
    """Golden rows asked one by one: how many calls were timed, their p99 in ms, and what differs from one batch."""
    rows, _ = api.requests.convert(golden_rows.requests)
    for number in range(min(WARM, len(rows))):
        api.decide(api.take([rows[number]]).columns, 1)
    took: list[float] = []
    differs, until = "", time.perf_counter() + BUDGET_S
    for number in range(max(CALLS, len(rows))):
        index = number % len(rows)
        begun = time.perf_counter()
        answer = api.decide(api.take([rows[index]]).columns, 1)
        took.append(time.perf_counter() - begun)
        if number < len(rows) and not differs:
            differs = _differs(golden_rows.answers[index], as_json(api, answer)[0], index)
        if time.perf_counter() > until:
            break
    return len(took), 1000 * sorted(took)[math.ceil(0.99 * len(took)) - 1], differs


def _differs(batch: dict[str, Any], alone: dict[str, Any], row: int) -> str:
    for name, expected in batch.items():
        got = alone.get(name)
        if isinstance(expected, float) and isinstance(got, float):
            if not math.isclose(expected, got, rel_tol=ROUNDING, abs_tol=1e-9):
                return f"{name} {expected!r} in a batch and {got!r} alone, at golden row {row}"
        elif expected != got:
            return f"{name} {expected!r} in a batch and {got!r} alone, at golden row {row}"
    return ""


def _table(path: str) -> pa.Table:
    return pq.read_table(path, partitioning=None)


def _attempt(act: Callable[[], T], folder: Path) -> tuple[T | None, ErrorReport | None]:
    """What a call gave, or why it failed: with the frames of files below ``folder`` where the user's code did."""
    try:
        return act(), None
    except Exception as error:
        return None, ErrorReport.of(error, user_traceback(error, folder))


def main(settings: HostSettings, parent: Parent) -> None:
    """Load what is hosted, say how that went, then answer each request; end at once when the parent ends."""
    requests = parent.listen(Request)
    folder = Store.open(settings.store).code_folder / settings.candidate.code
    host, report = _attempt(lambda: CandidateHost(settings), folder)
    parent.send(report or Ready())
    while host is not None:
        parent.send(host.do(requests.get()))


if __name__ == "__main__":
    run(main, HostSettings)
