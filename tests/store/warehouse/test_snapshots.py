from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funade.declare.policy import Split
from funade.declare.window import Interval
from funade.errors import BlobDamaged, ResultRefused, StoreError
from funade.store.blobs import BlobFolder
from funade.store.records import Artifact
from funade.store.warehouse import snapshots
from funade.store.warehouse.query import sql

MARCH = dt.datetime(2022, 3, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "store")


def kept(blobs: BlobFolder, table: pa.Table) -> list[Path]:
    return files(blobs, snapshots.write(blobs, table))


def files(blobs: BlobFolder, artifact: Artifact) -> list[Path]:
    return [blobs.path(digest) for digest in artifact.files.values()]


def days(first: int, last: int) -> pa.Table:
    """One ride a day of March: numbers ``first`` to ``last``, exclusive."""
    at = pa.array([MARCH + number * DAY for number in range(first, last)], pa.timestamp("us", tz="UTC"))
    return pa.table({"at": at, "ride": pa.array(range(first, last), pa.int64())})


def rides(table: pa.Table) -> list[int]:
    numbers: list[int] = table.column("ride").to_pylist()
    return numbers


def test_a_snapshot_says_its_rows_and_columns(blobs: BlobFolder) -> None:
    artifact = snapshots.write(blobs, days(0, 3))
    assert (artifact.codec, list(artifact.files), artifact.rows) == ("frame", ["rows.parquet"], 3)
    assert artifact.columns == {"at": "timestamp[us, tz=UTC]", "ride": "int64"}


def test_equal_tables_have_one_digest_however_they_lie_in_memory(blobs: BlobFolder) -> None:
    whole = days(0, 9).append_column("s", pa.array([None, "a", "日本"] * 3))
    pieces = pa.concat_tables([whole.slice(0, 2), whole.slice(2, 7)]).replace_schema_metadata({"pandas": "{}"})
    assert snapshots.write(blobs, whole) == snapshots.write(blobs, pieces)


def test_rows_come_back_in_the_order_of_files_and_rows(blobs: BlobFolder) -> None:
    paths = kept(blobs, days(5, 8)) + kept(blobs, days(0, 3))
    assert rides(snapshots.read(paths)) == [5, 6, 7, 0, 1, 2]


def test_columns_that_repeat_have_a_dictionary_and_every_column_keeps_its_bits(blobs: BlobFolder) -> None:
    random = np.random.default_rng(1)
    odd = np.array([0x8000000000000000, 0, 0x7FF8000000000000, 0x7FF8000000000001, 0xFFF0000000000000], dtype="u8")
    columns = {
        "odd": np.resize(odd, 9000).view("f8"),
        "decimals": random.normal(size=9000).round(2),
        "measured": random.normal(size=9000),
        "number": np.arange(9000),
        "word": np.resize(np.array(["a", "b"]), 9000),
    }
    (path,) = kept(blobs, pa.table(columns))
    group = pq.read_metadata(path).row_group(0)
    packed = {group.column(i).path_in_schema for i in range(5) if group.column(i).has_dictionary_page}
    assert packed == {"odd", "decimals", "word"}
    found = pq.read_table(path)
    for name in ("odd", "decimals", "measured", "number"):
        assert (found[name].to_numpy().view("u8") == columns[name].view("u8")).all()


@pytest.mark.parametrize("form", ["arrow", "pandas", "polars", "columns", "relation", "reader", "lazy"])
def test_every_form_gives_the_same_rows(blobs: BlobFolder, form: Any) -> None:
    from zoneinfo import ZoneInfo

    from funade.store.warehouse.frames import to_arrow

    paths = kept(blobs, days(5, 8)) + kept(blobs, days(0, 3))
    frame = snapshots.read(paths, interval=Interval(MARCH + DAY, MARCH + 7 * DAY), time="at", form=form)
    assert rides(to_arrow(frame, zone=ZoneInfo("UTC"), place="here")) == [5, 6, 1, 2]


@pytest.mark.parametrize(
    ("start", "end", "chosen"),
    [
        (0, 3, [0, 1, 2]),
        (2, None, [2, 3, 4]),
        (None, 2, [0, 1]),
        (None, None, [0, 1, 2, 3, 4]),
        (3, 3, []),
        (9, 12, []),
    ],
)
def test_an_interval_holds_its_start_and_not_its_end(
    blobs: BlobFolder, start: int | None, end: int | None, chosen: list[int]
) -> None:
    first, last = (None if bound is None else MARCH + bound * DAY for bound in (start, end))
    paths = kept(blobs, days(0, 5))
    assert rides(snapshots.read(paths, interval=Interval(first, last), time="at")) == chosen


def test_a_row_without_time_lies_in_no_interval(blobs: BlobFolder) -> None:
    table = pa.table({"at": pa.array([MARCH, None], pa.timestamp("us", tz="UTC")), "ride": [1, 2]})
    paths = kept(blobs, table)
    assert rides(snapshots.read(paths, interval=Interval(None, None), time="at")) == [1]
    assert rides(snapshots.read(paths)) == [1, 2]


