from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from funade.build.check import check
from funade.declare.policy import NotNull, OneOf, Policy, RowCount, Unique, Within
from funade.errors import BlobDamaged
from funade.store.blobs import BlobFolder
from funade.store.records import Finding
from funade.store.warehouse import snapshots

NAN = float("nan")


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "store")


def kept(blobs: BlobFolder, *tables: pa.Table) -> list[Path]:
    return [blobs.path(snapshots.keep(blobs, table)) for table in tables]


def found(blobs: BlobFolder, table: pa.Table, *policies: Policy) -> tuple[Finding, ...]:
    return check(kept(blobs, table), policies, blobs=blobs, dataset="settled")


def line(finding: Finding) -> str:
    return f"dataset `settled` expected {finding.expected}, got {finding.got}" + (
        f"; {finding.do}" if finding.do else ""
    )


def test_bad_rows_are_counted_named_and_kept_aside(blobs: BlobFolder) -> None:
    fares = [100.0] * 2000
    for row in (12, 99, 1043, 1999):
        fares[row] = -1.0
    table = pa.table({"ride": pa.array(range(2000), pa.int64()), "fare_yen": fares})
    (finding,) = found(blobs, table, Within("fare_yen", 0, 100_000))
    assert line(finding) == "dataset `settled` expected `fare_yen` in [0, 100000], got 4 bad rows (first: 12, 99, 1043)"
    assert (finding.check, finding.holds, finding.count) == ("within", False, 4)
    assert finding.rows == (12, 99, 1043, 1999)
    assert finding.at == "dataset `settled`"
    aside = snapshots.read([blobs.path(finding.bad_digest)])
    assert aside.column("row_number").to_pylist() == aside.column("ride").to_pylist() == [12, 99, 1043, 1999]


def test_only_the_first_hundred_row_numbers_are_listed(blobs: BlobFolder) -> None:
    (finding,) = found(blobs, pa.table({"x": [5] * 250}), Within("x", None, 4))
    assert finding.rows == tuple(range(100))
    assert finding.count == 250
    assert snapshots.count([blobs.path(finding.bad_digest)]) == 250


CASES: list[tuple[dict[str, Any], Policy, str, tuple[int, ...]]] = [
    ({"x": [0, 5, 10, 11]}, Within("x", 0, 10), "`x` in [0, 10], got 1 bad row (first: 3)", (3,)),
    ({"x": [0.5, 1.5]}, Within("x", 1.5, None), "`x` at least 1.5, got 1 bad row (first: 0)", (0,)),
    ({"x": [0.5, 1.5]}, Within("x", None, 1.0), "`x` at most 1, got 1 bad row (first: 1)", (1,)),
    ({"x": [None, NAN, 1.0]}, Within("x", 0, 2), "`x` in [0, 2], got no bad row", ()),
    ({"x": [float("inf"), 1.0]}, Within("x", 0, 2), "`x` in [0, 2], got 1 bad row (first: 0)", (0,)),
    ({"x": [Decimal("2.01"), None]}, Within("x", 0, 2), "`x` in [0, 2], got 1 bad row (first: 0)", (0,)),
    ({"x": pa.array([2**64 - 1, 0], pa.uint64())}, Within("x", 0, 9), "`x` in [0, 9], got 1 bad row (first: 0)", (0,)),
    ({"x": pa.nulls(2)}, Within("x", 0, 1), "`x` in [0, 1], got no bad row", ()),
    ({"x": ["a"]}, Within("x", 0, 1), "`x` in [0, 1], got a column of string", ()),
    ({"x": [True]}, Within("x", 0, 1), "`x` in [0, 1], got a column of bool", ()),
    ({"x": [1.0, NAN, None]}, NotNull(("x",)), "`x` in every row, got 2 bad rows (first: 1, 2)", (1, 2)),
    ({"x": ["", None]}, NotNull(("x",)), "`x` in every row, got 1 bad row (first: 1)", (1,)),
    ({"x": [1, None], "y": [None, "a"]}, NotNull(("x", "y")), "`x`, `y` in every row, got 2 bad rows (first: 0, 1)",
     (0, 1)),
    ({"x": pa.nulls(1)}, NotNull(("x",)), "`x` in every row, got 1 bad row (first: 0)", (0,)),
    ({"x": ["a", "b", None]}, OneOf("x", ("a", 1)), "`x` one of 'a', 1, got 1 bad row (first: 1)", (1,)),
    ({"x": ["it's", "b"]}, OneOf("x", ("it's",)), "`x` one of \"it's\", got 1 bad row (first: 1)", (1,)),
    ({"x": [1, 2]}, OneOf("x", (1, "2")), "`x` one of 1, '2', got 1 bad row (first: 1)", (1,)),
    ({"x": [1.5, NAN]}, OneOf("x", (1.5,)), "`x` one of 1.5, got no bad row", ()),
    ({"x": [True, False]}, OneOf("x", (True,)), "`x` one of True, got 1 bad row (first: 1)", (1,)),
    ({"x": [1]}, OneOf("x", ("a",)), "`x` one of 'a', got 1 bad row (first: 0)", (0,)),
    ({"x": [dt.date(2022, 3, 1)]}, OneOf("x", ("2022-03-01",)), "`x` one of '2022-03-01', got no bad row", ()),
    ({"x": [1]}, OneOf("x", tuple(range(2, 12))),
     "`x` one of 2, 3, 4, 5, 6, 7, 8, 9, … (10 in all), got 1 bad row (first: 0)", (0,)),
    ({"x": [3, 1, 2, 1]}, Unique(("x",)), "`x` unique, got 2 bad rows (first: 1, 3)", (1, 3)),
    ({"x": [1, None]}, Unique(("x",)), "`x` unique, got no bad row", ()),
    ({"x": [None, 1, None]}, Unique(("x",)), "`x` unique, got 2 bad rows (first: 0, 2)", (0, 2)),
    ({"x": [NAN, None, 1.0]}, Unique(("x",)), "`x` unique, got 2 bad rows (first: 0, 1)", (0, 1)),
    ({"x": [1, 1, 1], "y": ["a", "b", "a"]}, Unique(("x", "y")), "`x`, `y` unique, got 2 bad rows (first: 0, 2)",
     (0, 2)),
    ({"x": [1, 1], "y": [None, "b"]}, Unique(("x", "y")), "`x`, `y` unique, got no bad row", ()),
    ({"x": [1, 2]}, RowCount(2), "at least 2 rows, got 2 rows", ()),
    ({"x": [1]}, RowCount(2), "at least 2 rows, got 1 row", ()),
    ({"x": [1, 2]}, RowCount(0, 1), "0 to 1 rows, got 2 rows", ()),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "policy", "told", "rows"), CASES)
