"""Snapshots: tables kept as Parquet blobs, and the ways to read rows back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from funade.declare.policy import Split
from funade.declare.spec import Form
from funade.declare.window import Interval
from funade.digest import SHORT
from funade.errors import BlobDamaged, ResultRefused, StoreError
from funade.store import frames
from funade.store.records import Artifact

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from funade.store.blobs import Blobs

FILE = "rows.parquet"
ROW_GROUP = 1 << 18
"""Rows per row group: small enough for two threads to share a million rows, large enough to pack well."""


def write(blobs: Blobs, table: pa.Table) -> Artifact:
    """Keep a table; equal tables give one digest however their memory is cut into chunks."""
    digest = keep(blobs, table)
    columns = {field.name: str(field.type) for field in table.schema}
    return Artifact(codec="frame", files={FILE: digest}, rows=table.num_rows, columns=columns)


def keep(blobs: Blobs, table: pa.Table) -> str:
    """The digest of a table's Parquet bytes, which are now a blob."""
    import pyarrow.parquet as pq

    with blobs.writing() as path:
        pq.write_table(
            table.replace_schema_metadata(None).combine_chunks(),
            path,
            version="2.6",
            compression="zstd",
            use_dictionary=_repeating(table),
            row_group_size=ROW_GROUP,
            write_page_checksum=True,
        )
        return blobs.adopt(path)


