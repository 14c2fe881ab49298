"""Making one version: the user's function called with its inputs, its result kept, its build recorded."""

from __future__ import annotations

import contextlib
import io
import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, get_origin

import msgspec
import pyarrow as pa

from funade.bind.bind import bind
from funade.bind.evaluate import JudgedRows, metrics_of, replay
from funade.build.context import BuildContext
from funade.declare.policy import Onnx, Split
from funade.declare.setting import as_declared
from funade.declare.spec import Edge, Spec
from funade.errors import BuildFailed, FunadeError, ResultRefused, WindowEmpty, closest, headline
from funade.fingerprint.importing import user_traceback
from funade.plan.plan import Plan, Step, bound
from funade.store import codecs
from funade.store.codecs.onnx import parity
from funade.store.naming import short
from funade.store.records import Artifact, Build, RowSet, Version
from funade.store.store import Store
from funade.store.warehouse import query, snapshots, versions
from funade.store.warehouse.frames import from_arrow, to_arrow

V = TypeVar("V")


def make(step: Step, steps: Plan, context: BuildContext, *, attempt: bool) -> tuple[Version, bool]:
    """The version of one step, and whether this call made it: False where another process was first.

    Raises:
        BuildFailed: the user's function failed; the build is recorded with its log.
    """
    spec, store = step.spec, context.store
    record = Build(
        id=uuid.uuid4().hex, node=spec.name, version=step.version, state="built", started_at=context.now(),
        seconds=0.0, settings=step.settings, attempt=attempt, runtime=spec.runtime,
    )  # fmt: skip
    started = time.perf_counter()
    printed = io.StringIO()
    try:
        with _captured(printed):
            version = _version(step, steps, context)
    except (Exception, SystemExit) as error:
        failed = msgspec.structs.replace(
            record,
            state="failed",
            seconds=time.perf_counter() - started,
            log=_log(store, printed),
            error=str(error) if isinstance(error, FunadeError) else f"{type(error).__name__}: {error}",
        )
        store.metadata.add_build(failed)
        raise _failure(spec, error, context.root) from error
    record = msgspec.structs.replace(
        record, seconds=time.perf_counter() - started, log=_log(store, printed), metrics=version.metrics
    )
    version = msgspec.structs.replace(version, build=record.id)
    recorded = store.metadata.add_version(version, record)
    return recorded, recorded.build == record.id


def _version(step: Step, steps: Plan, context: BuildContext) -> Version:
    spec, store = step.spec, context.store
    inputs = {edge.parameter: store.version(steps[edge.node].version) for edge in spec.edges}
    end = versions.earliest_end([(e, inputs[e.parameter]) for e in spec.edges])
    arguments = dict(context.arguments(spec))
    arguments.update(as_declared(context.nodes[spec.name].function, step.settings))
    judged = JudgedRows()
    queried: dict[str, pa.Table] = {}
    # Relations of one function meet on one connection, or they could not be joined.
    connection = query.memory() if any(edge.form == "relation" for edge in spec.edges) else None
    for edge in spec.edges:
        version = inputs[edge.parameter]
        if version.kind in ("model", "threshold"):
            arguments[edge.parameter] = store.load(version.id, project_types=context.graph.packages)
            continue
        table = _rows(edge, version, end, steps, context, judged)
        arguments[edge.parameter] = from_arrow(table, edge.form or "pandas", connection=connection)
        if _is_sql(spec):
            queried[edge.parameter] = table
    result = context.nodes[spec.name].function(**arguments)
    if _is_sql(spec):
        result = _queried(spec, result, queried)
    version = Version(
        id=step.version, node=spec.name, kind=spec.kind, recipe=step.recipe, made_at=context.now(), inputs=step.inputs,
        symbols=spec.symbols, classes=spec.classes, lock=context.lock, **_seen(spec, inputs, end, context),
    )  # fmt: skip
    if spec.kind == "evaluation":
        return msgspec.structs.replace(
            version,
            metrics=metrics_of(spec, result),
            judged_rows=judged.least,
            refused=judged.refused,
            guarded=judged.guarded,
        )
    if spec.kind == "dataset":
        return _with_rows(version, spec, result, context)
    codec = spec.codec if spec.kind == "model" else "json"
    if codec != "json":
        _refuse_other_class(spec, context.nodes[spec.name].returns, result)
    artifact = codecs.encode(
        result,
        codec,
        store.blobs,
        place=spec.place,
        title=f"{spec.kind} `{spec.name}`",
        project_types=context.graph.packages,
    )
    _refuse_other_answers(spec, artifact, context)
    return msgspec.structs.replace(version, artifact=artifact)


def _refuse_other_answers(spec: Spec, artifact: Artifact, context: BuildContext) -> None:
    """Refuse a conversion whose answers differ from its original's on rows where conversions go wrong."""
    policy = spec.policy(Onnx)
    if policy is None:
        return
    blobs, types, title = context.store.blobs, context.graph.packages, f"model `{spec.name}`"
    native = codecs.decode(codecs.original(artifact), blobs, project_types=types, title=title)
    served = codecs.decode(artifact, blobs, project_types=types, title=title)
    parity.probe(native, served, policy.within, title=title, place=spec.place)


def _refuse_other_class(spec: Spec, annotated: Any, result: Any) -> None:
    """Refuse a result of another class than annotated: the recipe records what loading the annotated one needs."""
    wanted = get_origin(annotated) or annotated
    if not isinstance(result, wanted) or (spec.codec == "python" and type(result) is not wanted):
        raise ResultRefused(
            f"{spec.kind} `{spec.name}` expected to return `{wanted.__name__}`, got `{type(result).__name__}`",
            at=spec.place,
            do="annotate the class that it returns",
        )


