"""Logged predictions as a table: made from a worker's frames, read while servers write."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from funade.contract import outcome
from funade.contract.arrays import Array
from funade.contract.arrow import to_arrow
from funade.predictions import wal
from funade.predictions.segments import Segment
from funade.store.ports.predictions import PredictionStore
from funade.store.prediction_record import DOORS
from funade.store.warehouse.query import Select, literal, quoted, sql, whole

TABLE = "predictions"
_SIDES = ("request", "answer")
_Field = tuple[str, str]
_MISSING = "null"
_NULLABLE = frozenset(["row", "fallback", "guard", "defaults"])

_ID = re.compile(r"([0-9a-f]{12})-([0-9a-f]{1,16})(?:\.([0-9]{1,9}))?")
_SELECT = """
SELECT mark || '-' || printf('%x', number) || CASE WHEN row IS NULL THEN '' ELSE '.' || row END AS prediction,
  mark || '-' || printf('%x', call) AS call, api,
  answered_at, release, arm, door, latency_ms, fallback, guard, defaults, refused, {request} AS request,
  {answer} AS answer
FROM read_parquet({paths}, union_by_name = true, hive_partitioning = false) WHERE {where}
"""
_EMPTY = """
SELECT * FROM (SELECT NULL::VARCHAR AS prediction, NULL::VARCHAR AS call, NULL::VARCHAR AS api,
  NULL::TIMESTAMPTZ AS answered_at,
  NULL::BIGINT AS release, NULL::VARCHAR AS arm, NULL::VARCHAR AS door, NULL::FLOAT AS latency_ms,
  NULL::VARCHAR AS fallback, NULL::VARCHAR[] AS guard, NULL::VARCHAR[] AS defaults, NULL::BOOLEAN AS refused,
  NULL::STRUCT(nothing VARCHAR) AS request, NULL::STRUCT(nothing VARCHAR) AS answer) WHERE false