def test_a_column_that_some_files_lack_is_missing_there(blobs: BlobFolder) -> None:
    paths = kept(blobs, days(0, 1)) + kept(blobs, days(1, 2).append_column("tip", pa.array([5])))
    assert snapshots.read(paths).column("tip").to_pylist() == [None, 5]
    assert sql("SELECT tip FROM rides", {"rides": paths}).column("tip").to_pylist() == [None, 5]


def test_a_period_without_rows_or_columns_changes_nothing(blobs: BlobFolder) -> None:
    paths = kept(blobs, days(0, 2)) + kept(blobs, pa.table({})) + kept(blobs, days(2, 3))
    assert rides(snapshots.read(paths)) == [0, 1, 2]
    assert rides(snapshots.read(paths, interval=Interval(MARCH + DAY, None), time="at")) == [1, 2]
    assert rides(sql("SELECT * FROM rides", {"rides": paths})) == [0, 1, 2]


def test_whole_numbers_widen_and_all_missing_columns_take_the_type_of_the_others(blobs: BlobFolder) -> None:
    paths = kept(blobs, pa.table({"x": pa.array([1], pa.int32()), "s": pa.nulls(1)}))
    paths += kept(blobs, pa.table({"x": pa.array([2.5]), "s": ["a"]}))
    assert snapshots.read(paths).to_pylist() == [{"x": 1.0, "s": None}, {"x": 2.5, "s": "a"}]


def test_files_that_disagree_about_a_type_are_refused(blobs: BlobFolder) -> None:
    paths = kept(blobs, pa.table({"x": [1]})) + kept(blobs, pa.table({"x": ["a"]}))
    with pytest.raises(StoreError) as caught:
        snapshots.read(paths)
    assert str(caught.value) == (
        "rows expected one type for each column in all files, got Unable to merge: Field x has incompatible types:"
        " int64 vs string; run: funade load --again"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"interval": Interval(None, None), "time": "when"}, "rows expected the time column `when`, got at, ride"),
        (
            {"interval": Interval(None, None), "time": "ride"},
            "rows expected timestamps in the time column `ride`, got int64",
        ),
        ({"part": "test", "split": Split("user", 0.2)}, "rows expected the split column `user`, got at, ride"),
    ],
)
def test_a_column_that_is_asked_for_must_be_there(blobs: BlobFolder, given: dict[str, Any], message: str) -> None:
    with pytest.raises(StoreError) as caught:
        snapshots.read(kept(blobs, days(0, 1)), **given)
    assert str(caught.value) == message


def test_no_file_is_refused() -> None:
    with pytest.raises(StoreError) as caught:
        snapshots.read([])
    assert str(caught.value) == "snapshot expected at least one file of rows, got none"


def test_parts_are_disjoint_whole_and_about_as_large_as_declared(blobs: BlobFolder) -> None:
    table = pa.table({"user": [f"user-{number % 500}" for number in range(5000)], "ride": list(range(5000))})
    paths, split = kept(blobs, table), Split("user", 0.2)
    train, test = (snapshots.read(paths, part=part, split=split) for part in ("train", "test"))
    assert sorted(rides(train) + rides(test)) == list(range(5000))
    assert not set(train.column("user").to_pylist()) & set(test.column("user").to_pylist())
    assert 0.15 < test.num_rows / 5000 < 0.25


def test_a_group_stays_in_its_part_for_ever() -> None:
    drawn = [snapshots.is_test(value, 0.5) for value in ("ann", "bob", 1, 2, 3, None, True)]
    assert drawn == [True, False, True, False, True, False, True]
    assert snapshots.is_test(5, 0.5) == snapshots.is_test(5.0, 0.5)
    assert snapshots.is_test(None, 0.5) == snapshots.is_test(float("nan"), 0.5)
    assert not snapshots.is_test("ann", 0.0)
    assert snapshots.is_test("ann", 1.0)


@settings(deadline=None, max_examples=40)
@given(
    groups=st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=40),
    share=st.floats(0, 1),
)
def test_every_row_is_in_exactly_one_part(
    tmp_path_factory: pytest.TempPathFactory, groups: list[str | None], share: float
) -> None:
    blobs = BlobFolder(tmp_path_factory.mktemp("store"))
    paths = kept(
        blobs, pa.table({"g": pa.array(groups, pa.string()), "ride": pa.array(range(len(groups)), pa.int64())})
    )
    train, test = (snapshots.read(paths, part=part, split=Split("g", share)) for part in ("train", "test"))
    assert sorted(rides(train) + rides(test)) == list(range(len(groups)))
    assert rides(train) == sorted(rides(train))


