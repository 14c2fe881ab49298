"""Rows of a version: which Parquet blobs hold them, and which of them an edge takes."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa

from funade.contract.form import Form
from funade.declare.policy import Split
from funade.declare.spec import Edge
from funade.declare.window import Interval
from funade.errors import NotBuilt, ResultRefused
from funade.store.naming import short
from funade.store.records import RowSet, Version
from funade.store.store import Store
from funade.store.warehouse import snapshots


def paths(version: Version, store: Store) -> list[Path]:
    """The Parquet files of a source's or dataset's version, in order of time."""
    if version.kind == "source":
        return [store.blobs.path(r.digest) for r in store.metadata.revisions(version.node, up_to=version.sequence)]
    if version.artifact is None:
        raise NotBuilt(f"{version.kind} `{version.node}` expected rows, got none", at=short(version.node, version.id))
    return [store.blobs.path(digest) for digest in version.artifact.files.values()]


def read(
    version: Version, store: Store, *, interval: Interval | None = None, part: str = "", form: Form = "arrow"
) -> Any:
    """The version's rows in ``interval`` and ``part``, in the frame asked for; times are UTC."""
    return snapshots.read(
        paths(version, store),
        interval=interval,
        time=version.time,
        part=part,
        split=split_of(version) if part else None,
        form=form or "pandas",
    )


def rows(of: RowSet, store: Store) -> pa.Table:
    """The rows of a set, read from their version."""
    table: pa.Table = read(store.version(of.version), store, interval=of.interval, part=of.part)
    return table


def split_of(version: Version) -> Split | None:
    """How the version's rows are parted, as its recipe has it."""
    splits = [p for p in version.recipe.get("policies", []) if p["policy"] == "split"]
    return msgspec.convert(splits[0], Split) if splits else None


def earliest_end(edges: list[tuple[Edge, Version]]) -> datetime | None:
    """The end that windows count back from: the earliest among the windowed inputs."""
    return min((v.end for edge, v in edges if edge.window and v.end), default=None)


def interval_of(edge: Edge, version: Version, end: datetime | None, zone: ZoneInfo) -> Interval | None:
    """The stretch of time an edge takes of a version; None where it takes every row."""
    if edge.window is None:
        return None
    if not version.time:
        raise ResultRefused(
            f"{version.kind} `{version.node}` expected a time column under a window, got none",
            at=short(version.node, version.id),
            do='keep the column in the result, or declare fn.time("column")',
        )
    if end is None and not edge.window.first_date:
        raise ResultRefused(
            f"{version.kind} `{version.node}` expected an end that days count back from, got none",
            at=short(version.node, version.id),
            do='choose its rows by dates: .between("2022-01-01", "2022-02-01")',
        )
    return edge.window.interval(end or version.made_at, zone)  # dates look at no end


def row_set(edge: Edge, version: Version, interval: Interval | None) -> RowSet:
    """The rows an edge takes, as what a fitted thing has seen (or a judge looks at)."""
    return RowSet(
        version.node, version.id, interval=interval, part=edge.part, reach=reach(version, interval), key=version.key
    )


def reach(version: Version, interval: Interval | None) -> datetime | None:
    """The exclusive upper bound of the time of any row seen behind these rows; None where time says nothing."""
    if interval is None or not version.time:
        return version.reach
    bounds = [b for b in (interval.end, version.end) if b is not None]
    fitted = [f.reach for f in version.fits]
    if not bounds or None in fitted:
        return None
    return max([min(bounds), *(f for f in fitted if f is not None)])