"""


def joined(frames: Sequence[wal.Frame]) -> dict[str, Array]:
    """The columns of frames that have the same ones."""
    if len(frames) == 1:
        return frames[0].columns
    return {name: np.concatenate([frame.columns[name] for frame in frames]) for name in frames[0].columns}


def table(mark: str, api: str, release: int, columns: dict[str, Array]) -> pa.Table:
    """The columns of frames as they are kept; ``request`` and ``answer`` are structs of the contract's fields.

    What is missing nowhere is declared so, all of one side or nothing of it: it is written in half the time, and an api
    has four shapes at most.
    """
    rows = len(columns["number"])
    spoke = columns["spoke"]
    refused = spoke == outcome.REFUSED
    row = columns["row"]

    def constant(value: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(np.zeros(rows, dtype="i4"), pa.array([value]))

    def chosen(codes: Array, names: Sequence[str | None]) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names, pa.string()))

    reasons = np.where(refused, 0, spoke).astype("i1")
    names = [outcome.NAMES.get(code, "") for code in range(outcome.NAN + 1)]
    spoken = pa.DictionaryArray.from_arrays(pa.array(reasons, mask=reasons == 0), pa.array(names, pa.string()))
    values = {
        "mark": constant(mark),
        "number": pa.array(columns["number"]),
        "row": pa.array(row, mask=row < 0),
        "call": pa.array(columns["call"]),
        "api": constant(api),
        "answered_at": pa.array(columns["at"], pa.int64()).cast(pa.timestamp("us", "UTC")),
        "release": pa.array(np.full(rows, release)),
        "arm": constant("current"),
        "door": chosen(columns["door"].astype("i1"), DOORS),
        "latency_ms": pa.array(columns["latency_ms"]),
        "fallback": spoken,
        "guard": _lists(columns, "g:", rows),
        "defaults": _lists(columns, "d:", rows),
        "refused": pa.array(refused),
        "request": _struct(columns, "q:", None),
        "answer": _struct(columns, "a:", refused),
    }
    fields = [
        pa.field(n, column.type, nullable=n in _NULLABLE or column.null_count > 0) for n, column in values.items()
    ]
    return pa.table([*values.values()], schema=pa.schema(fields))


def _lists(columns: dict[str, Array], letter: str, rows: int) -> pa.Array:
    """The names whose masks are set, a list a row; null where none is."""
    masks = {name[2:]: column.tolist() for name, column in columns.items() if name.startswith(letter)}
    kind = pa.list_(pa.string())
    if not masks:
        return pa.nulls(rows, kind)
    lists = [[name for name, mask in masks.items() if mask[i]] or None for i in range(rows)]
    return pa.array(lists, kind)


def _struct(columns: dict[str, Array], letter: str, refused: Array | None) -> pa.Array:
    named = {name[2:]: _values(column) for name, column in columns.items() if name.startswith(letter)}
    mask = pa.array(refused) if refused is not None and refused.any() else None
    if not named:
        named = {"nothing": pa.nulls(len(columns["number"]), pa.string())}
    missing = mask is not None or any(array.null_count for array in named.values())
    fields = [pa.field(name, array.type, nullable=missing) for name, array in named.items()]
    return pa.StructArray.from_arrays([*named.values()], fields=fields, mask=mask)


def _values(column: Array) -> pa.Array:
    if column.dtype != object:
        return to_arrow(column)  # NaN is a missing value, to whom it may read it by SQL too
    try:
        return pa.array(column.tolist())
    except (pa.ArrowException, ArithmeticError):
        return pa.array([None if v is None else str(v) for v in column.tolist()])


def select(live: Iterable[Segment], mark: str = "", number: int | None = None) -> Select:
    """Reads these segments: all rows, or those of the worker whose prediction ids begin so, and of one number."""
    shapes: dict[str, list[Path]] = {}
    for segment in live:
        if not mark or mark in segment.marks:
            shapes.setdefault(segment.shape, []).append(segment.path)
    files = tuple(path for paths in shapes.values() for path in paths)
    if not files:
        return Select(_EMPTY, files)
    fields = [_fields(paths[0]) for paths in shapes.values()] if len(shapes) > 1 else []
    kinds = _kinds(fields)
    where = (f"mark = {literal(mark)}" if mark else "true") + ("" if number is None else f" AND number = {number}")
    if all(len(types) == 1 for types in kinds.values()):
        return Select(_select(files, "request", "answer", where), files)
    texts = [
        _select(paths, _apart("request", own, kinds), _apart("answer", own, kinds), where)
        for paths, own in zip(shapes.values(), fields, strict=True)
    ]
    return Select(" UNION ALL ".join(texts), files)


def named(predictions: PredictionStore, query: str) -> dict[str, Select]:
    """The log as a table, where a query may read it: every file of it would be opened."""
    return {TABLE: predictions.select()} if TABLE in query.lower() else {}


def _select(paths: Sequence[Path], request: str, answer: str, where: str) -> str:
    return _SELECT.format(paths=literal([str(path) for path in paths]), request=request, answer=answer, where=where)


def _fields(path: Path) -> dict[_Field, str]:
    """Side and field → what kind of values it has: of one kind SQL finds a type with room for all."""

    def kind(data_type: pa.DataType) -> str:
        if pa.types.is_integer(data_type) or pa.types.is_floating(data_type) or pa.types.is_boolean(data_type):
            return "number"
        return "time" if pa.types.is_temporal(data_type) else str(data_type)

    with whole(path):
        schema = pq.read_schema(path)
    return {(side, field.name): kind(field.type) for side in _SIDES for field in schema.field(side).type}


def _kinds(fields: Sequence[dict[_Field, str]]) -> dict[_Field, set[str]]:
    kinds: dict[_Field, set[str]] = {}
    for fields_of in fields:
        for name, kind in fields_of.items():
            kinds.setdefault(name, set()).add(kind)
    return kinds


def _apart(side: str, own: dict[_Field, str], kinds: dict[_Field, set[str]]) -> str:
    """The struct of one side of one shape, with the fields of all; what is number here and time there becomes text.

    SQL finds no type for these by itself, and makes a number of what is missing throughout.
    """
    named = []
    for field, names in kinds.items():
        if field[0] == side:
            value = f"{side}.{quoted(field[1])}" if own.get(field, _MISSING) != _MISSING else "NULL"
            text = len(names - {_MISSING}) > 1
            named.append(f"{quoted(field[1])} := {value}" + ("::VARCHAR" if text else ""))
    return f"CASE WHEN {side} IS NULL THEN NULL ELSE struct_pack({', '.join(named)}) END"


def find(predictions: PredictionStore, prediction: str, *, wait_s: float = 3.0) -> dict[str, Any] | None:
    """The row of one prediction id; of an array's first row ``.0`` may be left out.

    What was answered this moment may not be there yet and is waited for, ``wait_s`` seconds at most.
    """
    match = _ID.fullmatch(prediction.strip())
    if match is None:
        return None
    mark, number = match[1], int(match[2], 16)
    rows = [None, 0] if match[3] is None else [int(match[3])]
    ids = literal([prediction_id(mark, number, row) for row in rows])
    query = f"SELECT * FROM {TABLE} WHERE prediction IN {ids}"
    ends = time.monotonic() + wait_s
    while True:
        read = predictions.select(mark=mark, number=number)
        answers = sql(query, {TABLE: read}).to_pylist() if read.paths else []
        if answers:
            return _plain(answers[0])
        if time.monotonic() > ends:
            return None
        time.sleep(0.1)


def calls(live: Iterable[Segment], ids: Collection[str]) -> Iterator[tuple[str, pa.Table]]:
    """Calls of an api's function, by what stands in the column ``call``: each with all its rows in their order.

    A row has ``prediction`` and what was kept: a file is read alone, so that no type is another release's.
    """
    wanted = {(mark, int(number, 16)): f"{mark}-{number}" for mark, _, number in (id.partition("-") for id in ids)}
    marks = {mark for mark, _ in wanted}
    for segment in live:
        numbers = [number for mark, number in wanted if mark in segment.marks]
        if not marks & segment.marks:
            continue
        rows = pq.read_table(segment.path, filters=[("call", "in", numbers)], partitioning=None)
        for mark, number in {*zip(rows["mark"].to_pylist(), rows["call"].to_pylist(), strict=True)} & wanted.keys():
            yield (
                wanted[mark, number],
                rows.filter((pc.field("call") == number) & (pc.field("mark").cast("string") == mark)),
            )


def prediction_id(mark: str, number: int, row: int | None) -> str:
    """The id of one answered row."""
    return f"{mark}-{number:x}" + ("" if row is None else f".{row}")


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Times as ISO text in requests and answers, as JSON has them; fields of other apis left out."""
    return row | {
        side: {name: _json(value) for name, value in row[side].items()} if row[side] is not None else None
        for side in ("request", "answer")
    }


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if hasattr(value, "isoformat") else value


def days(at: Array) -> Iterator[tuple[str, slice | Array]]:
    """UTC days of times in microseconds, each with its rows."""
    numbers = at // 86_400_000_000
    for number in np.unique(numbers).tolist():
        chosen = slice(None) if (numbers == number).all() else np.flatnonzero(numbers == number)
        yield datetime.fromtimestamp(number * 86_400, UTC).strftime("%Y-%m-%d"), chosen
