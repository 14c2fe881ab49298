"""One answer explained: what was asked and answered, what every part of it was made from, and the same answer again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
        again=replayed(store, [row])[0],
    )


def replayed(store: Store, rows: Sequence[Mapping[str, Any]]) -> list[ReplayedAnswer]:
    """Rows of ``predictions`` answered again, each by the release that answered it; in the rows' order."""
    with tempfile.TemporaryDirectory(prefix="funade-explain-") as folder:
        files = _files(store, rows, Path(folder))
        answers = [
            ReplayedAnswer(why="it was refused") if row["refused"] else ReplayedAnswer(why="its call is not kept")
            for row in rows
        ]
        by_release: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            if not row["refused"] and row["prediction"] in files:
                by_release.setdefault(row["release"], []).append(index)
        for release, indexes in by_release.items():
            logged = [_logged(rows[i], *files[rows[i]["prediction"]]) for i in indexes]
            for i, answer in zip(indexes, _replayed(store, release, logged), strict=True):
                answers[i] = answer
    return answers


def _replayed(store: Store, release: int, rows: Sequence[LoggedRow]) -> Sequence[ReplayedAnswer]:
    if store.metadata.release(release) is None:
        return [ReplayedAnswer(why=f"release {release} is not in the store")] * len(rows)
    return replay(store.address, release, rows)


def _files(store: Store, rows: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, tuple[str, int]]:
    """Prediction → a file with the rows that were answered together, and its place among them."""
    files: dict[str, tuple[str, int]] = {}
    for number, (call, table) in enumerate(store.predictions.calls({row["call"] for row in rows})):
        file = str(folder / f"{number}.parquet")
        pq.write_table(table.select(["request", "answer"]), file)
        mark = call.partition("-")[0]
        places = zip(table["number"].to_pylist(), table["row"].to_pylist(), strict=True)
        files |= {predictions.prediction(mark, n, row): (file, place) for place, (n, row) in enumerate(places)}
    return files


def _logged(row: Mapping[str, Any], file: str, place: int) -> LoggedRow:
    return LoggedRow(row["api"], file, place, row["fallback"] or "")


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
