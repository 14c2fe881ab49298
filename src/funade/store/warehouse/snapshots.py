"""Snapshots: tables kept as Parquet blobs, and the ways to read rows back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import types

from funade.contract.arrow import MOMENT
from funade.contract.form import Form
from funade.declare.policy import Split
from funade.declare.window import Interval
from funade.errors import StoreError
from funade.store.ports.blobs import Blobs
from funade.store.records import Artifact
from funade.store.warehouse import frames
from funade.store.warehouse.query import whole

FILE = "rows.parquet"
ROW_GROUP = 1 << 18
"""Rows per row group: small enough for two threads to share a million rows, large enough to pack well."""

_LOOKED_AT, _MOST_NEW = 1 << 15, 0.65
"""Of so many first values, the share that may differ for their column to have a dictionary."""


def write(blobs: Blobs, table: pa.Table) -> Artifact:
    """Keep a table; equal tables give one digest however their memory is cut into chunks."""
    digest = keep(blobs, table)
    columns = {field.name: str(field.type) for field in table.schema}
    return Artifact(codec="frame", files={FILE: digest}, rows=table.num_rows, columns=columns)


def keep(blobs: Blobs, table: pa.Table) -> str:
    """The digest of a table's Parquet bytes, which are now a blob."""
    with blobs.writing() as path:
        plain = table.replace_schema_metadata(None).combine_chunks()
        pq.write_table(plain, path, row_group_size=ROW_GROUP, **packing(table))
        return blobs.adopt(path)


def packing(table: pa.Table) -> dict[str, Any]:
    """How rows are packed as Parquet, as the first of them suggest: what its writers are told."""
    return {
        "version": "2.6",
        "compression": "zstd",
        "use_dictionary": [n for n, column in zip(table.column_names, table.columns, strict=True) if _repeats(column)],
        "write_statistics": _bounded(table.schema),
        "write_page_checksum": True,
    }


def read(
    paths: Sequence[Path],
    *,
    interval: Interval | None = None,
    time: str = "",
    part: str = "",
    split: Split | None = None,
    form: Form = "arrow",
) -> Any:
    """Rows of Parquet files as ``form``, file after file and row after row.

    ``interval`` keeps rows whose ``time`` lies in [start, end); a row without time lies in no bounded interval.
    ``part`` keeps the ``train`` or ``test`` rows of ``split``. A column that some files lack is missing there.

    Raises:
        BlobDamaged: a file is not Parquet, or a page's checksum differs.
        StoreError: no file, one column has types in two files that do not agree, or a column asked for is not there.
    """
    if not paths:
        raise StoreError("snapshot expected at least one file of rows, got none")
    schema = schema_of(paths)
    _require(schema, time if interval is not None else "", "time")
    if interval is not None and not str(schema.field(time).type).startswith("timestamp"):
        raise StoreError(f"rows expected timestamps in the time column `{time}`, got {schema.field(time).type}")
    _require(schema, split.by if part and split else "", "split")
    pieces = (_part(as_schema(table, schema), part, split) for table in _tables(paths, interval, time))
    if form == "reader":  # file by file, when they are asked for
        return pa.RecordBatchReader.from_batches(schema, (batch for piece in pieces for batch in piece.to_batches()))
    return frames.from_arrow(pa.concat_tables(pieces), form)


def schema_of(paths: Sequence[Path]) -> pa.Schema:
    """The columns of all files together: whole numbers widen, and a column that some lack is missing there."""
    schemas = []
    for path in paths:
        with whole(path):
            schemas.append(pq.read_schema(path).remove_metadata())
    if all(schema == schemas[0] for schema in schemas):
        return schemas[0]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        raise StoreError(
            f"rows expected one type for each column in all files, got {str(error).splitlines()[0]}",
            do="run: funade load --again",
        ) from error


def count(paths: Sequence[Path]) -> int:
    """How many rows the files hold together, read from their footers."""
    rows = 0
    for path in paths:
        with whole(path):
            rows += pq.read_metadata(path).num_rows
    return rows


def is_test(value: object, share: float) -> bool:
    """Whether the group named by ``value`` belongs to the test part of ``share`` (0…1), now and for ever.

    >>> [is_test(user, 0.5) for user in ("ann", "bob")]
    [True, False]
    """
    drawn = int.from_bytes(hashlib.sha256(_text(value).encode()).digest()[:8], "big")
    return drawn < share * 2.0**64


def _text(value: object) -> str:
    """A group's one spelling: 5 and 5.0 are the same group; missing is a group of its own."""
    if value is None or value != value:
        return "\0missing"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _repeats(column: pa.ChunkedArray) -> bool:
    """Whether a dictionary is worth it: half the space and a third of the time to read, or all of it for nothing."""
    if types.is_timestamp(column.type) or types.is_decimal(column.type) or types.is_nested(column.type):
        return False
    first = column.slice(0, _LOOKED_AT)
    return len(first.unique()) <= _MOST_NEW * len(first)


def _bounded(schema: pa.Schema) -> list[str]:
    """Columns whose least and greatest value are written down: never floats, whose bounds leave NaN out, so that
    DuckDB, which believes them, would find no NaN in the rows.
    """
    fields = (field for field in schema if not types.is_floating(field.type) and not types.is_nested(field.type))
    return [field.name for field in fields]


def _tables(paths: Sequence[Path], interval: Interval | None, time: str) -> Iterator[pa.Table]:
    for path in paths:
        with whole(path):
            table = _table(path, interval, time)
        yield table


def _table(path: Path, interval: Interval | None, time: str) -> pa.Table:
    if interval is not None and time not in pq.read_schema(path).names:
        return pq.read_table(path, partitioning=None).slice(0, 0)
    condition = _dated(interval, time)
    return pq.read_table(path, filters=condition, page_checksum_verification=True, partitioning=None)


def _dated(interval: Interval | None, time: str) -> Any:
    """The condition that a row's time lies in the interval; None where every row is wanted."""
    if interval is None:
        return None
    column = pc.field(time)
    condition = ~column.is_null()
    if interval.start is not None:
        condition = condition & (column >= pa.scalar(interval.start, MOMENT))
    if interval.end is not None:
        condition = condition & (column < pa.scalar(interval.end, MOMENT))
    return condition


def as_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns of a schema, in their types; one that it lacks is missing there."""
    if table.schema.equals(schema):
        return table
    have = set(table.column_names)
    columns = [
        table.column(field.name).cast(field.type) if field.name in have else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _part(table: pa.Table, part: str, split: Split | None) -> pa.Table:
    """The rows of one part; every row where no part is asked for."""
    if not part or split is None:
        return table
    groups = table.column(split.by).combine_chunks().dictionary_encode("encode")
    test = np.array([is_test(value, split.test) for value in groups.dictionary.to_pylist()], dtype=bool)
    mask = test[groups.indices.to_numpy()] if len(test) else np.zeros(0, dtype=bool)
    return table.filter(pa.array(mask if part == "test" else ~mask))


def _require(schema: pa.Schema, column: str, role: str) -> None:
    if column and column not in schema.names:
        raise StoreError(f"rows expected the {role} column `{column}`, got {', '.join(schema.names) or 'no column'}")
