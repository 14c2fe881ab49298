"""Queries: one SELECT over tables by name, in a DuckDB in memory that sees nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from funade.digest import SHORT
from funade.errors import BlobDamaged, ResultRefused


class Select(msgspec.Struct, frozen=True):
    """A table that is itself a SELECT over files: its text and every file it reads."""

    text: str
    paths: tuple[Path, ...]


Rows: TypeAlias = Sequence[Path] | pa.Table | Select


def sql(query: str, tables: Mapping[str, Rows], *, place: str = "", what: str = "query") -> pa.Table:
    """The rows of one SELECT over Parquet files or Arrow tables by name.

    It may read these and nothing else: no other file, no network, no extension, no variable of Python's. It speaks
    UTC; numbers come back as ``rows_of`` has them.

    Raises:
        ResultRefused: it is not one SELECT, or DuckDB refuses it; the first line of its message is kept.
    """
    with _confined(tables) as connection:
        try:
            _refuse_other(connection, query, place, what)
            return rows_of(connection.sql(query))
        except duckdb.Error as error:
            raise ResultRefused(f"{what} expected SQL that runs, got {str(error).splitlines()[0]}", at=place) from error


@contextmanager
def streamed(
    query: str, tables: Mapping[str, Rows], *, rows: int, memory_mb: int, spill: Path, what: str
) -> Iterator[pa.RecordBatchReader]:
    """The rows of one SELECT as ``sql`` gives them, ``rows`` at a time.

    It takes about ``memory_mb`` MB, then the disk: in the folder ``spill``.

    Sums of whole numbers become ``int64`` where all rows' fit, else the query is refused.

    Raises:
        ResultRefused: as ``sql``; also while the rows are read.
    """
    limits = {"memory_limit": f"{memory_mb}MB", "temp_directory": str(spill)}
    with _confined(tables, limits) as connection:
        try:
            _refuse_other(connection, query, "", what)
            relation = connection.sql(query)
            plain = ", ".join(_cast(n, str(k)) for n, k in zip(relation.columns, relation.types, strict=True))
            yield relation.project(plain).to_arrow_reader(rows)
        except (duckdb.Error, pa.ArrowException) as error:
            raise ResultRefused(f"{what} expected SQL that runs, got {str(error).splitlines()[0]}") from error


def _cast(name: str, kind: str) -> str:
    wanted = "BIGINT" if kind in ("HUGEINT", "UHUGEINT") else "DOUBLE" if kind.startswith("DECIMAL") else ""
    return f"{quoted(name)}::{wanted} AS {quoted(name)}" if wanted else quoted(name)


def memory() -> duckdb.DuckDBPyConnection:
    """A private DuckDB in memory that speaks UTC and does not look into Python's variables."""
    connection = duckdb.connect(":memory:")
    spill = str(Path(tempfile.gettempdir()) / "funade-duckdb")  # made only when memory does not suffice
    for setting, value in (("TimeZone", "UTC"), ("python_enable_replacements", False), ("temp_directory", spill)):
        connection.execute(f"SET {setting} = {literal(value)}").fetchall()
    return connection


def rows_of(relation: duckdb.DuckDBPyRelation) -> pa.Table:
    """A relation's rows. As in DuckDB's own ``df()``, decimals become ``float64``; sums of whole numbers (HUGEINT)
    become ``int64``, or ``float64`` where they do not fit.
    """
    table: pa.Table = relation.to_arrow_table()
    for index, kind in enumerate(map(str, relation.types)):
        if kind in ("HUGEINT", "UHUGEINT") or kind.startswith("DECIMAL"):
            wanted = pa.float64() if kind.startswith("DECIMAL") else pa.int64()
            table = table.set_column(index, table.column_names[index], _number(table.column(index), wanted))
    return table


def parquet(paths: Sequence[Path]) -> str:
    """Files of one table as a FROM clause; a column that some lack is missing there."""
    listed = []
    for path in paths:
        with whole(path):
            listed += [str(path)] if pq.read_schema(path).names else []  # DuckDB reads no file without columns
    if not listed:
        return "(SELECT NULL AS nothing WHERE false)"
    return f"read_parquet({literal(listed)}, union_by_name = true, hive_partitioning = false)"


@contextmanager
def whole(path: Path) -> Iterator[None]:
    """Says in one line that a file is no whole Parquet, whatever its reader raises in this block."""
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


def quoted(name: str) -> str:
    """A name as SQL spells it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """A text, a bool or a list of them as SQL spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    return "'" + str(value).replace("'", "''") + "'"


def _number(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        return column
    try:
        return column.cast(wanted)
    except pa.ArrowException:
        return column.cast(pa.float64())


@contextmanager
def _confined(
    tables: Mapping[str, Rows], limits: Mapping[str, str] | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that sees these tables by name and nothing else of the machine."""
    connection = memory()
    files = [str(path) for rows in tables.values() for path in _paths(rows)]
    try:
        for setting, value in (*(limits or {}).items(), ("allowed_paths", files), ("enable_external_access", False)):
            connection.execute(f"SET {setting} = {literal(value)}").fetchall()
        for name, rows in tables.items():
            if isinstance(rows, Select):
                connection.execute(f"CREATE VIEW {quoted(name)} AS {rows.text}").fetchall()
            elif isinstance(rows, Sequence):
                connection.execute(f"CREATE VIEW {quoted(name)} AS SELECT * FROM {parquet(rows)}").fetchall()
            else:
                connection.register(name, rows)
        connection.execute("SET lock_configuration = true").fetchall()
        yield connection
    finally:
        connection.close()


def _paths(rows: Rows) -> Sequence[Path]:
    return rows.paths if isinstance(rows, Select) else rows if isinstance(rows, Sequence) else ()


def _refuse_other(connection: duckdb.DuckDBPyConnection, query: str, place: str, what: str) -> None:
    kinds = [statement.type for statement in connection.extract_statements(query)]
    if kinds != [duckdb.StatementType.SELECT]:
        got = " and ".join(str(kind.name) for kind in kinds) or "nothing"
        raise ResultRefused(f"{what} expected one SELECT, got {got}", at=place)
