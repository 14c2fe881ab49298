# ruff: noqa: E501 - a message is asserted whole, on one line
from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from funade.clock import frozen
from funade.errors import DiskFull, StoreError, StoreTooNew
from funade.store.records import (
    CheckRecord,
    Hold,
)  # fmt: skip
from funade.store.sqlite import database
from funade.store.sqlite.metadata import SqliteMetadata
from support.records import NOW, build, candidate, named, revision, ship


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "records.db"


@pytest.fixture
def metadata(path: Path) -> SqliteMetadata:
    return SqliteMetadata(path, clock=frozen(NOW))


# -- what is only ever added ----------------------------------------------------------------------

ADDED = ["revisions", "versions", "inputs", "builds", "checks", "candidates", "stagings", "releases", "switches"]


@pytest.mark.parametrize("table", ADDED)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}"])
def test_a_row_that_is_only_ever_added_can_be_neither_changed_nor_removed(
    metadata: SqliteMetadata, path: Path, table: str, change: str
) -> None:
    a = metadata.add_version(named("aa", inputs={"settled": "5" * 64}), build("b1"))
    metadata.add_revision(revision(0, "a"))
    metadata.add_checked(CheckRecord(a.id, "p", (), NOW))
    ship(metadata, candidate("11"), 0)
    metadata.close()
    with sqlite3.connect(path) as other:
        column = other.execute(f"SELECT name FROM pragma_table_info('{table}')").fetchone()[0]
        with pytest.raises(sqlite3.IntegrityError, match=f"^{table} are only ever added$"):
            other.execute(change.format(table, column, column))
    other.close()


# -- the file --------------------------------------------------------------------------------------


def test_nothing_is_opened_before_it_is_needed(metadata: SqliteMetadata, path: Path) -> None:
    assert not path.parent.exists()
    assert metadata.current() is None
    assert path.exists()


def test_opening_and_reading_a_store_imports_neither_numpy_nor_resources(metadata: SqliteMetadata, path: Path) -> None:
    metadata.versions()
    metadata.close()
    script = f"""
import sys
from pathlib import Path
from funade.clock import system
from funade.store.blobs import BlobFolder
from funade.store.sqlite.metadata import SqliteMetadata
SqliteMetadata(Path({str(path)!r}), clock=system).versions()
print(sorted({{"numpy", "pyarrow", "duckdb", "pandas", "importlib.resources"}} & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"


def test_the_newest_migration_is_the_schema_this_funade_writes() -> None:
    numbers = sorted(
        int(f.name[:4]) for f in (files("funade.store.sqlite") / "migrations").iterdir() if f.name.endswith(".sql")
    )
    assert numbers == list(range(1, database.SCHEMA + 1))


def test_records_are_durable_and_read_beside_writers(metadata: SqliteMetadata, path: Path) -> None:
    metadata.versions()
    connection = metadata._database._connection()
    asked = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    ]
    assert asked == ["wal", 2, 1]


def test_a_store_from_a_newer_funade_is_refused(metadata: SqliteMetadata, path: Path) -> None:
    metadata.versions()
    metadata.close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {database.SCHEMA + 1}")
    other.close()
    with pytest.raises(StoreTooNew) as refused:
        metadata.versions()
    assert refused.value.line() == (
        f"StoreTooNew: store expected schema {database.SCHEMA} or older, got {database.SCHEMA + 1} - at {path};"
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
    metadata: SqliteMetadata, path: Path, make: Callable[[Path], None]
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


def test_an_empty_file_becomes_a_store(metadata: SqliteMetadata, path: Path) -> None:
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
    here = SqliteMetadata(sealed / "records.db", clock=frozen(NOW))
    deeper = SqliteMetadata(sealed / "deeper" / "records.db", clock=frozen(NOW))
    assert as_nobody(here.versions) == (
        f"StoreError: store expected a folder it can write, got: unable to open database file - at {sealed}; make it writable"
    )
    assert as_nobody(deeper.versions) == (
        f"StoreError: store expected a folder it can write, got: Permission denied - at {sealed / 'deeper'}; make it writable"
    )
    sealed.chmod(0o755)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_store_that_cannot_be_written_is_refused(metadata: SqliteMetadata, path: Path) -> None:
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
        SqliteMetadata(tmp_path / "store" / "records.db", clock=frozen(NOW)).versions()
    assert str(refused.value) == (
        f"store expected a folder it can write, got: File exists - at {tmp_path / 'store'}; make it writable"
    )


def test_a_lock_that_is_never_given_back_is_one_line_and_stops_no_reader(
    metadata: SqliteMetadata, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata.add_version(named("aa"))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(database, "PATIENCE_S", 0.1)
    with pytest.raises(StoreError) as refused:
        metadata.add_version(named("bb"))
    assert refused.value.line() == (
        f"StoreError: store expected to write within 0.1 s, got a lock that another process keeps - at {path};"
        " end that process, then run it again"
    )
    assert SqliteMetadata(path, clock=frozen(NOW)).versions() == [named("aa")]
    other.close()
    metadata.add_version(named("bb"))


def test_a_full_disk_leaves_the_store_as_it_was(metadata: SqliteMetadata, path: Path) -> None:
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


def test_a_record_that_does_not_read_is_named(metadata: SqliteMetadata, path: Path) -> None:
    metadata.versions()
    with sqlite3.connect(path) as other:
        other.execute("INSERT INTO versions (id, node, record) VALUES ('aa', 'eta', '{}')")
    other.close()
    with pytest.raises(StoreError) as refused:
        metadata.versions()
    assert refused.value.line() == (
        "StoreError: store expected a version, got '{}': Object missing required field `id`; put the store back from a backup"
    )


def test_a_damaged_database_is_refused_or_found_unsound(metadata: SqliteMetadata, path: Path) -> None:
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


def test_a_row_that_names_no_other_is_refused_by_the_file_itself(metadata: SqliteMetadata, path: Path) -> None:
    with pytest.raises(StoreError) as refused:
        metadata.hold(Hold("limit", "f" * 64, {}, NOW))
    what = "store expected a record that fits the others, got: FOREIGN KEY constraint failed"
    assert str(refused.value) == f"{what} - at {path}"