def test_a_reader_reads_a_file_only_when_its_turn_comes(blobs: BlobFolder) -> None:
    paths = kept(blobs, days(0, 2)) + kept(blobs, days(2, 4))
    reader = snapshots.read(paths, form="reader")
    assert reader.read_next_batch().num_rows == 2
    paths[1].unlink()
    with pytest.raises(BlobDamaged):
        reader.read_next_batch()


@pytest.mark.parametrize("at", [100, -6])
def test_a_damaged_file_is_one_line(blobs: BlobFolder, at: int) -> None:
    (path,) = kept(blobs, days(0, 5000))
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(BlobDamaged) as caught:
        snapshots.read([path])
    assert str(caught.value).startswith(f"blob `{path.parent.name}{path.name[:4]}` expected whole Parquet, got: ")
    assert str(caught.value).endswith("; run: funade fsck")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BlobDamaged) as caught:
        snapshots.read([tmp_path / "ab" / "cdef0123"])
    assert str(caught.value) == "blob `abcdef` expected rows, got no file; run: funade fsck"


def test_sql_joins_files_and_tables_by_name(blobs: BlobFolder) -> None:
    tables = {"rides": kept(blobs, days(0, 3)), 'my "tips"': pa.table({"ride": [1, 2], "tip": [5, 6]})}
    result = sql('SELECT ride, tip FROM rides JOIN "my ""tips""" USING (ride) ORDER BY ride DESC', tables)
    assert result.to_pylist() == [{"ride": 2, "tip": 6}, {"ride": 1, "tip": 5}]


def test_sql_keeps_the_order_of_rows_and_speaks_utc(blobs: BlobFolder) -> None:
    paths = kept(blobs, days(5, 7)) + kept(blobs, days(0, 2))
    result = sql('SELECT ride, "at" FROM rides', {"rides": paths})
    assert rides(result) == [5, 6, 0, 1]
    assert result.schema.field("at").type == pa.timestamp("us", tz="UTC")


def test_sql_over_a_store_in_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "a'b [1]*?=x" / "day=5")
    paths = kept(blobs, days(0, 2))
    assert sql("SELECT * FROM rides", {"rides": paths}).column_names == ["at", "ride"]


SECRET = {"leak": pa.table({"x": [1]})}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM SECRET",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM '{file}'",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_parquet('https://example.com/x.parquet')",
        "COPY (SELECT 1) TO '{file}'",
        "ATTACH '{file}.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET enable_external_access = true",
        "CREATE TABLE t AS SELECT 1",
        "SELECT 1; SELECT 2",
        "",
        "SELECT",
        "SELECT * FROM rides WHERE nothing = 1",
    ],
)
def test_sql_sees_nothing_but_its_tables(blobs: BlobFolder, tmp_path: Path, query: str) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("password\n1\n")
    with pytest.raises(ResultRefused) as caught:
        sql(query.replace("{file}", str(file)), {"rides": kept(blobs, days(0, 1))}, place="x.py:1", what="d")
    assert str(caught.value).startswith(("d expected SQL that runs, got ", "d expected one SELECT, got "))
    assert "\n" not in str(caught.value)
    assert file.read_text() == "password\n1\n"


def test_sql_that_does_not_run_says_why_in_one_line(blobs: BlobFolder) -> None:
    with pytest.raises(ResultRefused) as caught:
        sql("SELECT fare FROM rides", {"rides": kept(blobs, days(0, 1))}, place="x.py:1", what="dataset `d`")
    assert str(caught.value) == (
        'dataset `d` expected SQL that runs, got Binder Error: Referenced column "fare" not found in FROM clause!'
        " - at x.py:1"
    )


def test_sql_finds_nan_among_equal_numbers(blobs: BlobFolder) -> None:
    paths = kept(blobs, pa.table({"x": [float("nan"), 0.0, 0.0]}))
    counts = "count(*) FILTER (isnan(x)) AS nan, count(*) FILTER (x > 0) AS more"
    assert sql(f"SELECT {counts} FROM t", {"t": paths}).to_pylist() == [{"nan": 1, "more": 1}]
    assert sql("SELECT * FROM t WHERE isnan(x)", {"t": paths}).num_rows == 1


def test_unsigned_numbers_and_odd_names_survive_the_file(blobs: BlobFolder) -> None:
    table = pa.table({"a.b": pa.array([2**64 - 1], pa.uint64()), "c \"d' 日本": ["x"], "n": pa.nulls(1)})
    (path,) = kept(blobs, table)
    assert snapshots.read([path]).equals(table)
    assert sql('SELECT "a.b" FROM t', {"t": [path]}).column(0).to_pylist() == [2**64 - 1]


def test_a_table_written_elsewhere_is_read_too(tmp_path: Path) -> None:
    pq.write_table(days(0, 2), tmp_path / "x.parquet", compression="snappy")
    assert rides(snapshots.read([tmp_path / "x.parquet"])) == [0, 1]
