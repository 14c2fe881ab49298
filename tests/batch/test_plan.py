"""A plan's parts: every row once, in order, in parts of like size, however the rows are cut into files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funade.batch import part, plan

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])


def written(folder: Path, files: list[tuple[int, int]]) -> list[Path]:
    """Files of so many rows in groups of so many, numbered through."""
    start, paths = 0, []
    for number, (rows, group) in enumerate(files):
        ids = pa.array(range(start, start + rows), pa.int64())
        table = pa.table([ids, ids.cast(pa.string())], schema=SCHEMA)
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=group)
        paths.append(folder / f"{number}.parquet")
        start += rows
    return paths


def read(parts: tuple[plan.Part, ...]) -> list[int]:
    found: list[int] = []
    for one in parts:
        rows = [number for table in part.tables(one, SCHEMA) for number in table["id"].to_pylist()]
        assert (one.start, one.rows) == (len(found), len(rows))
        found += rows
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(1, 300)), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(1, 200),
    st.integers(1, 100),
)
def test_every_row_stands_in_one_part_in_order(
    files: list[tuple[int, int]], workers: int, most: int, least: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(plan, "PART_ROWS", max(most, least))
        patch.setattr(plan, "LEAST_ROWS", least)
        parts = plan.parts(written(Path(folder), files), workers)
        assert read(parts) == [*range(sum(rows for rows, _ in files))]
        assert max(one.rows for one in parts) <= max(1.5 * max(most, least), 2)


def test_small_files_share_a_part(tmp_path: Path) -> None:
    (one,) = plan.parts(written(tmp_path, [(50, 50)] * 30), workers=2)
    assert (one.rows, len(one.pieces)) == (1500, 30)


def test_no_rows_are_one_empty_part(tmp_path: Path) -> None:
    (one,) = plan.parts(written(tmp_path, [(0, 1)]), workers=2)
    assert (one.start, one.rows, read((one,))) == (0, 0, [])


def test_long_texts_are_read_few_rows_at_a_time_though_a_dictionary_makes_them_short(tmp_path: Path) -> None:
    table = pa.table({"id": range(5000), "text": ["x" * 100_000] * 5000})
    pq.write_table(table, tmp_path / "long.parquet")
    (one,) = plan.parts([tmp_path / "long.parquet"], workers=1)
    assert max(table.nbytes for table in part.tables(one, SCHEMA)) < 10_000_000
