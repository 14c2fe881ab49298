"""Loading: a source's periods brought in one by one; the only thing that leaves the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from funade.declare.importing import told, user_traceback
from funade.declare.node import Node
from funade.declare.period import Period, due
from funade.declare.policy import Every, Key, Revised, Time
from funade.declare.span import span
from funade.declare.spec import Spec
from funade.errors import LoadFailed, ResultRefused, closest
from funade.store import snapshots
from funade.store.frames import to_arrow
from funade.store.opened import Store
from funade.store.records import Revision

if TYPE_CHECKING:
    import pyarrow as pa


class Loaded(msgspec.Struct, frozen=True):
    """What became of one period: ``revision`` is None when its rows are those already kept."""

    period: str
    revision: Revision | None
    rows: int
    bad_rows: int


def wanted(spec: Spec, store: Store, zone: ZoneInfo, now: datetime) -> list[Period]:
    """The periods that are due and not loaded, and those that may still be revised at their origin."""
    every = spec.policy(Every)
    assert every is not None  # declared: a source has its rhythm
    there = {r.period for r in store.metadata.revisions(spec.name)}
    revised = spec.policy(Revised)
    since = now - span(revised.within) if revised else None
    return [p for p in due(every, zone, now) if p.name not in there or (since is not None and p.end > since)]


def unloaded(spec: Spec, store: Store, periods: Iterable[Period]) -> list[Period]:
    """Those of the periods that were never loaded."""
    there = {r.period for r in store.metadata.revisions(spec.name)}
    return [p for p in periods if p.name not in there]


def load(
    spec: Spec,
    node: Node[Any, Any],
    periods: Iterable[Period],
    *,
    given: dict[str, Any],
    store: Store,
    zone: ZoneInfo,
    now: Callable[[], datetime],
    root: Path,
) -> Iterator[Loaded]:
    """Load periods in order, each kept as soon as it is there; what is loaded before a failure stays.

    Args:
        spec: the source.
        node: the same, imported.
        periods: which to load.
        given: its settings, places and secrets by parameter.
        store: where the rows go.
        zone: the project's time zone, in which naive times are taken.
        now: the clock.
        root: the project's folder, for the user's own traceback.

    Raises:
        LoadFailed: the function failed, or its rows cannot be kept; that period is as it was.
    """
    known = next(iter(store.metadata.revisions(spec.name)), None)
    columns = known.columns if known else {}
    for period in periods:
        at = f"{spec.name} {period.name}"
        table = to_arrow(_call(node, spec, period, given, root), zone=zone, place=at, what=f"source `{spec.name}`")
        good, bad = set_aside(table, spec, period, at)
        if columns and table.num_columns and set(columns) != set(good.schema.names):
            _refuse_columns(spec, at, columns, good.schema.names)
        artifact = snapshots.write(store.blobs, good)
        columns = columns or artifact.columns
        revision = Revision(
            source=spec.name,
            period=period.name,
            start=period.start,
            end=period.end,
            digest=artifact.files["rows.parquet"],
            rows=good.num_rows,
            loaded_at=now(),
            bad_rows=bad.num_rows,
            bad_digest=snapshots.write(store.blobs, bad).files["rows.parquet"] if bad.num_rows else "",
            columns=artifact.columns,
            code=spec.fingerprint,
        )
        yield Loaded(period.name, store.metadata.add_revision(revision), good.num_rows, bad.num_rows)


def set_aside(table: pa.Table, spec: Spec, period: Period, at: str) -> tuple[pa.Table, pa.Table]:
    """The rows that lie in their period, and the bad ones with a column ``why``: undated, elsewhere, or repeated."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    why = np.full(table.num_rows, "", dtype=object)
    time, key = spec.policy(Time), spec.policy(Key)
    for column in [*([time.column] if time else []), *(key.columns if key else ())]:
        if column not in table.schema.names:
            raise ResultRefused(
                f"source `{spec.name}` expected a column `{column}`, got {', '.join(table.schema.names) or 'none'}",
                at=at,
                do=closest(column, table.schema.names),
            )
    if key:
        first = table.select(list(key.columns)).append_column("_row", pa.array(np.arange(table.num_rows)))
        kept = first.group_by(list(key.columns), use_threads=False).aggregate([("_row", "min")])["_row_min"].to_numpy()
        why[~np.isin(np.arange(table.num_rows), kept)] = "key repeated"
    if time:
        moments = table[time.column]
        if not pa.types.is_timestamp(moments.type):
            raise ResultRefused(f"source `{spec.name}` expected times in `{time.column}`, got {moments.type}", at=at)
        inside = pc.and_(
            pc.greater_equal(moments, pa.scalar(period.start, moments.type)),
            pc.less(moments, pa.scalar(period.end, moments.type)),
        )
        why[~inside.fill_null(True).to_numpy(zero_copy_only=False)] = "outside its period"
        why[moments.is_null().to_numpy(zero_copy_only=False)] = "no time"
    bad = why != ""
    aside = table.filter(pa.array(bad)).append_column("why", pa.array(why[bad].tolist(), pa.string()))
    return table.filter(pa.array(~bad)), aside


def _call(node: Node[Any, Any], spec: Spec, period: Period, given: dict[str, Any], root: Path) -> Any:
    try:
        return node.function(**{spec.batch: period.name}, **given)
    except (Exception, SystemExit) as error:
        raise LoadFailed(
            f"source `{spec.name}` expected rows of {period.name}, got {told(error)}",
            at=spec.place,
            do="mend it and run the command again; what is loaded stays",
            traceback=user_traceback(error, root),
        ) from error


def _refuse_columns(spec: Spec, at: str, expected: Iterable[str], got: Iterable[str]) -> None:
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    parts = [f"no {', '.join(missing)}"] if missing else []
    parts += [f"new {', '.join(extra)}"] if extra else []
    raise ResultRefused(
        f"source `{spec.name}` expected the columns loaded before, got {' and '.join(parts)}",
        at=at,
        do="give every period the same columns"
        + (f"; {closest(extra[0], missing)}" if extra and missing and closest(extra[0], missing) else ""),
    )
