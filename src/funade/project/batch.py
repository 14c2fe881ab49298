"""Batch: every row of a node, of a table of answers or of a query, answered by the current release."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from funade.batch.plan import RunIdentity, origin_of
from funade.batch.run import Progress, RowSource, Run, Summary
from funade.batch.table import Table, files, is_path, refuse_clash
from funade.declare.graph import Graph
from funade.declare.spec import Spec
from funade.errors import Misuse, ServeError, closest
from funade.predictions import table as predictions
from funade.project.present import Present
from funade.project.tables import node_files
from funade.store.warehouse import versions


@dataclass(frozen=True)
class BatchOrder:
    """What a batch is to do.

    ``rows`` are a node, a table of answers or a SELECT; ``into`` is a table, by name, or the path of a Parquet file;
    ``keep`` are columns of the contract that stand beside the answers as well. ``most_refused`` is the share of rows
    (0…1) that may be refused; ``workers`` are at work at once, one for each core where it is None.
    """

    api: str
    rows: str
    into: str
    keep: tuple[str, ...]
    most_refused: float
    workers: int | None


def answer(order: BatchOrder, present: Present, progress: Callable[[Progress], None]) -> Summary:
    """Answer every row by the current release; ``progress`` hears how far it is.

    Raises:
        Misuse: no such api or rows, or the table's name is taken.
        ServeError: nothing is released.
        ResultRefused: the rows do not fit the api, or more than ``most_refused`` of them are refused.
    """
    store, release = present.store, present.current
    if release is None:
        raise ServeError("batch expected a release that answers, got none", do="run: funade release")
    candidate = store.metadata.candidate(release.candidate)
    assert candidate is not None  # the switch that made the release checked it
    spec = _api(Graph(candidate.specs), order.api, release.number)
    if not is_path(order.into):
        refuse_clash(order.into, {spec.name: spec.kind for spec in present.graph}, files(store.local))
    source = _source(present, order.rows)
    identity = RunIdentity(order.api, release.number, order.rows, source.origin, order.keep)
    at_once = order.workers or len(os.sched_getaffinity(0))
    run = Run(store, spec, identity, source, workers=at_once, most_refused=order.most_refused)
    return run.into(Table(store.local, order.into), progress, present.clock)


def _api(graph: Graph, name: str, release: int) -> Spec:
    names = [spec.name for spec in graph.of_kind("api")]
    if name not in names:
        raise Misuse(
            f"batch expected an api of release {release}, got `{name}`",
            do=closest(name, names) or f"it has {', '.join(names) or 'none'}",
        )
    return graph[name]


def _source(present: Present, text: str) -> RowSource:
    """Where the rows of a batch are: a table's own files, or what a query reads."""
    answers = files(present.store.local, besides=present.graph.specs)
    if text in answers:
        return RowSource({text: answers[text][0].parent.name}, answers, f'SELECT * FROM "{text}"')
    if text in present.graph.specs or text.isidentifier():
        version = present.pick("batch", text, "source", "dataset")
        paths = versions.paths(version, present.store)
        return RowSource({text: version.id}, {text: paths})
    tables = present.tables()
    origin = {name: version.id for name, version in tables.items()}
    origin |= {name: paths[0].parent.name for name, paths in answers.items()}
    logged = predictions.named(present.store.predictions, text)
    return RowSource(origin_of(origin, text), {**logged, **answers, **node_files(tables, present.store)}, text)
