# ruff: noqa: E501 - a message is asserted whole, on one line
from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowd import crowd
from funade import points
from funade.clock import frozen
from funade.declare.spec import Edge, Spec
from funade.declare.window import Interval, Window
from funade.digest import of_value
from funade.errors import DiskFull, Misuse, RollbackRefused, StoreError, StoreTooNew, SwitchLost, UnknownVersion
from funade.store import mounts, sqlite
from funade.store.metadata import Metadata
from funade.store.records import (
    Artifact,
    Build,
    Candidate,
    Checked,
    Finding,
    Hold,
    Release,
    Revision,
    RowSet,
    Switch,
    Version,
)  # fmt: skip

NOW = datetime(2022, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "records.db"


@pytest.fixture
def metadata(path: Path) -> Metadata:
    return Metadata(path, clock=frozen(NOW))


def named(id: str, node: str = "eta", **fields: Any) -> Version:
    """A version whose id begins so."""
    return Version(
        id=id.ljust(64, "0"), node=node, kind="model", recipe={"node": node, "id": id}, made_at=NOW, **fields
    )


def build(id: str, node: str = "eta", version: str = "", state: Any = "built") -> Build:
    return Build(id=id, node=node, version=version, state=state, started_at=NOW, seconds=1.5)


def revision(day: int, digest: str, source: str = "rides", bad: str = "") -> Revision:
    start = datetime(2022, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return Revision(source, f"{start:%Y-%m-%d}", start, start + timedelta(days=1), digest, 10, NOW, bad_digest=bad)


def candidate(id: str, **pins: str) -> Candidate:
    return Candidate(id.ljust(64, "0"), pins, (), "c" * 64, {}, "Asia/Tokyo", NOW)


def release(of: Candidate) -> Release:
    return Release(0, of.id, of.pins, NOW, "ann")


def ship(metadata: Metadata, of: Candidate, generation: int, ended: frozenset[str] = frozenset()) -> Switch:
    metadata.add_candidate(of)
    return metadata.release_and_switch(
        release(of), expected_generation=generation, expected_candidate=of.id, ended_holds=ended, who="ann", because=""
    )


# -- loads -----------------------------------------------------------------------------------------


def test_a_revision_gets_the_next_number_of_the_whole_store(metadata: Metadata) -> None:
    first = metadata.add_revision(revision(0, "a"))
    other = metadata.add_revision(revision(0, "a", source="zones"))
    assert (first and first.sequence, other and other.sequence) == (1, 2)
    assert metadata.last_sequence("rides") == 1
    assert metadata.last_sequence("nothing") == 0
    assert metadata.last_revision_per_source() == {"rides": 1, "zones": 2}


def test_a_revision_with_the_same_bytes_as_the_latest_is_not_added(metadata: Metadata) -> None:
    metadata.add_revision(revision(0, "a"))
    assert metadata.add_revision(revision(0, "a")) is None
    assert metadata.add_revision(revision(0, "a", bad="b")) is not None
    assert metadata.add_revision(revision(0, "a")) is not None
    assert [r.sequence for r in metadata.all_revisions("rides")] == [1, 2, 3]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["rides", "zones"]), st.integers(0, 3), st.sampled_from("ab")), max_size=15))
