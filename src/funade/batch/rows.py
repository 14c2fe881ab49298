"""The rows that a run answers: a version's own files, or what a query gives, written to a file first."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from funade.store import query, snapshots

GROUP = 1 << 16
"""Rows per row group of a query's file."""

_MEMORY_MB = 256


def materialise(text: str, tables: Mapping[str, Sequence[Path] | query.Select], path: Path) -> None:
    """Write the rows of one SELECT to a Parquet file, few at a time; their order is then settled.

    Raises:
        ResultRefused: DuckDB refuses the query.
    """
    import pyarrow.parquet as pq

    with query.streamed(text, tables, rows=GROUP, memory_mb=_MEMORY_MB, what="--rows") as reader:
        schema = reader.schema.remove_metadata()
        with pq.ParquetWriter(path, schema, **snapshots.packing(schema)) as writer:
            for batch in reader:
                writer.write_batch(batch, row_group_size=GROUP)
    with path.open("rb") as written:
        os.fsync(written.fileno())
