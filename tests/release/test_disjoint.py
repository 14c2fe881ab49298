"""Fit and judge are disjoint: proven by time, windows, parts, counting or keys; never claimed when a row is shared."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from funade.declare.policy import Split
from funade.declare.spec import Edge
from funade.declare.window import Interval
from funade.digest import of_value
from funade.errors import GateClosed
from funade.release.disjoint import Proof, common_keys, prove
from funade.store.address import of_folder
from funade.store.records import RowSet, Version
from funade.store.store import Store
from funade.store.warehouse import snapshots
from funade.store.warehouse import versions as tables
from support import toy

DAY = datetime(2022, 1, 1, tzinfo=UTC)


def day(number: int) -> datetime:
    return DAY + timedelta(days=number)


def dataset(
    store: Store,
    node: str,
    rows: dict[str, list[Any]],
    *,
    key: tuple[str, ...] = ("k",),
    time: str = "at",
    end: datetime | None = None,
    split: bool = False,
) -> Version:
    """A version of a dataset with these rows; ``at`` are days."""
    columns = rows | ({"at": [None if d is None else day(d) for d in rows["at"]]} if "at" in rows else {})
    types = {"at": pa.timestamp("us", tz="UTC")}
    table = pa.table({n: pa.array(v, types.get(n)) for n, v in columns.items()})
    recipe = {"node": node, "rows": str(rows), "policies": [msgspec.to_builtins(Split("g", 0.5))] if split else []}
    version = Version(
        id=of_value([node, str(rows), key, time, split]), node=node, kind="dataset", recipe=recipe,
        made_at=DAY, artifact=snapshots.write(store.blobs, table), end=end, reach=end, time=time, key=key,
    )  # fmt: skip
    return store.metadata.add_version(version)


def taken(version: Version, first: int | None = None, last: int | None = None, part: str = "") -> RowSet:
    """Rows of a version in [first, last) days; all of them when neither is given."""
    bounded = first is not None or last is not None
    interval = Interval(None if first is None else day(first), None if last is None else day(last)) if bounded else None
    return tables.row_set(Edge("rows", version.node, part=part), version, interval)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(of_folder(tmp_path))


ROWS: dict[str, list[Any]] = {"k": [1, 2, 3, 4], "at": [0, 1, 2, 3], "g": ["ann", "bob", "ann", "bob"]}


def test_judging_rows_that_begin_at_the_fits_reach_are_disjoint_from_it(store: Store) -> None:
    old = dataset(store, "old", ROWS, end=day(4), key=())
    new = dataset(store, "new", {"k": [5], "at": [4]}, end=day(5), key=())
    assert prove(taken(new, 4, 5), taken(old), store) == Proof(
        "disjoint", "they begin 2022-01-05 00:00 UTC, the fit ends 2022-01-05 00:00 UTC"
    )


def test_rows_without_a_window_begin_with_the_first_that_is_found(store: Store) -> None:
    old = dataset(store, "old", ROWS, end=day(4), key=())
    new = dataset(store, "new", {"k": [5, 6], "at": [6, 5]}, end=day(7), key=())
    assert prove(taken(new), taken(old), store).state == "disjoint"
    undated = dataset(store, "undated", {"k": [5, 6], "at": [6, None]}, end=day(7), key=())
    assert prove(taken(undated), taken(old), store).state == "unproven"


def test_windows_of_one_version_are_disjoint_or_share_rows_that_are_counted(store: Store) -> None:
    rows = dataset(store, "rows", ROWS, end=day(4))
    assert prove(taken(rows, 2, 4), taken(rows, 0, 2), store) == Proof("disjoint", "another window of one version")
    assert prove(taken(rows, 1, 4), taken(rows, 0, 3), store) == Proof(
        "common", f"2 common rows of `rows@{rows.id[:6]}`"
    )


def test_drill_W14_rows_of_one_user_do_not_stand_in_both_parts_of_a_split(store: Store) -> None:
    rows = dataset(store, "rows", ROWS, end=day(4), split=True)
    assert prove(taken(rows, part="test"), taken(rows, part="train"), store) == Proof(
        "disjoint", "the other part of one split"
    )
    assert prove(taken(rows, part="test"), taken(rows), store) == Proof(
        "common", f"2 common rows of `rows@{rows.id[:6]}`"
    )


def test_two_versions_are_told_apart_by_a_key_they_both_carry(store: Store) -> None:
    one = dataset(store, "one", ROWS, end=day(4))
    other = dataset(store, "other", {"k": [5, 6], "at": [0, 1]}, end=day(4))
    shared = dataset(store, "shared", {"k": [4, 4, 5], "at": [0, 1, 2]}, end=day(4))
    assert prove(taken(other), taken(one), store) == Proof("disjoint", "no common key")
    assert prove(taken(shared), taken(one), store) == Proof("common", "2 rows of a common key (k)")


def test_without_time_and_key_nothing_is_proven(store: Store) -> None:
    one = dataset(store, "one", ROWS, end=None, time="", key=())
    other = dataset(store, "other", {"k": [5], "at": [9]}, end=day(4), key=("k", "at"))
    assert prove(taken(other), taken(one), store) == Proof(
        "unproven", "no proof: neither time nor a common key tells them apart"
    )


def test_keys_of_different_types_prove_nothing(store: Store) -> None:
    one = dataset(store, "one", ROWS, end=None)
    other = dataset(store, "other", {"k": ["5"], "at": [0]}, end=day(4))
    assert prove(taken(other), taken(one), store) == Proof(
        "unproven", "no proof: their keys (k) are of different types"
    )


def test_missing_keys_are_taken_to_be_equal() -> None:
    keys = pa.table({"a": [1, None, 2], "b": ["x", None, None]})
    assert common_keys(keys, pa.table({"a": [None, 3], "b": pa.array([None, "x"])})) == 1


@settings(max_examples=150)
@given(data=st.data())
def test_disjoint_is_never_said_of_row_sets_that_share_a_row(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(of_folder(Path(folder)))
        keyed, timed = data.draw(st.booleans()), data.draw(st.sampled_from([True, True, False]))
        days = data.draw(st.lists(st.integers(0, 5), min_size=4, max_size=8))
        undated = data.draw(st.sampled_from([0, 0, 1]))
        world = [*days, *[None] * undated]
        versions = [_drawn_version(data, store, node, world, keyed, timed) for node in ("one", "other")]
        judging, judged_keys = _drawn_rows(data, store, versions[0], timed)
        fit, fit_keys = _drawn_rows(data, store, versions[data.draw(st.sampled_from([0, 1, 1]))], timed)
        shared = judged_keys & fit_keys
        proof = prove(judging, fit, store)
        store.metadata.close()
        event(f"{proof.state}, {'one version' if judging.version == fit.version else 'two'}, {bool(shared)}")
        if proof.state == "disjoint":
            assert not shared
        if proof.state == "common":
            assert shared
        if judging.version == fit.version or keyed:
            assert proof.state != "unproven"


def _drawn_version(
    data: st.DataObject, store: Store, node: str, world: list[int | None], keyed: bool, timed: bool
) -> Version:
    """A dataset that holds most of the world's rows; one row has one time and one key wherever it stands."""
    absent = data.draw(st.sets(st.sampled_from(range(len(world))), max_size=2))
    held = [k for k in range(len(world)) if k not in absent]
    rows: dict[str, list[Any]] = {"k": held, "at": [world[k] for k in held], "g": [f"g{k % 4}" for k in held]}
    key, time, end = ("k",) if keyed else (), "at" if timed else "", day(6) if timed else None
    return dataset(store, node, rows, key=key, time=time, end=end, split=True)


