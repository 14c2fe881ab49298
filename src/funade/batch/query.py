"""The rows that a query gives, written to a file before they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa

from funade.batch.table import room_for
from funade.batch.writer import written
from funade.process.child import Ready
from funade.process.parent import Parent, run
from funade.store.warehouse import query

GROUP = 1 << 16
"""Rows per row group of a query's file."""

_STEP = 1 << 13
"""Rows that are in motion at once."""

_MEMORY_MB = 256

Tables = Mapping[str, Sequence[Path] | query.Select]


class Query(msgspec.Struct, frozen=True):
    """One SELECT, the tables it may read and the file its rows go to, as a process is told of them.

    ``sources``: of each table the files it reads and the text of its own SELECT ("" for one that is its files).
    """

    text: str
    sources: dict[str, tuple[list[str], str]]
    path: str

    @classmethod
    def of(cls, text: str, tables: Tables, path: Path) -> Query:
        """The order to write the rows of ``text`` to ``path``."""
        selects = {name: t if isinstance(t, query.Select) else query.Select("", tuple(t)) for name, t in tables.items()}
        return cls(text, {name: ([*map(str, s.paths)], s.text) for name, s in selects.items()}, str(path))

    @property
    def tables(self) -> Tables:
        """The tables by name."""
        paths = {name: tuple(map(Path, files)) for name, (files, _) in self.sources.items()}
        return {
            name: query.Select(text, paths[name]) if text else paths[name] for name, (_, text) in self.sources.items()
        }


def materialise(asked: Query) -> None:
    """Write the rows of one SELECT to a Parquet file, few at a time; their order is then settled.

    Raises:
        ResultRefused: DuckDB refuses the query.
    """
    spill = Path(asked.path).with_name("spill")  # what a kill leaves there is swept with the run
    with query.streamed(
        asked.text, asked.tables, rows=_STEP, memory_mb=_MEMORY_MB, spill=spill, what="--rows"
    ) as reader:
        schema = reader.schema.remove_metadata()
        with written(Path(asked.path), schema, GROUP) as writer:
            for batch in reader:
                writer.add(pa.Table.from_batches([batch], schema))


def main(order: Query, parent: Parent) -> None:
    """Write the rows as a process of its own, which ends at once when the run ends.

    Raises:
        DiskFull: no room for them.
        ResultRefused: as ``materialise``.
    """
    parent.listen(msgspec.Struct)
    with room_for("rows"):
        materialise(order)
    parent.send(Ready())


if __name__ == "__main__":
    run(main, Query)
