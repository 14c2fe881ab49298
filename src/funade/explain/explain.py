"""One answer explained: what was asked and answered, what every part of it was made from, and the same answer again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from funade.declare.graph import Graph
from funade.errors import UnknownPrediction
from funade.explain.replay_process import LoggedRow, ReplayedAnswer, replay
from funade.predictions import table as predictions
from funade.store.records import Candidate, Version
from funade.store.store import Store


class Ancestor(msgspec.Struct, frozen=True):
    """One version behind an answer; ``periods`` are a source's first and last."""

    kind: str
    node: str
    version: str
    made_at: datetime
    settings: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    end: datetime | None = None
    rows: int | None = None
    periods: tuple[str, ...] = ()
    metrics: dict[str, float | None] = {}


class Explanation(msgspec.Struct, frozen=True):
    """One logged answer; ``parts`` are the versions behind it, the api first, sources last."""

    prediction: str
    api: str
    at: datetime
    release: int
    arm: str
    door: str
    latency_ms: float
    request: dict[str, Any]
    answer: dict[str, Any] | None
    fallback: str
    guard: tuple[str, ...]
    defaults: tuple[str, ...]
    candidate: str
    code: str
    released_at: datetime
    released_by: str
    parts: tuple[Ancestor, ...]
    again: ReplayedAnswer


def explain(store: Store, prediction: str) -> Explanation:
    """Explain one answer and give it again.

    Raises:
        UnknownPrediction: no such answer is logged.
    """
    row = predictions.find(store.predictions, prediction)
    if row is None:
        raise UnknownPrediction(
            f"prediction `{prediction}` expected in the log, got none",
            do="an id is in the header funade-prediction; rows of an array end in .0, .1, …",
        )
    release = store.metadata.release(row["release"])
    candidate = store.metadata.candidate(release.candidate) if release is not None else None
    if release is None or candidate is None:
        raise UnknownPrediction(
            f"release {row['release']} of prediction `{prediction}` expected in the store, got none"
        )
    return Explanation(
        prediction=row["prediction"],
        api=row["api"],
        at=row["answered_at"],
        release=release.number,
        arm=row["arm"],
        door=row["door"],
        latency_ms=row["latency_ms"],
        request=row["request"],
        answer=row["answer"],
        fallback=row["fallback"] or "",
        guard=tuple(row["guard"] or ()),
        defaults=tuple(row["defaults"] or ()),
        candidate=candidate.id,
        code=candidate.code,
        released_at=release.at,
        released_by=release.who,
        parts=tuple(_parts(row["api"], candidate, store)),
        again=_again(store, row),
    )


def _again(store: Store, row: Mapping[str, Any]) -> ReplayedAnswer:
    """The answer to a row of ``predictions`` given again, asked together with what it was asked with then."""
    if row["refused"]:
        return ReplayedAnswer(why="it was refused")
    with tempfile.TemporaryDirectory(prefix="funade-explain-") as folder:
        for call, table in store.predictions.calls({row["call"]}):
            mark = call.partition("-")[0]
            numbers = zip(table["number"].to_pylist(), table["row"].to_pylist(), strict=True)
            ids = [predictions.prediction_id(mark, number, place) for number, place in numbers]
            if row["prediction"] in ids:
                file = str(Path(folder) / "rows.parquet")
                pq.write_table(table.select(["request", "answer"]), file)
                logged = LoggedRow(row["api"], file, ids.index(row["prediction"]), row["fallback"] or "")
                return replay(store.address, row["release"], logged)
    return ReplayedAnswer(why="its call is not kept")


def _parts(api: str, candidate: Candidate, store: Store) -> Iterator[Ancestor]:
    """The api and everything it needs, nearest first."""
    graph = Graph(candidate.specs)
    waiting, seen = [(api, candidate.pins[api])], set()
    while waiting:
        node, version = waiting.pop(0)
        if version in seen:
            continue
        seen.add(version)
        record = store.metadata.version(version)
        if record is None:
            continue
        yield _part(record, candidate.settings.get(node, {}) if node in graph.specs else {}, store)
        waiting += record.inputs.items()
        if record.kind == "api":  # what it takes is bound by the release, not built into it
            waiting += [(edge.node, candidate.pins[edge.node]) for edge in graph[node].edges]


def _part(version: Version, settings: Mapping[str, Any], store: Store) -> Ancestor:
    periods: tuple[str, ...] = ()
    if version.kind == "source":
        revisions = store.metadata.revisions(version.node, up_to=version.sequence)
        periods = (revisions[0].period, revisions[-1].period) if revisions else ()
    return Ancestor(
        kind=version.kind,
        node=version.node,
        version=version.id,
        made_at=version.made_at,
        settings=version.recipe.get("settings", dict(settings)),
        inputs=version.inputs,
        end=version.end,
        rows=version.artifact.rows if version.artifact else None,
        periods=periods,
        metrics=dict(version.metrics),
    )