def _is_sql(spec: Spec) -> bool:
    return spec.kind == "dataset" and spec.result_form == "sql"


def _queried(spec: Spec, text: Any, rows: Mapping[str, pa.Table]) -> pa.Table:
    """The rows of the query that a dataset's function returned, over its inputs by their parameters' names."""
    what = f"dataset `{spec.name}`"
    if not isinstance(text, str):
        raise ResultRefused(f"{what} expected SQL text, got {type(text).__name__}", at=spec.place)
    return query.sql(text, rows, place=spec.place, what=what)


def _rows(
    edge: Edge, version: Version, end: datetime | None, steps: Plan, context: BuildContext, judged: JudgedRows
) -> pa.Table:
    """The rows an edge takes, those of an answer edge answered by its api."""
    store = context.store
    interval = versions.interval_of(edge, version, end, context.zone)
    table = versions.read(version, store, interval=interval, part=edge.part)
    if (edge.window or edge.part) and not table.num_rows:
        raise WindowEmpty(
            f"`{edge.parameter}` expected rows of `{edge.node}` {edge.window or edge.part}, got none",
            at=short(edge.node, version.id) + (f", which ends at {version.end}" if version.end else ""),
            do="load more periods, or widen the window" if edge.window else _SPLIT_ONCE,
        )
    if not edge.api:
        judged.saw(table.num_rows)
        return table
    api = bind(
        context.graph, context.nodes, bound(edge.api, steps, edge.replaced) , store,
        settings={n: s.settings for n, s in steps.items()}, zone=context.zone, only=[edge.api], replaced=edge.replaced,
    )[edge.api]  # fmt: skip
    answered, refused, guarded = replay(api, table)
    judged.saw(answered.num_rows, len(refused), guarded)
    return answered


def _seen(spec: Spec, inputs: Mapping[str, Version], end: datetime | None, context: BuildContext) -> dict[str, Any]:
    """How far the version's rows go, and what it was fitted on."""
    ends: list[datetime] = []
    reaches: list[datetime | None] = []
    fits: dict[RowSet, None] = {}
    for edge in spec.edges:
        version = inputs[edge.parameter]
        fits |= dict.fromkeys(version.fits)
        if version.kind in ("model", "threshold"):
            reaches += [version.reach] if version.fits else []  # a rule has seen no row
            continue
        interval = versions.interval_of(edge, version, end, context.zone)
        rows = versions.row_set(edge, version, interval)
        reaches.append(rows.reach)
        bounds = [b for b in ((interval.end if interval else None), version.end) if b is not None]
        ends += [min(bounds)] if bounds else []
        if spec.kind in ("model", "threshold"):
            fits[rows] = None
    known = [r for r in reaches if r is not None]
    reach = max(known) if known and len(known) == len(reaches) else None
    above = inputs.values() if spec.kind == "dataset" else ()
    return {
        "end": min(ends, default=None),
        "reach": reach,
        "fits": tuple(fits),
        "time": spec.time or _only([v.time for v in above if v.time], ""),
        "key": spec.key or _only([v.key for v in above if v.key], ()),
    }


def _only(values: Sequence[V], otherwise: V) -> V:
    return values[0] if len(values) == 1 else otherwise


def _with_rows(version: Version, spec: Spec, result: Any, context: BuildContext) -> Version:
    table = to_arrow(result, zone=context.zone, place=spec.place, what=f"dataset `{spec.name}`")
    artifact = snapshots.write(context.store.blobs, table)
    time = _survived(spec, (version.time,) if version.time else (), artifact, declared=bool(spec.time))
    key = _survived(spec, version.key, artifact, declared=bool(spec.key))
    split = spec.policy(Split)
    _survived(spec, (split.by,) if split else (), artifact, declared=True)
    return msgspec.structs.replace(version, artifact=artifact, time="".join(time), key=key)


def _survived(spec: Spec, columns: tuple[str, ...], artifact: Artifact, *, declared: bool) -> tuple[str, ...]:
    """The columns, where the result still has them all; else none, or an error where they were declared."""
    missing = [column for column in columns if column not in artifact.columns]
    if missing and declared:
        got = ", ".join(artifact.columns) or "none"
        raise ResultRefused(
            f"dataset `{spec.name}` expected a column `{missing[0]}`, got {got}",
            at=spec.place,
            do=closest(missing[0], artifact.columns),
        )
    return () if missing else columns


@contextlib.contextmanager
def _captured(printed: io.StringIO) -> Iterator[None]:
    """The block in which what the user's function prints and logs goes into its build's log."""
    echo = logging.StreamHandler(printed)
    logging.getLogger().addHandler(echo)
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            yield
    finally:
        logging.getLogger().removeHandler(echo)


def _log(store: Store, printed: io.StringIO) -> str:
    text = printed.getvalue()
    return store.blobs.put_bytes(text.encode(errors="replace")) if text else ""


def _failure(spec: Spec, error: BaseException, root: Path) -> FunadeError:
    if isinstance(error, FunadeError):
        named = error.what if f"`{spec.name}`" in error.what else f"{spec.kind} `{spec.name}`: {error.what}"
        return type(error)(named, at=error.at or spec.place, do=error.do, **error.facts)
    return BuildFailed(
        f"{spec.kind} `{spec.name}` expected to be built, got {headline(error)}",
        at=spec.place,
        do="mend it and run the command again; what was built stays",
        traceback=user_traceback(error, root),
    )


_SPLIT_ONCE = "split by a column of more groups, and no rows that were split by it before"
"""One group falls on the same side of every split of one share, so a part cannot be parted again by its column."""