def _drawn_rows(data: st.DataObject, store: Store, version: Version, timed: bool) -> tuple[RowSet, set[int]]:
    windows: list[tuple[int | None, int | None]] = [(None, None), (0, 3), (3, 6), (2, 5), (None, 2), (4, None), (1, 2)]
    first, last = data.draw(st.sampled_from(windows)) if timed else (None, None)
    part = data.draw(st.sampled_from(["", "", "train", "test"]))
    rows = taken(version, first, last, part)
    return rows, set(tables.rows(rows, store).column("k").to_pylist())


def released(root: Path) -> list[Any]:
    here = toy.project(root)
    toy.load(here)
    list(here.build())
    here.stage()
    judged = here.release()[1]
    assert judged is not None
    return [f for f in judged.findings if f.check == "disjoint"]


def test_a_release_whose_rows_are_apart_says_how_that_is_known(root: Path) -> None:
    found = released(root)
    assert [(f.expected, f.at) for f in found] == [
        ("`cut` to cut off on rows that `line` was not fitted on", "threshold `cut`, input `rows`"),
        ("`quality` to judge on rows that `line` was not fitted on", "evaluation `quality`, input `answers`"),
        ("`quality` to judge on rows that `cut` was not fitted on", "evaluation `quality`, input `answers`"),
    ]
    assert all(f.holds and f.got == "another window of one version" for f in found)


