"""Rows to look at: those of a source or dataset, and a query over every table that has a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from funade.batch import table as answers
from funade.contract.form import Form
from funade.declare.window import Interval
from funade.declare.window import last as last_days
from funade.errors import Misuse
from funade.predictions import table as predictions
from funade.project.present import Present
from funade.store.records import Version
from funade.store.store import Store
from funade.store.warehouse import versions
from funade.store.warehouse.frames import from_arrow
from funade.store.warehouse.query import sql as run_sql


def rows(version: Version, store: Store, *, last: int | None, zone: ZoneInfo, form: Form) -> Any:
    """The rows of a source's or dataset's version: all, or those of the ``last`` calendar days before its end.

    Raises:
        Misuse: the last days of rows without a time.
    """
    interval = None if last is None else _last_days(version, last, zone)
    return versions.read(version, store, interval=interval, form=form)


def sql(query: str, present: Present, form: Form) -> Any:
    """A query over every source and dataset of the present recipe, every table of answers and ``predictions``."""
    store = present.store
    tables: dict[str, Any] = {
        **predictions.named(store.predictions, query),
        **answers.files(store.local, besides=present.graph.specs),
        **node_files(present.tables(), store),
    }
    return from_arrow(run_sql(query, tables), form)


def node_files(tables: dict[str, Version], store: Store) -> dict[str, list[Path]]:
    """Node → the Parquet files of its version."""
    return {name: versions.paths(version, store) for name, version in tables.items()}


def _last_days(version: Version, days: int, zone: ZoneInfo) -> Interval:
    if not version.time or version.end is None:
        raise Misuse(
            f"read(last={days}) expected rows with a time, got {version.kind} `{version.node}` without",
            do="read all: read()",
        )
    return last_days(days=days).interval(version.end, zone)