def test_revisions_up_to_a_number_are_the_latest_of_each_period_by_then(loads: list[tuple[str, int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        metadata = Metadata(Path(folder) / "records.db", clock=frozen(NOW))
        kept = [r for source, day, digest in loads if (r := metadata.add_revision(revision(day, digest, source)))]
        for up_to in (None, *range(len(kept) + 1)):
            seen = {
                r.period: r for r in kept if r.source == "rides" and r.sequence <= (up_to or (0 if up_to == 0 else 99))
            }
            assert metadata.revisions("rides", up_to=up_to) == sorted(seen.values(), key=lambda r: r.start)
        assert metadata.all_revisions() == kept
        metadata.close()


def test_revisions_come_in_order_of_time_not_of_loading(metadata: Metadata) -> None:
    for day in (400, 0, 30):
        metadata.add_revision(revision(day, "a"))
    assert [r.period for r in metadata.revisions("rides")] == ["2022-01-01", "2022-01-31", "2023-02-05"]


# -- versions --------------------------------------------------------------------------------------


def test_a_version_is_read_as_it_was_written(metadata: Metadata) -> None:
    whole = named(
        "ab12",
        inputs={"settled": "5" * 64},
        artifact=Artifact("frame", {"rows.parquet": "d" * 64}, 3, {"x": "double"}),
        end=NOW,
        reach=NOW,
        fits=(RowSet("settled", "5" * 64, Interval(None, NOW), reach=NOW, key=("ride_id",)),),
        metrics={"mae": 3.1, "gain": None},
        judged_rows=200,
        sequence=7,
    )
    assert metadata.add_version(whole, build("b1")) == whole
    assert metadata.version(whole.id) == whole
    assert metadata.version("0" * 64) is None
    assert metadata.builds("eta") == [build("b1", version=whole.id)]
    assert metadata.dependants("5" * 64) == [("eta", whole.id)]


def test_the_first_of_two_builds_of_one_recipe_wins_and_both_are_recorded(metadata: Metadata) -> None:
    first, second = named("ab12", build="b1"), named("ab12", build="b2", metrics={"mae": 9.0})
    metadata.add_version(first, build("b1"))
    assert metadata.add_version(second, build("b2")) == first
    assert metadata.versions() == [first]
    assert [b.id for b in metadata.builds(version=first.id)] == ["b1", "b2"]


def test_a_failed_build_is_kept_without_a_version(metadata: Metadata) -> None:
    metadata.add_build(build("b1", version="e" * 64, state="failed"))
    metadata.add_build(build("b2", node="limit"))
    assert [b.state for b in metadata.builds("eta")] == ["failed"]
    assert len(metadata.builds()) == 2
    assert metadata.versions() == []


def test_versions_are_listed_newest_last(metadata: Metadata) -> None:
    for id in ("ff", "aa", "cc"):
        metadata.add_version(named(id))
    metadata.add_version(named("bb", node="limit"))
    assert [v.id[:2] for v in metadata.versions("eta")] == ["ff", "aa", "cc"]
    assert metadata.has_versions([named("aa").id, named("bb").id, "9" * 64]) == {named("aa").id, named("bb").id}
    assert metadata.has_versions([]) == set()


def test_a_version_is_found_by_its_node_and_four_digits_or_by_digits_alone(metadata: Metadata) -> None:
    version = metadata.add_version(named("ab12cd"))
    for text in ("eta@ab12", "eta@AB12CD", "ab12", version.id, f"eta@{version.id}"):
        assert metadata.find(text) == version


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("etta@ab12", "UnknownVersion: version `etta@ab12` expected a node that has versions, got none named `etta`; did you mean `eta`?"),
        ("zone@ab12", "UnknownVersion: version `zone@ab12` expected a node that has versions, got none named `zone`; see them: funade status"),
        ("eta@ffff", "UnknownVersion: version `eta@ffff` expected an id that exists, got none; the newest are eta@ab12ce, eta@ab12cd"),
        ("ffff", "UnknownVersion: version `ffff` expected an id that exists, got none; the newest are limit@ab12cf, eta@ab12ce, eta@ab12cd"),
        ("eta@ab12", "Misuse: version `eta@ab12` expected to fit one version, got `eta@ab12cd`, `eta@ab12ce`; write more of its digits"),
        ("ab12", "Misuse: version `ab12` expected to fit one version, got `eta@ab12cd`, `eta@ab12ce` and 1 more; write more of its digits"),
        ("eta@ab1", "Misuse: version expected node@ and at least 4 hex digits, got `eta@ab1`; see them: funade compare NODE"),
        ("eta", "Misuse: version expected node@ and at least 4 hex digits, got `eta`; see them: funade compare NODE"),
        ("eta@latest", "Misuse: version expected node@ and at least 4 hex digits, got `eta@latest`; see them: funade compare NODE"),
        ("%_%_@ab12' OR 1", "Misuse: version expected node@ and at least 4 hex digits, got `%_%_@ab12' OR 1`; see them: funade compare NODE"),
    ],
)  # fmt: skip
def test_a_name_that_fits_no_version_or_two_is_refused(metadata: Metadata, text: str, message: str) -> None:
    for version in (named("ab12cd"), named("ab12ce"), named("ab12cf", node="limit")):
        metadata.add_version(version)
    with pytest.raises(Misuse) as refused:
        metadata.find(text)
    assert refused.value.line() == message
    assert isinstance(refused.value, UnknownVersion) == message.startswith("Unknown")


def test_two_long_ids_are_told_apart_by_as_many_digits_as_it_takes(metadata: Metadata) -> None:
    metadata.add_version(named("ab12ab12ab1"))
    metadata.add_version(named("ab12ab12ab2"))
    with pytest.raises(Misuse, match="got `eta@ab12ab12ab1`, `eta@ab12ab12ab2`;"):
        metadata.find("ab12")


def test_the_checks_of_a_version_are_kept_once_per_policies(metadata: Metadata) -> None:
    version = metadata.add_version(named("aa"))
    good = Checked(version.id, "p1", (Finding("within", "x in [0, 1]", "all", True),), NOW)
    metadata.add_checked(good)
    metadata.add_checked(msgspec.structs.replace(good, findings=()))
    metadata.add_checked(msgspec.structs.replace(good, policies="p2"))
    assert metadata.checked(version.id, "p1") == good
    assert metadata.checked(version.id, "p3") is None
    assert [c.policies for c in metadata.checks_of(version.id)] == ["p1", "p2"]


# -- staging and releases --------------------------------------------------------------------------


def test_a_newer_hold_ends_an_older_and_those_it_replaces(metadata: Metadata) -> None:
    a, b = metadata.add_version(named("aa")), metadata.add_version(named("bb"))
    other = metadata.add_version(named("cc", node="limit"))
    metadata.hold([Hold("eta", a.id, {}, NOW), Hold("limit", other.id, {"eta": a.id}, NOW)], replace=set())
    newer = Hold("eta", b.id, {}, NOW)
    metadata.hold([newer], replace={"limit"})
    assert metadata.holds() == {"eta": newer}
    assert metadata.unhold("eta")
    assert not metadata.unhold("eta")
    assert metadata.holds() == {}


def test_a_hold_of_a_version_that_is_not_there_changes_nothing(metadata: Metadata, path: Path) -> None:
    a = metadata.add_version(named("aa"))
    metadata.hold([Hold("eta", a.id, {}, NOW)], replace=set())
    with pytest.raises(StoreError) as refused:
        metadata.hold([Hold("limit", "f" * 64, {}, NOW)], replace={"eta"})
    assert (
        str(refused.value)
        == f"store expected a record that fits the others, got: FOREIGN KEY constraint failed - at {path}"
    )
    assert list(metadata.holds()) == ["eta"]


def test_a_candidate_staged_again_is_the_stored_one_and_the_latest(metadata: Metadata) -> None:
    first, second = candidate("aa", eta="1" * 64), candidate("bb")
    assert metadata.latest_candidate() is None
    metadata.add_candidate(first)
    metadata.add_candidate(second)
    again = metadata.add_candidate(msgspec.structs.replace(first, at=NOW + timedelta(days=1)))
    assert again == first
    assert metadata.latest_candidate() == first
    assert metadata.candidate(second.id) == second
    assert metadata.candidates() == [first, second]


def test_a_candidate_carries_its_graph(metadata: Metadata) -> None:
    spec = Spec(
        "model", "eta", "taxi/eta.py:9", "taxi.eta", "eta", edges=(Edge("rides", "settled", Window(first_days=7)),)
    )
    whole = Candidate("a" * 64, {"eta": "1" * 64}, (spec,), "c" * 64, {"eta": {"trees": 200}}, "Asia/Tokyo", NOW)
    metadata.add_candidate(whole)
    assert metadata.latest_candidate() == whole


def test_a_release_is_numbered_switched_to_and_ends_the_holds_it_ships(metadata: Metadata) -> None:
    a, b = metadata.add_version(named("aa")), metadata.add_version(named("bb", node="limit"))
    metadata.hold([Hold("eta", a.id, {}, NOW), Hold("limit", b.id, {}, NOW)], replace=set())
    of = candidate("11", eta=a.id, limit="7" * 64)
    made = ship(metadata, of, 0, frozenset({"eta", "limit"}))
    assert made == Switch(1, None, 1, "release", NOW, "ann") == metadata.current()
    assert metadata.release(1) == msgspec.structs.replace(release(of), number=1)
    assert metadata.releases() == [metadata.release(1)]
    assert metadata.release(2) is None
    assert list(metadata.holds()) == ["limit"]  # held at another version by now


def test_a_rollback_is_the_same_switch_back(metadata: Metadata) -> None:
    ship(metadata, candidate("11"), 0)
    ship(metadata, candidate("22"), 1)
    back = metadata.switch_to(1, expected_generation=2, who="ben", because="slow")
    assert back == Switch(3, 2, 1, "rollback", NOW, "ben", "slow")
    assert [(s.before, s.after) for s in metadata.switches()] == [(None, 1), (1, 2), (2, 1)]
    with pytest.raises(RollbackRefused) as refused:
        metadata.switch_to(9, expected_generation=3, who="ben", because="")
    assert str(refused.value) == "rollback expected a release, got 9; see them: funade releases"


def everything(metadata: Metadata) -> tuple[object, ...]:
    return metadata.releases(), metadata.switches(), metadata.holds(), metadata.latest_candidate()


def test_a_switch_from_a_release_that_moved_is_lost_and_changes_nothing(metadata: Metadata) -> None:
    a = metadata.add_version(named("aa"))
    metadata.hold([Hold("eta", a.id, {}, NOW)], replace=set())
    of = candidate("22", eta=a.id)
    ship(metadata, candidate("11"), 0)
    metadata.add_candidate(of)
    before = everything(metadata)
    with pytest.raises(SwitchLost) as lost:
        ship(metadata, of, 0, frozenset({"eta"}))
    assert str(lost.value) == (
        "release expected generation 0 to be the current one, got 1, release of 1 by ann at 2022-03-01 12:00:00 UTC;"
        " run: funade release"
    )
    with pytest.raises(SwitchLost, match=r"^rollback expected generation 5 to be the current one, got 1, "):
        metadata.switch_to(1, expected_generation=5, who="ann", because="")
    assert everything(metadata) == before


def test_a_release_of_a_candidate_that_is_not_the_latest_any_more_is_lost(metadata: Metadata) -> None:
    metadata.add_candidate(candidate("11"))
    metadata.add_candidate(candidate("22"))
    before = everything(metadata)
    with pytest.raises(SwitchLost) as lost:
        metadata.release_and_switch(
            release(candidate("11")),
            expected_generation=0,
            expected_candidate=candidate("11").id,
            ended_holds=(),
            who="ann",
            because="",
        )
    assert str(lost.value) == "release expected candidate `110000` to be the latest, got `220000`; run: funade release"
    assert everything(metadata) == before


def test_a_crash_inside_a_release_leaves_everything_as_before(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata.add_candidate(candidate("11"))
    before = everything(metadata)

    def stop(point: str) -> None:
        if point == "release.inside":
            raise KeyboardInterrupt

    monkeypatch.setattr(points, "watch", stop)
    with pytest.raises(KeyboardInterrupt):
        ship(metadata, candidate("11"), 0)
    monkeypatch.setattr(points, "watch", None)
    assert everything(metadata) == before
    assert ship(metadata, candidate("11"), 0).generation == 1


def test_every_commit_point_of_the_records_is_passed(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []
    monkeypatch.setattr(points, "watch", passed.append)
    a = metadata.add_version(named("aa"), build("b1"))
    metadata.add_revision(revision(0, "a"))
    metadata.add_checked(Checked(a.id, "p", (), NOW))
    metadata.hold([Hold("eta", a.id, {}, NOW)], replace=set())
    ship(metadata, candidate("11"), 0)
    stages = {"load", "build", "check", "hold", "stage", "release"}
    assert set(passed) == {name for name in points.NAMES if name.split(".")[0] in stages}


# -- what is only ever added ----------------------------------------------------------------------

ADDED = ["revisions", "versions", "inputs", "builds", "checks", "candidates", "stagings", "releases", "switches"]


@pytest.mark.parametrize("table", ADDED)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
def test_a_row_that_is_only_ever_added_can_be_neither_changed_nor_removed(
    metadata: Metadata, path: Path, table: str, change: str
) -> None:
    a = metadata.add_version(named("aa", inputs={"settled": "5" * 64}), build("b1"))
    metadata.add_revision(revision(0, "a"))
    metadata.add_checked(Checked(a.id, "p", (), NOW))
    ship(metadata, candidate("11"), 0)
    metadata.close()
    with sqlite3.connect(path) as other:
        column = other.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchone()[0]
        with pytest.raises(sqlite3.IntegrityError, match=f"^{table} are only ever added$"):
            other.execute(change.format(table, column, column))
    other.close()


# -- the file --------------------------------------------------------------------------------------


def test_nothing_is_opened_before_it_is_needed(metadata: Metadata, path: Path) -> None:
    assert not path.parent.exists()
    assert metadata.current() is None
    assert path.exists()


def test_opening_and_reading_a_store_imports_neither_numpy_nor_resources(metadata: Metadata, path: Path) -> None:
    metadata.versions()
    metadata.close()
    script = f"""
import sys
from pathlib import Path
from funade.clock import system
from funade.store.blobs import Blobs
from funade.store.metadata import Metadata
Metadata(Path({str(path)!r}), clock=system).versions()
print(sorted({{"numpy", "pyarrow", "duckdb", "pandas", "importlib.resources"}} & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_the_newest_migration_is_the_schema_this_funade_writes() -> None:
    numbers = sorted(
        int(f.name[:4]) for f in (files("funade.store") / "migrations").iterdir() if f.name.endswith(".sql")
    )
    assert numbers == list(range(1, sqlite.SCHEMA + 1))


def test_records_are_durable_and_read_beside_writers(metadata: Metadata, path: Path) -> None:
    metadata.versions()
    connection = metadata._database._connection()
    asked = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    ]
    assert asked == ["wal", 2, 1]


def test_a_store_from_a_newer_funade_is_refused(metadata: Metadata, path: Path) -> None:
    metadata.versions()
    metadata.close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {sqlite.SCHEMA + 1}")
    other.close()
    with pytest.raises(StoreTooNew) as refused:
        metadata.versions()
    assert refused.value.line() == (
        f"StoreTooNew: store expected schema {sqlite.SCHEMA} or older, got {sqlite.SCHEMA + 1} - at {path};"
        " upgrade funade: a newer one wrote this store"
    )


def a_text(path: Path) -> None:
    path.write_text("not a database, but long enough to be taken for one" * 30)


def another_database(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()


def another_application(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA application_id = 7")
        other.execute("PRAGMA user_version = 1")
    other.close()


@pytest.mark.parametrize("make", [a_text, another_database, another_application])
def test_a_foreign_file_is_refused_and_left_as_it_is(
    metadata: Metadata, path: Path, make: Callable[[Path], None]
) -> None:
    path.parent.mkdir()
    make(path)
    before = path.read_bytes()
    for use in (metadata.versions, lambda: metadata.add_version(named("aa"))):
        with pytest.raises(StoreError) as refused:
            use()
        assert refused.value.line() == (
            f"StoreError: store expected a database of funade's, got another file - at {path}; move that file away"
        )
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(metadata: Metadata, path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    assert metadata.add_version(named("aa")) == metadata.version(named("aa").id)


def as_nobody(act: Callable[[], object]) -> str:
    """What ``act`` raises in a process that may not write what others own."""
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        said = "nothing"
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            act()
        except BaseException as error:
            said = error.line() if isinstance(error, StoreError) else repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:  # noqa: PTH123
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def opened_to_all(path: Path) -> None:
    for folder in path.parents:
        if folder.stat().st_uid == os.geteuid() and folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    opened_to_all(tmp_path / "x")
    sealed = tmp_path / "sealed"
    sealed.mkdir()
    sealed.chmod(0o555)
    here = Metadata(sealed / "records.db", clock=frozen(NOW))
    deeper = Metadata(sealed / "deeper" / "records.db", clock=frozen(NOW))
    assert as_nobody(here.versions) == (
        f"StoreError: store expected a folder it can write, got: unable to open database file - at {sealed}; make it writable"
    )
    assert as_nobody(deeper.versions) == (
        f"StoreError: store expected a folder it can write, got: Permission denied - at {sealed / 'deeper'}; make it writable"
    )
    sealed.chmod(0o755)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_store_that_cannot_be_written_is_refused(metadata: Metadata, path: Path) -> None:
    metadata.add_version(named("aa"))
    metadata.close()
    opened_to_all(path)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    said = as_nobody(lambda: metadata.add_version(named("bb")))
    assert said.startswith("StoreError: store expected a folder it can write, got: ")
    assert said.endswith(f" - at {path.parent}; make it writable")
    path.parent.chmod(0o755)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError) as refused:
        Metadata(tmp_path / "store" / "records.db", clock=frozen(NOW)).versions()
    assert str(refused.value) == (
        f"store expected a folder it can write, got: File exists - at {tmp_path / 'store'}; make it writable"
    )


def test_a_full_disk_leaves_the_store_as_it_was(metadata: Metadata, path: Path) -> None:
    metadata.add_version(named("aa"))
    pages = metadata._database._connection().execute("PRAGMA page_count").fetchone()[0]
    metadata._database._connection().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull) as refused:
        metadata.add_version(named("bb", symbols={f"symbol{i}": "d" * 64 for i in range(1000)}))
    assert refused.value.line() == (
        f"DiskFull: store expected room for a record, got a full disk - at {path}; free some room, then run it again"
    )
    metadata.close()
    assert [v.id for v in metadata.versions()] == [named("aa").id]
    assert metadata.unsound() == []
    metadata.add_version(named("bb", symbols={f"symbol{i}": "d" * 64 for i in range(1000)}))


def test_a_record_that_does_not_read_is_named(metadata: Metadata, path: Path) -> None:
    metadata.versions()
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO versions (id, node, record) VALUES ('aa', 'eta', '{}')")
    other.close()
    with pytest.raises(StoreError) as refused:
        metadata.versions()
    assert refused.value.line() == (
        "StoreError: store expected a version, got '{}': Object missing required field `id`; put the store back from a backup"
    )


def test_a_damaged_database_is_refused_or_found_unsound(metadata: Metadata, path: Path) -> None:
    for i in range(300):
        metadata.add_build(build(f"b{i}"))
    metadata.close()
    data = bytearray(path.read_bytes())
    data[4096 * 12 : 4096 * 20] = os.urandom(4096 * 8)
    path.write_bytes(data)
    try:
        assert metadata.unsound()
    except StoreError as error:
        assert str(error).startswith("store expected a sound database, got: ")


MOUNTS = "\n".join([
    "/dev/vda / ext4 rw 0 0",
    "home:/export /home nfs4 rw 0 0",
    "/dev/vdb /home/ann/fast\\040disk ext4 rw 0 0",
    "//win/share /mnt/share cifs rw 0 0",
    "ann@host: /mnt/remote fuse.sshfs rw 0 0",
    "overlay /merged overlay rw 0 0",
    "tmpfs /hidden nfs rw 0 0",
    "tmpfs /hidden tmpfs rw 0 0",
])  # fmt: skip


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/taxi", "ext4"),
        ("/home/ben", "nfs4"),
        ("/home", "nfs4"),
        ("/homes/ben", "ext4"),
        ("/home/ann/fast disk/taxi", "ext4"),
        ("/mnt/share/taxi", "cifs"),
        ("/mnt/remote/taxi", "fuse.sshfs"),
        ("/merged/taxi", "overlay"),
        ("/hidden/taxi", "tmpfs"),
    ],
)
def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(folder: str, kind: str) -> None:
    assert mounts.file_system(folder, MOUNTS) == kind


def test_a_network_file_system_is_refused_with_the_way_to_postgresql(tmp_path: Path) -> None:
    table = tmp_path / "mounts"
    table.write_text(f"home:/export {tmp_path.resolve()} nfs4 rw 0 0\n")
    with pytest.raises(StoreError) as refused:
        mounts.refuse_network(tmp_path / "taxi", table)
    assert refused.value.line() == (
        "StoreError: store expected a disk of this machine, got a network file system (nfs4)"
        f" - at {tmp_path / 'taxi'}; keep the store on a local disk, or give [store] a PostgreSQL database"
    )
    mounts.refuse_network(tmp_path.parent, table)
    mounts.refuse_network(tmp_path, tmp_path / "no table")


# -- many at once ----------------------------------------------------------------------------------


def test_fifty_processes_with_one_recipe_make_one_version_and_all_get_it(path: Path) -> None:
    said = crowd(
        path.parent,
        """
mine = Version(id="a" * 64, node="eta", kind="model", recipe={}, made_at=NOW, build=f"b{me}")
record = Build(id=f"b{me}", node="eta", version="", state="built", started_at=NOW, seconds=1.0)
return metadata.add_version(mine, record).build
""",
    )
    metadata = Metadata(path, clock=frozen(NOW))
    (only,) = metadata.versions()
    assert said == [only.build] * 50
    assert {b.id for b in metadata.builds("eta")} == {f"b{me}" for me in range(50)}


def test_fifty_processes_with_different_settings_make_fifty_versions_while_others_read(path: Path) -> None:
    said = crowd(
        path.parent,
        """
if me >= 50:
    seen = []
    while len(seen) < 50:
        more = [v.id for v in metadata.versions()]
        assert more[: len(seen)] == seen and metadata.unsound() == []
        seen = more
    return len(seen)
id = of_value(me)
return metadata.add_version(Version(id=id, node="eta", kind="model", recipe={"me": me}, made_at=NOW)).id
""",
        count=52,
    )
    ids = [of_value(me) for me in range(50)]
    assert said == [*ids, 50, 50]
    assert {v.id for v in Metadata(path, clock=frozen(NOW)).versions()} == set(ids)


def test_of_many_switches_from_one_generation_exactly_one_wins(metadata: Metadata, path: Path) -> None:
    metadata.add_candidate(candidate("11"))
    said = crowd(
        path.parent,
        """
of = metadata.latest_candidate()
made = metadata.release_and_switch(
    Release(0, of.id, of.pins, NOW, f"p{me}"), expected_generation=0, expected_candidate=of.id,
    ended_holds=set(), who=f"p{me}", because="",
)
return made.who
""",
        count=12,
    )
    (winner,) = [s for s in said if s.startswith("p")]
    assert all(s == winner or s.startswith("SwitchLost: release expected generation 0 ") for s in said)
    assert [(r.number, r.who) for r in metadata.releases()] == [(1, winner)]
    assert [(s.generation, s.who) for s in metadata.switches()] == [(1, winner)]


def test_revisions_of_many_processes_are_numbered_without_gap_or_repeat(path: Path) -> None:
    said = crowd(
        path.parent,
        """
kept = [metadata.add_revision(Revision("rides", f"{me}/{i}", NOW, NOW, "a", 1, NOW)) for i in range(5)]
return [k.sequence for k in kept]
""",
        count=20,
    )
    assert sorted(n for numbers in said for n in numbers) == list(range(1, 101))


def test_threads_share_one_object(metadata: Metadata) -> None:
    failed: list[BaseException] = []

    def work(me: int) -> None:
        try:
            for i in range(10):
                metadata.add_version(named(f"{me:x}{i:x}"))
                assert metadata.version(named(f"{me:x}{i:x}").id) is not None
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(metadata.versions()) == 80
    metadata.close()
    assert len(metadata.versions()) == 80


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_opens_a_connection_of_its_own(metadata: Metadata) -> None:
    metadata.add_version(named("aa"))
    mine = metadata._database._connection()
    if (child := os.fork()) == 0:
        fine = False
        try:
            metadata.add_version(named("bb"))
            fine = metadata._database._connection() is not mine
        finally:
            os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert metadata._database._connection() is mine
    assert len(metadata.versions()) == 2


# -- killed ----------------------------------------------------------------------------------------

WRITER = """
import itertools, sys, uuid
from datetime import UTC, datetime
from pathlib import Path
from funade.clock import system
from funade.digest import of_bytes
from funade.store.blobs import Blobs
from funade.store.metadata import Metadata
from funade.store.records import *
root, run = Path(sys.argv[1]), sys.argv[2]
metadata, blobs, now = Metadata(root / "records.db", clock=system), Blobs(root), datetime(2022, 1, 1, tzinfo=UTC)
for i in itertools.count():
    digest = blobs.put_bytes(f"{run} {i}".encode() * 5000)
    id = of_bytes(f"{run} {i}".encode())
    metadata.add_revision(Revision("rides", f"{run}/{i}", now, now, digest, 1, now))
    version = Version(id, "eta", "model", {}, now, artifact=Artifact("json", {"value": digest}))
    metadata.add_version(version, Build(uuid.uuid4().hex, "eta", id, "built", now, 1.0))
    print(id, flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_there_and_sound_after(tmp_path: Path) -> None:
    from funade.store.blobs import Blobs
    from funade.store.fsck import fsck

    root, acknowledged = tmp_path / "store", set()
    metadata, blobs = Metadata(root / "records.db", clock=frozen(NOW)), Blobs(root)
    for run in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), str(run)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(1 + run * 7 % 11):
            acknowledged.add(writer.stdout.readline().strip())
        writer.kill()
        acknowledged |= {line.strip() for line in writer.stdout if line.endswith("\n")}
        writer.wait()
        writer.stdout.close()
        assert fsck(metadata, blobs) == []
        there = {v.id for v in metadata.versions()}
        assert acknowledged <= there
        assert len(there) - len(acknowledged) <= run + 1
        assert {b.version for b in metadata.builds()} == there
