"""A Parquet file in the making: rows gather until they fill a row group; it gets its name once it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from funade.store import disk
from funade.store.warehouse import snapshots

_MOST_BYTES = 2 << 20


class Writer:
    """Writes tables, one after the other, as row groups of ``group`` rows, fewer where they are long."""

    def __init__(self, path: Path, schema: pa.Schema, group: int) -> None:
        self._path, self._schema = path, schema
        self._file: pq.ParquetWriter | None = None
        self._group = group
        self._gathered: list[pa.Table] = []
        self._rows = self._bytes = 0

    def add(self, table: pa.Table) -> None:
        """Append a table's rows."""
        self._gathered.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= self._group or self._bytes >= _MOST_BYTES:
            self._write()

    def close(self) -> None:
        """Write what is left."""
        self._write().close()

    def drop(self) -> None:
        """Close a file that nobody wants any more."""
        if self._file is not None:
            with suppress(OSError):  # on a full disk its end is not written either
                self._file.close()

    def _write(self) -> pq.ParquetWriter:
        table = pa.concat_tables([self._schema.empty_table(), *self._gathered])
        if self._file is None:  # its first rows say how it is packed
            self._file = pq.ParquetWriter(self._path, self._schema, **snapshots.packing(table))
        if self._rows:
            self._file.write_table(table, row_group_size=self._group)
        self._gathered, self._rows, self._bytes = [], 0, 0
        return self._file


@contextmanager
def written(path: Path, schema: pa.Schema, group: int = snapshots.ROW_GROUP) -> Iterator[Writer]:
    """A file that takes the place of ``path`` when the block ends, to last; never, where it ends with an error."""
    making = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    writer = Writer(making, schema, group)
    try:
        yield writer
        writer.close()
        disk.replace(making, path)
    finally:
        writer.drop()
        making.unlink(missing_ok=True)
