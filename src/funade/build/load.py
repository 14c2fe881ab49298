"""Loading: a source's periods brought in one by one; the only thing that leaves the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funade.build.due import PeriodLoad
from funade.declare.node import Node
from funade.declare.period import Period
from funade.declare.spec import Spec
from funade.errors import LoadFailed, ResultRefused, closest, headline
from funade.fingerprint.importing import user_traceback
from funade.store.records import Revision
from funade.store.store import Store
from funade.store.warehouse import snapshots
from funade.store.warehouse.frames import to_arrow


def load(
    spec: Spec,
    node: Node[Any, Any],
    periods: Sequence[Period],
    *,
    arguments: dict[str, Any],
    store: Store,
    zone: ZoneInfo,
    now: Callable[[], datetime],
    root: Path,
) -> Iterator[PeriodLoad]:
    """Load periods in order, each kept as soon as it is there; what is loaded before a failure stays.

    ``arguments`` are the source's settings, places and secrets by parameter; naive times are taken in ``zone``; the
    user's own traceback is cut to the files below ``root``.

    Raises:
        LoadFailed: the function failed, or its rows cannot be kept; that period is as it was.
    """
    schema = _known(spec, periods, store)
    for period in periods:
        at = f"{spec.name} {period.name}"
        table = to_arrow(_call(node, spec, period, arguments, root), zone=zone, place=at, what=f"source `{spec.name}`")
        good, bad = set_aside(table, spec, period, at)
        schema = _agreed(spec, schema, good.schema, at)
        artifact = snapshots.write(store.blobs, good)
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
        yield PeriodLoad(period.name, store.metadata.add_revision(revision), good.num_rows, bad.num_rows)


def set_aside(table: pa.Table, spec: Spec, period: Period, at: str) -> tuple[pa.Table, pa.Table]:
    """The rows that lie in their period, and the bad ones with a column ``why``: undated, elsewhere, or repeated.

    Of the rows of one key that lie in the period the first is kept. A frame without rows and columns is a period
    without rows.
    """
    if not table.num_columns:
        return table, table
    for column in (spec.time, *spec.key):
        if column and column not in table.schema.names:
            raise ResultRefused(
                f"source `{spec.name}` expected a column `{column}`, got {', '.join(table.schema.names)}",
                at=at,
                do=closest(column, table.schema.names),
            )
    why = np.full(table.num_rows, "", dtype=object)
    if spec.time:
        _mark_elsewhere(why, table[spec.time], spec, period, at)
    if spec.key:
        _mark_repeated(why, table.select(list(spec.key)))
    bad = why != ""
    name = "why"
    while name in table.column_names:
        name += "_"
    aside = table.filter(pa.array(bad)).append_column(name, pa.array(why[bad].tolist(), pa.string()))
    return table.filter(pa.array(~bad)), aside


def _mark_elsewhere(why: np.ndarray[Any, Any], moments: pa.ChunkedArray, spec: Spec, period: Period, at: str) -> None:
    if pa.types.is_null(moments.type):
        why[:] = "no time"
        return
    if not pa.types.is_timestamp(moments.type):
        what = f"source `{spec.name}` expected times in `{spec.time}`, got {moments.type}"
        raise ResultRefused(what, at=at, do="convert the column to times")
    start, end = (pa.scalar(moment, moments.type) for moment in (period.start, period.end))
    inside = pc.and_(pc.greater_equal(moments, start), pc.less(moments, end))
    why[~inside.fill_null(True).to_numpy(zero_copy_only=False)] = "outside its period"
    why[moments.is_null().to_numpy(zero_copy_only=False)] = "no time"


def _mark_repeated(why: np.ndarray[Any, Any], keys: pa.Table) -> None:
    good = np.flatnonzero(why == "")
    rows = keys.take(pa.array(good)).append_column("_row", pa.array(good))
    groups = rows.group_by(keys.column_names, use_threads=False).aggregate([("_row", "min")])
    why[np.setdiff1d(good, groups["_row_min"].to_numpy())] = "key repeated"


def _known(spec: Spec, periods: Sequence[Period], store: Store) -> pa.Schema | None:
    """The columns of the periods that stay as they are; None where there are none."""
    coming = {period.name for period in periods}
    staying = [r for r in store.metadata.revisions(spec.name) if r.period not in coming and r.columns]
    # One file for each set of columns says as much as all of them.
    digests = {tuple(sorted(r.columns.items())): r.digest for r in staying}
    return snapshots.schema_of([store.blobs.path(d) for d in digests.values()]) if digests else None


def _agreed(spec: Spec, known: pa.Schema | None, new: pa.Schema, at: str) -> pa.Schema | None:
    """The columns of what is loaded together with one more period's.

    Raises:
        ResultRefused: they have other names, or a type that does not go with the one before.
    """
    if known is None or not new.names:
        return new if new.names else known
    if set(known.names) != set(new.names):
        raise _other_columns(spec, at, known.names, new.names)
    fields = []
    for old, now in ((known.field(name), new.field(name)) for name in new.names):
        try:
            (field,) = pa.unify_schemas([pa.schema([old]), pa.schema([now])], promote_options="permissive")
        except pa.ArrowException:
            what = f"source `{spec.name}` expected `{now.name}` as {old.type}, as loaded before, got {now.type}"
            raise ResultRefused(what, at=at, do=_same(spec)) from None
        fields.append(field)
    return pa.schema(fields)


def _call(node: Node[Any, Any], spec: Spec, period: Period, arguments: dict[str, Any], root: Path) -> Any:
    try:
        return node.function(**{spec.batch: period.name}, **arguments)
    except (Exception, SystemExit) as error:
        raise LoadFailed(
            f"source `{spec.name}` expected rows of {period.name}, got {headline(error)}",
            at=spec.place,
            do="mend it and run the command again; what is loaded stays",
            traceback=user_traceback(error, root),
        ) from error


def _other_columns(spec: Spec, at: str, expected: Iterable[str], got: Iterable[str]) -> ResultRefused:
    missing, extra = sorted(set(expected) - set(got)), sorted(set(got) - set(expected))
    parts = [f"no {', '.join(missing)}"] if missing else []
    parts += [f"new {', '.join(extra)}"] if extra else []
    return ResultRefused(
        f"source `{spec.name}` expected the columns loaded before, got {' and '.join(parts)}",
        at=at,
        do="; ".join(filter(None, [_same(spec), closest(extra[0], missing) if extra else ""])),
    )


def _same(spec: Spec) -> str:
    return f"give every period the same columns, or load all again: funade load {spec.name} --again"
