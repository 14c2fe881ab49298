"""One part of a run: its rows read, answered and written to files that get their names when they are whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from funade.batch.plan import Part, Piece
from funade.batch.score import Scorer
from funade.batch.table import put, settle
from funade.store import snapshots
from funade.store.query import whole

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 1 << 14
"""Rows that the function is called with, fewer where they are long."""

_BYTES = 8 << 20


class Done(msgspec.Struct, frozen=True):
    """A part that is whole on the disk: rows in, rows out, and what became of the others."""

    part: int
    rows: int
    answered: int
    refused: int
    fallback: int
    reason: str = ""


def done(folder: Path, number: int) -> Done | None:
    """What became of a part; None where it is not whole yet."""
    try:
        return msgspec.json.decode((folder / f"{number:06}.json").read_bytes(), type=Done)
    except FileNotFoundError:
        return None


def names(number: int) -> tuple[str, str]:
    """The files of a part's answers and of its refused rows."""
    return f"{number:06}.parquet", f"{number:06}.refused.parquet"


def answer(
    part: Part, number: int, scorer: Scorer, schema: pa.Schema, folder: Path, told: Callable[[int], None]
) -> Done:
    """Read, answer and write one part; ``told`` hears of rows as they are answered."""
    files = [folder / name for name in names(number)]
    making = [path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files]
    answered = refused = fallback = 0
    reason = ""
    with ExitStack() as stack:
        writers: list[Any] = [None, None]
        try:
            writers[0] = stack.enter_context(_writer(making[0], scorer.schema))
            if number == 0:
                writers[1] = stack.enter_context(_writer(making[1], scorer.refused_schema))
            start = part.start
            for table in tables(part, schema):
                found = scorer.score(table, start)
                _append(writers[0], found.answers)
                if found.refused.num_rows:
                    reason = reason or _first(found.refused)
                    if writers[1] is None:
                        writers[1] = stack.enter_context(_writer(making[1], scorer.refused_schema))
                    _append(writers[1], found.refused)
                start += table.num_rows
                answered += found.answers.num_rows
                refused += found.refused.num_rows
                fallback += found.fallback
                told(table.num_rows)
            stack.close()
            for path, writer, final in zip(making, writers, files, strict=True):
                if writer is not None:
                    _sync(path)
                    path.replace(final)
        finally:
            for path in making:
                path.unlink(missing_ok=True)
    settle(folder)
    whole_part = Done(number, part.rows, answered, refused, fallback, reason)
    put(folder / f"{number:06}.json", msgspec.json.encode(whole_part))
    return whole_part


def tables(part: Part, schema: pa.Schema) -> Iterator[pa.Table]:
    """A part's rows in order, few at a time, with the columns of ``schema``."""
    for piece in part.pieces:
        with whole(Path(piece.path)):
            yield from _read(piece, schema)


def _read(piece: Piece, schema: pa.Schema) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(piece.path, buffer_size=1 << 18, pre_buffer=False, page_checksum_verification=True) as file:
        groups = range(piece.first, piece.stop)
        metadata = [file.metadata.row_group(group) for group in groups]
        rows, size = sum(m.num_rows for m in metadata), sum(m.total_byte_size for m in metadata)
        few = max(64, min(ROWS, _BYTES * rows // max(size, 1)))
        for batch in file.iter_batches(batch_size=few, row_groups=list(groups), use_threads=False):
            if batch.num_rows:
                yield _as(pa.Table.from_batches([batch]), schema)


def _as(table: pa.Table, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    have = set(table.column_names)
    columns = [
        table.column(field.name).cast(field.type) if field.name in have else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _writer(path: Path, schema: pa.Schema) -> Any:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, **snapshots.packing(schema))


def _append(writer: Any, table: pa.Table) -> None:
    for batch in table.combine_chunks().to_batches():
        writer.write_batch(batch, row_group_size=snapshots.ROW_GROUP)


def _first(refused: pa.Table) -> str:
    said = refused.slice(0, 1).columns[-2:]
    return f"row {said[0][0].as_py()}: {said[1][0].as_py()}"


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