def test_each_check_says_what_it_expected_and_got(
    blobs: BlobFolder, columns: dict[str, Any], policy: Policy, told: str, rows: tuple[int, ...]
) -> None:
    (finding,) = found(blobs, pa.table(columns), policy)
    assert line(finding) == f"dataset `settled` expected {told}"
    assert finding.rows == rows
    assert finding.count == len(rows)
    assert bool(finding.bad_digest) is bool(rows)


def test_all_checks_of_all_cases_are_told_in_the_order_of_the_policies(blobs: BlobFolder) -> None:
    table = pa.table({"x": [1, 2, 2], "s": ["a", None, "c"]})
    policies = (RowCount(1), Within("x", 2, 9), Unique(("x",)), NotNull(("s",)), OneOf("s", ("a",)), Within("x", 0, 9))
    findings = found(blobs, table, *policies)
    assert [(f.check, f.holds, f.rows) for f in findings] == [
        ("rows", True, ()), ("within", False, (0,)), ("unique", False, (1, 2)), ("not_null", False, (1,)),
        ("one_of", False, (2,)), ("within", True, ()),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "policy", [Within("fare", 0, 1), NotNull(("x", "fare")), OneOf("fare", (1,)), Unique(("fare", "x"))]
)
def test_a_column_that_is_not_there_is_a_finding_that_guesses_the_mistake(blobs: BlobFolder, policy: Policy) -> None:
    (finding,) = found(blobs, pa.table({"fare_": [1], "x": [1]}), policy)
    assert line(finding) == "dataset `settled` expected a column `fare`, got fare_, x; did you mean `fare_`?"
    assert not finding.holds


def test_a_table_without_rows_has_no_bad_row(blobs: BlobFolder) -> None:
    policies = (Within("x", 0, 1), NotNull(("x",)), OneOf("x", (1,)), Unique(("x",)), RowCount(1))
    for table in (pa.table({"x": pa.array([], pa.float64())}), pa.table({})):
        assert [f.holds for f in found(blobs, table, *policies)] == [True, True, True, True, False]


def test_no_policy_is_no_finding(blobs: BlobFolder) -> None:
    assert found(blobs, pa.table({"x": [1]})) == ()


def test_row_numbers_go_on_from_file_to_file(blobs: BlobFolder) -> None:
    paths = kept(blobs, pa.table({"x": [1, -1]}), pa.table({}), pa.table({"x": [1, 2, -2]}))
    within, unique = check(paths, (Within("x", 0, 9), Unique(("x",))), blobs=blobs)
    assert within.rows == (1, 4)
    assert unique.rows == (0, 2)


@pytest.mark.parametrize("name", ['a "b"', "a'b", "x; DROP TABLE t", "日本", "a.b", "?", "row_number", "select", "\\"])
def test_a_column_may_have_any_name(blobs: BlobFolder, name: str) -> None:
    table = pa.table({name: [1, 2, 2]})
    findings = found(blobs, table, Within(name, 0, 1), NotNull((name,)), OneOf(name, (1,)), Unique((name,)))
    assert [f.rows for f in findings] == [(1, 2), (), (1, 2), (1, 2)]
    aside = snapshots.read([blobs.path(findings[0].bad_digest)])
    assert aside.column(name).to_pylist() == [2, 2]
    assert aside.column(1).to_pylist() == [1, 2]


def test_a_damaged_file_is_one_line(blobs: BlobFolder) -> None:
    (path,) = kept(blobs, pa.table({"x": list(range(5000))}))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BlobDamaged) as caught:
        check([path], (Within("x", 0, 1),), blobs=blobs)
    assert "\n" not in str(caught.value)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.one_of(st.none(), st.just(NAN), st.integers(-3, 3).map(float)), max_size=30),
    least=st.integers(-3, 3),
    greatest=st.integers(-3, 3),
)
def test_checks_agree_with_plain_python(
    tmp_path_factory: pytest.TempPathFactory, values: list[float | None], least: int, greatest: int
) -> None:
    blobs = BlobFolder(tmp_path_factory.mktemp("store"))
    table = pa.table({"x": pa.array(values, pa.float64())})
    findings = found(blobs, table, Within("x", least, greatest), NotNull(("x",)), Unique(("x",)))
    plain = [None if value is None or value != value else value for value in values]
    assert findings[0].rows == tuple(n for n, v in enumerate(plain) if v is not None and not least <= v <= greatest)
    assert findings[1].rows == tuple(n for n, v in enumerate(plain) if v is None)
    assert findings[2].rows == tuple(n for n, v in enumerate(plain) if plain.count(v) > 1)
