"""Rows answered as a batch answers them: from one Parquet file into another."""

from __future__ import annotations

import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from funade.batch import part
from funade.batch.answer import TableApi
from funade.batch.plan import Part, Piece
from funade.store.warehouse.frames import from_arrow

Row = dict[str, Any]


def answered(api: Any, rows: list[Row], folder: Path) -> list[Row]:
    """The answers, in order. Rows that have the same fields go together: a column is there for all rows or for none."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(tuple(row), []).append(index)
    found: dict[int, Row] = {}
    for indices in groups.values():
        with tempfile.TemporaryDirectory() as own:
            found.update(zip(indices, _together(api, [rows[i] for i in indices], Path(own)), strict=True))
    return [found[index] for index in range(len(rows))]


def _together(api: Any, rows: list[Row], folder: Path) -> list[Row]:
    read = {"datetime": datetime.fromisoformat, "date": date.fromisoformat}
    columns = {}
    for field in api.contract.takes_fields:
        if field.name in rows[0]:
            made = read.get(field.type, lambda value: value)
            columns[field.name] = [None if row[field.name] is None else made(row[field.name]) for row in rows]
    table = pa.table(columns)
    pq.write_table(table, folder / "rows.parquet", row_group_size=100)
    groups = pq.read_metadata(folder / "rows.parquet").num_row_groups
    one = Part(0, len(rows), (Piece(str(folder / "rows.parquet"), 0, groups),))
    done = part.answer(one, 0, TableApi(api, 1, table.schema, ()), table.schema, folder, lambda more: None)
    assert (done.answered, done.refused, done.fallback) == (len(rows), 0, 0), done.reason
    answers = pq.read_table(folder / part.names(0)[0]).drop_columns(["fallback", "release"])
    told: list[Row] = api.answers.rows(api.answers.check(from_arrow(answers, "columns"), len(rows)))
    return told