def read(
    paths: Sequence[Path],
    *,
    interval: Interval | None = None,
    time: str = "",
    part: str = "",
    split: Split | None = None,
    form: Form = "arrow",
    connection: duckdb.DuckDBPyConnection | None = None,
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
    _require(schema, split.by if part and split else "", "split")
    pieces = (_part(_cast(one, schema), part, split) for one in _tables(paths, interval, time))
    if form == "reader":
        return _reader(schema, pieces)
    import pyarrow as pa

    return frames.from_arrow(pa.concat_tables(pieces), form, connection=connection)


def schema_of(paths: Sequence[Path]) -> pa.Schema:
    """The columns of all files together: whole numbers widen, and a column that some lack is missing there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schemas = []
    for path in paths:
        with _damage(path):
            schemas.append(pq.read_schema(path).remove_metadata())
    if all(one == schemas[0] for one in schemas):
        return schemas[0]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException as error:
        raise StoreError(
            f"rows expected one type for each column in all files, got {str(error).splitlines()[0]}",
            do="run: funade load --again",
        ) from error


def sql(
    query: str, tables: Mapping[str, Sequence[Path] | pa.Table], *, place: str = "", what: str = "query"
) -> pa.Table:
    """The rows of one SELECT over tables by name.

    It runs in a DuckDB in memory that may read these files and nothing else: no other file, no network, no
    extension, no variable of Python's. Decimals come back as ``float64`` (see ``frames.from_relation``).

    Raises:
        ResultRefused: it is not one SELECT, or DuckDB refuses it; the first line of its message is kept.
    """
    import duckdb

    with _confined(tables) as connection:
        try:
            _one_select(connection, query, place, what)
            return frames.from_relation(connection.sql(query))
        except duckdb.Error as error:
            raise ResultRefused(f"{what} expected SQL that runs, got {str(error).splitlines()[0]}", at=place) from error


def is_test(value: object, share: float) -> bool:
    """Whether the group named by ``value`` belongs to the test part of ``share`` (0…1), now and for ever.

    >>> [is_test(user, 0.2) for user in ("ann", "bob", "cat", "dan", "eve")]
    [False, False, False, False, True]
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


def _repeating(table: pa.Table) -> list[str]:
    """Columns worth a dictionary: text, bytes, bools, dates; measured numbers rarely repeat."""
    import pyarrow as pa

    t = pa.types
    tests = (t.is_string, t.is_binary, t.is_date32, t.is_int8, t.is_int16, t.is_uint8)
    return [field.name for field in table.schema if any(test(field.type) for test in tests)]


def _tables(paths: Sequence[Path], interval: Interval | None, time: str) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for path in paths:
        with _damage(path):
            if interval is not None and time not in pq.read_schema(path).names:
                yield pq.read_table(path, partitioning=None).slice(0, 0)
            else:
                yield pq.read_table(
                    path, filters=_dated(interval, time), page_checksum_verification=True, partitioning=None
                )


def _dated(interval: Interval | None, time: str) -> Any:
    """The condition that a row's time lies in the interval; None where every row is wanted."""
    if interval is None:
        return None
    import pyarrow.compute as pc

    column = pc.field(time)
    condition = ~column.is_null()
    if interval.start is not None:
        condition = condition & (column >= _moment(interval.start))
    if interval.end is not None:
        condition = condition & (column < _moment(interval.end))
    return condition


def _moment(moment: datetime) -> pa.Scalar[Any]:
    import pyarrow as pa

    return pa.scalar(moment, pa.timestamp("us", tz="UTC"))


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

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
    import numpy as np
    import pyarrow as pa

    groups = table.column(split.by).combine_chunks().dictionary_encode("encode")
    test = np.array([is_test(value, split.test) for value in groups.dictionary.to_pylist()], dtype=bool)
    mask = test[groups.indices.to_numpy()] if len(test) else np.zeros(0, dtype=bool)
    return table.filter(pa.array(mask if part == "test" else ~mask))


def _reader(schema: pa.Schema, pieces: Iterator[pa.Table]) -> pa.RecordBatchReader:
    """Batches read file by file, when they are asked for."""
    import pyarrow as pa

    return pa.RecordBatchReader.from_batches(schema, (batch for piece in pieces for batch in piece.to_batches()))


def _require(schema: pa.Schema, column: str, role: str) -> None:
    if column and column not in schema.names:
        raise StoreError(f"rows expected the {role} column `{column}`, got {', '.join(schema.names) or 'no column'}")


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what Parquet readers raise on broken bytes into one line."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise BlobDamaged(f"blob `{_digest(path)}` expected rows, got no file", do="run: funade fsck") from error
    except (pa.ArrowException, OSError) as error:
        first = str(error).splitlines()[0]
        raise BlobDamaged(
            f"blob `{_digest(path)}` expected whole Parquet, got: {first}", do="run: funade fsck"
        ) from error


def _digest(path: Path) -> str:
    return (path.parent.name + path.name)[:SHORT]


@contextmanager
def _confined(tables: Mapping[str, Sequence[Path] | pa.Table]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that sees these tables by name and nothing else of the machine."""
    connection = frames.memory()
    files = [str(path) for rows in tables.values() if isinstance(rows, Sequence) for path in rows]
    for setting, value in (("allowed_paths", files), ("enable_external_access", False), ("lock_configuration", True)):
        connection.execute(f"SET {setting} = {literal(value)}").fetchall()
    try:
        for name, rows in tables.items():
            if not isinstance(rows, Sequence):
                connection.register(name, rows)
            else:
                listed = literal([str(path) for path in rows])
                connection.execute(
                    f"CREATE VIEW {quoted(name)} AS SELECT * FROM read_parquet({listed}, union_by_name = true)"
                ).fetchall()
        yield connection
    finally:
        connection.close()


def _one_select(connection: duckdb.DuckDBPyConnection, query: str, place: str, what: str) -> None:
    import duckdb

    kinds = [statement.type for statement in connection.extract_statements(query)]
    if kinds != [duckdb.StatementType.SELECT]:
        got = " and ".join(str(kind.name) for kind in kinds) or "nothing"
        raise ResultRefused(f"{what} expected one SELECT, got {got}", at=place)


def quoted(name: str) -> str:
    """A name as SQL spells it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A text, a bool or a list of them as SQL spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(literal(one) for one in value) + "]"
    return "'" + str(value).replace("'", "''") + "'"
