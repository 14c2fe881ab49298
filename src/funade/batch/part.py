"""One part of a run: its rows read, answered and written to files that get their names when they are whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types

from funade.batch.answer import TableApi
from funade.batch.plan import Part, Piece
from funade.batch.table import put
from funade.batch.writer import written
from funade.store.warehouse.query import whole
from funade.store.warehouse.snapshots import as_schema

ROWS = 1 << 13
"""Rows that the function is called with, fewer where they are long."""

_BYTES, _LEAST = 8 << 20, 64


class WrittenPart(msgspec.Struct, frozen=True):
    """A part that is whole on the disk: its rows, and how many were answered, refused or given the fallback."""

    part: int
    rows: int
    answered: int
    refused: int
    fallback: int
    reason: str = ""


def done(folder: Path, number: int) -> WrittenPart | None:
    """The record of a part that is whole; None where it is not yet."""
    try:
        return msgspec.json.decode((folder / f"{number:06}.json").read_bytes(), type=WrittenPart)
    except FileNotFoundError:
        return None


def names(number: int) -> tuple[str, str]:
    """The files of a part's answers and of its refused rows."""
    return f"{number:06}.parquet", f"{number:06}.refused.parquet"


def answer(
    part: Part, number: int, scorer: TableApi, schema: pa.Schema, folder: Path, progress: Callable[[int], None]
) -> WrittenPart:
    """Read, answer and write one part; ``progress`` is called with the number of rows answered since the last call."""
    answered = refused = fallback = 0
    reason = ""
    rows, aside = (folder / name for name in names(number))
    with ExitStack() as files:
        answers = files.enter_context(written(rows, scorer.schema))
        others = files.enter_context(written(aside, scorer.refused_schema)) if number == 0 else None
        start = part.start
        for table in tables(part, schema):
            scored = scorer.score(table, start)
            answers.add(scored.answers)
            if scored.refused.num_rows:
                reason = reason or _first(scored.refused)
                others = others or files.enter_context(written(aside, scorer.refused_schema))
                others.add(scored.refused)
            start += table.num_rows
            answered += scored.answers.num_rows
            refused += scored.refused.num_rows
            fallback += scored.fallback
            progress(table.num_rows)
    whole_part = WrittenPart(number, part.rows, answered, refused, fallback, reason)
    put(folder / f"{number:06}.json", msgspec.json.encode(whole_part))
    return whole_part


def tables(part: Part, schema: pa.Schema) -> Iterator[pa.Table]:
    """A part's rows in order, few at a time, with the columns of ``schema``."""
    for piece in part.pieces:
        with whole(Path(piece.path)):
            yield from _read(piece, schema)


def _read(piece: Piece, schema: pa.Schema) -> Iterator[pa.Table]:
    with pq.ParquetFile(piece.path, buffer_size=1 << 16, pre_buffer=False, page_checksum_verification=True) as file:
        groups = [*range(piece.first, piece.stop)]
        stop, at = piece.skip + piece.rows if piece.rows >= 0 else -1, 0
        for batch in file.iter_batches(batch_size=_few(file, groups), row_groups=groups, use_threads=False):
            chosen = batch.slice(max(piece.skip - at, 0), max(stop - max(at, piece.skip), 0) if stop >= 0 else None)
            at += batch.num_rows
            if chosen.num_rows:
                yield as_schema(pa.Table.from_batches([chosen]), schema)
            if 0 <= stop <= at:
                return


def _few(file: pq.ParquetFile, groups: list[int]) -> int:
    """How many rows of a file to have in memory at once; the first ones tell how long texts are."""
    rows = sum(file.metadata.row_group(group).num_rows for group in groups)
    size = sum(file.metadata.row_group(group).total_byte_size for group in groups)  # less than in memory where packed
    fixed = sum(field.type.bit_width for field in file.schema_arrow if types.is_primitive(field.type)) / 8
    length = max(size / max(rows, 1), fixed)
    if not all(types.is_primitive(field.type) for field in file.schema_arrow):
        first = next(file.iter_batches(batch_size=_LEAST, row_groups=groups[:1], use_threads=False), None)
        length = max(length, first.nbytes / max(first.num_rows, 1) if first is not None else 0.0)
    return max(_LEAST, min(ROWS, int(_BYTES / max(length, 1.0))))


def _first(refused: pa.Table) -> str:
    reason = refused.slice(0, 1).columns[-2:]
    return f"row {reason[0][0].as_py()}: {reason[1][0].as_py()}"