def test_drill_W14_an_evaluation_on_rows_the_model_was_fitted_on_is_refused(root: Path) -> None:
    toy.edit(root, "nodes", "clean.between(days=(21, 14))", "clean.between(days=(21, 3))")
    with pytest.raises(GateClosed) as refused:
        released(root)
    here = toy.project(root)
    clean = here.find_version("clean").id[:6]
    assert str(refused.value) == (
        f"release 1 expected `cut` to cut off on rows that `line` was not fitted on, got 350 common rows of "
        f"`clean@{clean}` - at threshold `cut`, input `rows`; take a later window, or the other part of a split, "
        "for one of them"
    )
    failing = [f for f in refused.value.facts["findings"] if not f.holds]  # type: ignore[attr-defined]
    assert [(f.expected, f.got) for f in failing] == [
        ("`cut` to cut off on rows that `line` was not fitted on", f"350 common rows of `clean@{clean}`"),
        ("`quality` to judge on rows that `line` was not fitted on", f"200 common rows of `clean@{clean}`"),
        ("`quality` to judge on rows that `cut` was not fitted on", f"200 common rows of `clean@{clean}`"),
    ]


def test_rows_that_are_trusted_pass_and_the_reason_is_on_record(root: Path) -> None:
    toy.edit(
        root, "nodes", "rows=clean.between(days=(14, 7))", 'rows=clean.between(days=(21, 7)).trust("two days only")'
    )
    found = {f.expected: (f.got, f.holds) for f in released(root)}
    clean = toy.project(root).find_version("clean").id[:6]
    assert found["`cut` to cut off on rows that `line` was not fitted on"] == (
        f"350 common rows of `clean@{clean}`, trusted: two days only",
        True,
    )


FORECAST = """

@fn.dataset(model=line, rows=clean.last(days=7))
def scored(model: Line, rows: pa.Table) -> pa.Table:
    return rows.select(["row", "at", "y"]).append_column("guess", pa.array(model.predict(rows.column("x").to_numpy())))

@fn.evaluation(table=scored{window}, answers=judge.on(clean.last(days=7)))
def table_quality(table: fn.Columns, answers: fn.Columns) -> dict[str, float]:
    return {{"mae": float(np.abs(table["guess"] - table["y"]).mean())}}
"""


def test_a_table_made_with_a_model_is_judged_on_rows_the_model_did_not_see(root: Path) -> None:
    toy.edit(root, "nodes", toy.NODES[-20:], toy.NODES[-20:] + FORECAST.format(window=""))
    found = {f.expected: (f.got, f.holds) for f in released(root)}
    assert found["`table_quality` to judge on rows that `scored` was not fitted on"] == (
        "they begin 2022-01-23 15:00 UTC, the fit ends 2022-01-16 15:00 UTC",
        True,
    )
