"""SQLite as this store needs it: one file, many processes and threads, nothing lost by a power cut."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar
from weakref import WeakSet

from funade.errors import DiskFull, StoreError, StoreTooNew
from funade.store import disk
from funade.store.mounts import refuse_network

APPLICATION = int.from_bytes(b"funa", "big")
"""The ``application_id`` that tells our file from any other."""

SCHEMA = 1
"""The newest migration's number, kept as ``user_version``."""

PATIENCE_S = 30.0
"""How long a writer waits for the others."""

# SQLite's own waiting grows to 100 ms a try, which starves some of many writers; ours begins anew each turn.
_TURN_S = 0.05

T = TypeVar("T")


class Form(NamedTuple):
    """One kind of file: its ``application_id``, its newest schema, and the package that holds its migrations."""

    application: int
    schema: int
    package: str


RECORDS = Form(APPLICATION, SCHEMA, "funade.store.sqlite")


class Database:
    """One SQLite file in WAL mode; made, migrated and opened on first use, once per thread."""

    def __init__(self, path: Path, form: Form = RECORDS) -> None:
        self.path = path
        self._form = form
        self._local = threading.local()
        self._open: WeakSet[_Connection] = WeakSet()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Every row of one query, read at one moment; waits for no writer."""
        with _sqlite_errors(self.path):
            return _patiently(lambda: self._connection().execute(sql, values).fetchall())

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that no other writer runs beside; durable when the block ends, undone if it raises.

        Raises:
            DiskFull: no room; nothing was changed.
            StoreError: the file cannot be written, or others kept it for 30 s.
        """
        with _sqlite_errors(self.path):
            connection = self._connection()
            _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close every thread's connection; the next use opens again."""
        for opened in list(self._open):
            opened.close()
        self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        opened: _Connection | None = getattr(self._local, "opened", None)
        if opened is None or opened.process != os.getpid():
            # A connection may not cross a fork: the child opens its own and never touches its parent's.
            opened = _Connection(_open(self.path, self._form))
            self._local.opened = opened
            self._open.add(opened)
        return opened.connection


class _Connection:
    """A connection that is closed when its thread ends."""

    # A connection is held here until it is closed, so that the collector of cycles never meets an open one. Those of
    # a process this one was forked from stay: closing one would end its parent's too.
    live: ClassVar[set[sqlite3.Connection]] = set()

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.process = os.getpid()
        self.live.add(connection)

    def close(self) -> None:
        if self.process == os.getpid():
            self.connection.close()
            self.live.discard(self.connection)

    def __del__(self) -> None:
        self.close()


def _open(path: Path, form: Form) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_network(path.parent)
    deadline = time.monotonic() + PATIENCE_S
    connection = sqlite3.connect(path, timeout=_TURN_S, isolation_level=None, check_same_thread=False)
    try:
        made = _patiently(lambda: _recognise(connection, path, form), deadline)
        # Switching to WAL fails at once when two do it together, whatever the busy timeout.
        mode = _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL").fetchone()[0], deadline)
        if mode != "wal":
            raise StoreError(
                f"store expected a file system with shared memory for SQLite, got journal mode {mode}",
                at=str(path),
                do="keep the store on a local disk, or give [store] a PostgreSQL database",
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if made < form.schema:
            _migrate(connection, path, form, deadline)
    except BaseException:
        connection.close()
        raise
    return connection


def _recognise(connection: sqlite3.Connection, path: Path, form: Form) -> int:
    """The schema's number, 0 for an empty file."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application != form.application:
        # Another process may have migrated since the first PRAGMA was read.
        if connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None and not schema:
            return 0
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application != form.application:
        raise _foreign(path)
    if schema > form.schema:
        raise StoreTooNew(
            f"store expected schema {form.schema} or older, got {schema}",
            at=str(path),
            do="upgrade funade: a newer one wrote this store",
        )
    return int(schema)


def _migrate(connection: sqlite3.Connection, path: Path, form: Form, deadline: float) -> None:
    """Bring the file to the newest schema, in one transaction; one of many processes does it."""
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)
    try:
        made = _recognise(connection, path, form)
        for statement in migrations(made, form.package):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {form.application}")
        connection.execute(f"PRAGMA user_version = {form.schema}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    for folder in (path.parent, path.parent.parent):
        disk.sync(folder)


def migrations(made: int, package: str) -> Iterator[str]:
    """The statements of a package that lead from schema ``made`` to the newest, in order."""
    from importlib.resources import files  # 20 ms, for a new store only

    folder = files(package) / "migrations"
    for file in sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name):
        if int(file.name.partition("_")[0]) > made:
            yield from _statements(file.read_text(encoding="utf-8"))


def _statements(text: str) -> Iterator[str]:
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _patiently(act: Callable[[], T], deadline: float | None = None) -> T:
    """What ``act`` gives, tried again while others are in the way in one of the moments no busy timeout covers."""
    until = time.monotonic() + PATIENCE_S if deadline is None else deadline
    pause = 0.001
    while True:
        try:
            return act()
        except sqlite3.OperationalError as error:
            if not _in_the_way(error) or time.monotonic() > until:
                raise
        time.sleep(pause)
        pause = min(pause * 2, 0.01)


def _in_the_way(error: sqlite3.Error) -> bool:
    return _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"))


def _name(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "") or ""


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    """SQLite's failures and the folder's as one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise _reading(error, path) from error
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise _full(path) from error
        raise _unwritable(path, error.strerror or str(error)) from error


def _reading(error: sqlite3.Error, path: Path) -> StoreError:
    name, at = _name(error), str(path)
    if name in ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"):
        return _full(path)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return _unwritable(path, str(error))
    if name == "SQLITE_NOTADB":
        return _foreign(path)
    if name.startswith("SQLITE_CORRUPT"):
        return StoreError(f"store expected a sound database, got: {error}", at=at, do="put it back from a backup")
    if _in_the_way(error):
        return StoreError(
            f"store expected to write within {PATIENCE_S:g} s, got a lock that another process keeps",
            at=at,
            do="end that process, then run it again",
        )
    if isinstance(error, sqlite3.IntegrityError):
        return StoreError(f"store expected a record that fits the others, got: {error}", at=at)
    return StoreError(f"store expected its records to be read and written, got: {error}", at=at, do="run: funade fsck")


def _full(path: Path) -> DiskFull:
    what = "store expected room for a record, got a full disk"
    return DiskFull(what, at=str(path), do="free some room, then run it again")


def _foreign(path: Path) -> StoreError:
    return StoreError("store expected a database of funade's, got another file", at=str(path), do="move that file away")


def _unwritable(path: Path, why: str) -> StoreError:
    return StoreError(f"store expected a folder it can write, got: {why}", at=str(path.parent), do="make it writable")
