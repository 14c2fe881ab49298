"""The records of a store, in SQLite: the one module that knows SQL."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from funade import points
from funade.clock import Clock
from funade.errors import DiskFull, StoreError, StoreTooNew, SwitchLost, UnknownVersion, closest
from funade.store.records import Build, Candidate, Checked, Hold, Release, Revision, Switch, Version

T = TypeVar("T")

APPLICATION = 0x66756E61  # "funa"
BUSY_S = 30.0


class Metadata:
    """What a store remembers. Opened on first use; one connection a thread.

    Args:
        path: the SQLite file.
        clock: gives the time of switches.
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._local = threading.local()

    # -- loads ---------------------------------------------------------------------------------

    def add_revision(self, revision: Revision) -> Revision | None:
        """Keep a load of a period; None when its rows are those kept last."""
        with self._writing("load") as db:
            last = db.execute(
                "SELECT digest, bad_digest FROM revisions WHERE source = ? AND period = ? ORDER BY sequence DESC LIMIT 1",
                (revision.source, revision.period),
            ).fetchone()
            if last == (revision.digest, revision.bad_digest):
                return None
            values = (revision.source, revision.period, revision.start.isoformat(), revision.digest, revision.bad_digest, _text(revision))
            cursor = db.execute(
                "INSERT INTO revisions (source, period, start, digest, bad_digest, record) VALUES (?, ?, ?, ?, ?, ?)", values
            )
            return msgspec.structs.replace(revision, sequence=cursor.lastrowid or 0)

    def revisions(self, source: str, *, up_to: int | None = None) -> list[Revision]:
        """Each period's last revision not after ``up_to``, in order of time."""
        rows = self._read(
            "SELECT max(sequence), record FROM revisions WHERE source = ? AND sequence <= ? GROUP BY period ORDER BY start",
            (source, 2**62 if up_to is None else up_to),
        )
        return [_revision(*row) for row in rows]

    def all_revisions(self, source: str | None = None) -> list[Revision]:
        """Every revision ever loaded, in order of loading."""
        rows = self._read("SELECT sequence, record FROM revisions WHERE ? IS NULL OR source = ? ORDER BY sequence", (source, source))
        return [_revision(*row) for row in rows]

    # -- versions ------------------------------------------------------------------------------

    def add_version(self, version: Version, build: Build | None = None) -> Version:
        """Keep a version with its build; the first to commit wins, who comes later gets the one kept."""
        with self._writing("build") as db:
            there = db.execute("SELECT record FROM versions WHERE id = ?", (version.id,)).fetchone()
            if there:
                return _of(Version, there[0])
            db.execute("INSERT INTO versions (id, node, record) VALUES (?, ?, ?)", (version.id, version.node, _text(version)))
            db.executemany("INSERT INTO inputs VALUES (?, ?, ?)", [(version.id, n, v) for n, v in version.inputs.items()])
            if build is not None:
                _insert_build(db, build)
            return version

    def add_build(self, build: Build) -> None:
        """Keep a build that made no version."""
        with self._writing("build") as db:
            _insert_build(db, build)

    def builds(self, node: str | None = None, version: str | None = None) -> list[Build]:
        """Builds of a node or version, oldest first."""
        rows = self._read(
            "SELECT record FROM builds WHERE (?1 IS NULL OR node = ?1) AND (?2 IS NULL OR version = ?2) ORDER BY number", (node, version)
        )
        return [_of(Build, row[0]) for row in rows]

    def version(self, version: str) -> Version | None:
        """The version with this whole id."""
        return self._one(Version, "SELECT record FROM versions WHERE id = ?", (version,))

    def versions(self, node: str | None = None) -> list[Version]:
        """The versions of a node, newest last."""
        rows = self._read("SELECT record FROM versions WHERE ?1 IS NULL OR node = ?1 ORDER BY number", (node,))
        return [_of(Version, row[0]) for row in rows]

    def has_versions(self, versions: Iterable[str]) -> set[str]:
        """Those of the ids that are there."""
        rows = self._read("SELECT id FROM versions WHERE id IN (SELECT value FROM json_each(?))", (_json(list(versions)),))
        return {row[0] for row in rows}

    def dependants(self, version: str) -> list[tuple[str, str]]:
        """(node, version id) of whatever was built directly from the version."""
        rows = self._read(
            "SELECT v.node, v.id FROM inputs i JOIN versions v ON v.id = i.version WHERE i.input = ? ORDER BY v.number", (version,)
        )
        return [(row[0], row[1]) for row in rows]

    def find(self, text: str) -> Version:
        """The version that ``node@abc123`` or a bare prefix of at least four digits names.

        Raises:
            UnknownVersion: none, or more than one.
        """
        node, _, prefix = text.rpartition("@")
        if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
            raise UnknownVersion(f"version expected like eta@3f9c2e, got {text!r}", do=self._guess(node or text))
        rows = self._read(
            "SELECT record FROM versions WHERE substr(id, 1, ?1) = ?2 AND (?3 = '' OR node = ?3) ORDER BY number", (len(prefix), prefix, node)
        )
        found = [_of(Version, row[0]) for row in rows]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UnknownVersion(f"store expected a version {text}, got none", do=self._guess(node))
        named = " and ".join(f"{v.node}@{v.id[: len(prefix) + 4]}" for v in found[:2])
        raise UnknownVersion(f"version {text} expected to fit one, got {len(found)}: {named}", do="write more digits")

    def _guess(self, node: str) -> str:
        names = [row[0] for row in self._read("SELECT DISTINCT node FROM versions", ())]
        if node and node not in names:
            return closest(node, names)
        newest = [f"{v.node}@{v.id[:6]}" for v in self.versions(node or None)[-3:]]
        return f"the newest: {', '.join(newest)}" if newest else "run: funade build"

    # -- checks --------------------------------------------------------------------------------

    def add_checked(self, checked: Checked) -> None:
        """Keep what the data checks of a version found; made again they find the same."""
        with self._writing("check") as db:
            db.execute("INSERT OR IGNORE INTO checks VALUES (?, ?, ?)", (checked.version, checked.policies, _text(checked)))

    def checked(self, version: str, policies: str) -> Checked | None:
        """What the checks of that digest found in a version."""
        return self._one(Checked, "SELECT record FROM checks WHERE version = ? AND policies = ?", (version, policies))

    def checks_of(self, version: str | None = None) -> list[Checked]:
        """Everything that checks found in a version (or in all)."""
        return [_of(Checked, row[0]) for row in self._read("SELECT record FROM checks WHERE ?1 IS NULL OR version = ?1", (version,))]

    # -- holds and candidates --------------------------------------------------------------------

    def hold(self, holds: Iterable[Hold], *, replace: set[str]) -> None:
        """Set holds; those of the nodes in ``replace`` end."""
        with self._writing("hold") as db:
            db.executemany("DELETE FROM holds WHERE node = ?", [(node,) for node in replace])
            db.executemany("INSERT INTO holds VALUES (?, ?)", [(hold.node, _text(hold)) for hold in holds])

    def unhold(self, node: str) -> bool:
        """End a hold; False when there was none."""
        with self._writing("hold") as db:
            return db.execute("DELETE FROM holds WHERE node = ?", (node,)).rowcount > 0

    def holds(self) -> dict[str, Hold]:
        """Node → its hold."""
        return {row[0]: _of(Hold, row[1]) for row in self._read("SELECT node, record FROM holds ORDER BY node", ())}

    def add_candidate(self, candidate: Candidate) -> Candidate:
        """Stage a candidate: it is the latest now, also when it was staged before."""
        with self._writing("stage") as db:
            db.execute("INSERT OR IGNORE INTO candidates VALUES (?, ?)", (candidate.id, _text(candidate)))
            db.execute("INSERT INTO stagings (candidate) VALUES (?)", (candidate.id,))
            return _of(Candidate, db.execute("SELECT record FROM candidates WHERE id = ?", (candidate.id,)).fetchone()[0])

    def latest_candidate(self) -> Candidate | None:
        """The candidate staged last."""
        return self._one(Candidate, _LATEST, ())

    def candidate(self, candidate: str) -> Candidate | None:
        """The candidate with this id."""
        return self._one(Candidate, "SELECT record FROM candidates WHERE id = ?", (candidate,))

    def candidates(self) -> list[Candidate]:
        """Every candidate."""
        return [_of(Candidate, row[0]) for row in self._read("SELECT record FROM candidates", ())]

    # -- releases ------------------------------------------------------------------------------

    def current(self) -> Switch | None:
        """The last switch: its ``after`` is the current release."""
        return self._one(Switch, "SELECT record FROM switches ORDER BY generation DESC LIMIT 1", ())

    def release(self, number: int | None) -> Release | None:
        """The release with this number."""
        return self._one(Release, "SELECT record FROM releases WHERE number = ?", (number,))

    def releases(self) -> list[Release]:
        """Every release, in order."""
        return [_of(Release, row[0]) for row in self._read("SELECT record FROM releases ORDER BY number", ())]

    def switches(self) -> list[Switch]:
        """Every switch, in order."""
        return [_of(Switch, row[0]) for row in self._read("SELECT record FROM switches ORDER BY generation", ())]

    def release_and_switch(
        self, release: Release, *, expected_generation: int, expected_candidate: str, ended_holds: set[str], who: str, because: str
    ) -> Switch:
        """Number and keep a release, switch to it and end holds, in one transaction.

        Raises:
            SwitchLost: the current release or the latest candidate is not the one expected; nothing changed.
        """
        with self._writing("release") as db:
            latest = db.execute(_LATEST).fetchone()
            staged = _of(Candidate, latest[0]).id if latest else ""
            if staged != expected_candidate:
                raise SwitchLost(
                    f"release expected candidate {expected_candidate[:6]}, got {staged[:6] or 'none'} staged meanwhile", do="run: funade release"
                )
            before = _expect(db, expected_generation)
            number = db.execute("SELECT coalesce(max(number), 0) + 1 FROM releases").fetchone()[0]
            numbered = msgspec.structs.replace(release, number=number)
            db.execute("INSERT INTO releases VALUES (?, ?, ?)", (number, release.candidate, _text(numbered)))
            made = Switch(expected_generation + 1, before, number, "release", self._clock(), who, because)
            _insert_switch(db, made)
            db.executemany("DELETE FROM holds WHERE node = ?", [(node,) for node in ended_holds])
            points.passing("release.inside")
            return made

    def switch_to(
        self, number: int, *, expected_generation: int, action: Literal["release", "rollback"] = "rollback", who: str, because: str
    ) -> Switch:
        """Switch to a release that exists.

        Raises:
            SwitchLost: the current release is not the one expected; nothing changed.
        """
        with self._writing("release") as db:
            before = _expect(db, expected_generation)
            made = Switch(expected_generation + 1, before, number, action, self._clock(), who, because)
            _insert_switch(db, made)
            points.passing("release.inside")
            return made

    # -- SQLite --------------------------------------------------------------------------------

    def integrity(self) -> list[str]:
        """What SQLite itself finds damaged; empty when nothing."""
        rows = [row[0] for row in self._read("PRAGMA integrity_check", ())]
        return [] if rows == ["ok"] else rows

    def _one(self, kind: type[T], query: str, values: tuple[Any, ...]) -> T | None:
        rows = self._read(query, values)
        return _of(kind, rows[0][0]) if rows else None

    def _read(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with _plain_errors(self.path):
            return self._connection().execute(query, values).fetchall()

    @contextlib.contextmanager
    def _writing(self, point: str) -> Iterator[sqlite3.Connection]:
        """One write transaction: all of it or nothing, on disk when it returns."""
        with _plain_errors(self.path):
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                points.passing(f"{point}.before")
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            points.passing(f"{point}.after")

    def _connection(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = self._opened()
        return db

    def _opened(self) -> sqlite3.Connection:
        _refuse_network(self.path.parent)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"store expected a folder to write to, got {error.strerror}", at=str(self.path.parent)) from error
        db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
        db.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        self._migrate(db)
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        newest = max(self._migrations)
        version = self._checked_version(db, newest)
        if version == newest:
            return
        # Two processes that change the journal at once are refused without waiting.
        for attempt in range(200):
            try:
                db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if attempt == 199:
                    raise
                time.sleep(0.02)
        db.execute("BEGIN IMMEDIATE")
        try:
            for number in range(self._checked_version(db, newest) + 1, newest + 1):
                for statement in _statements(self._migrations[number]):
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute(f"PRAGMA user_version = {newest}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def _checked_version(self, db: sqlite3.Connection, newest: int) -> int:
        ours = db.execute("PRAGMA application_id").fetchone()[0]
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if ours != APPLICATION and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError("store expected funade's records, got another program's database", at=str(self.path), do="name another [store] path")
        if version > newest:
            raise StoreTooNew(
                f"store expected format {newest} or older, got {version}", at=str(self.path), do="install the funade that wrote it, or a newer one"
            )
        return version

    @cached_property
    def _migrations(self) -> dict[int, str]:
        folder = files("funade.store") / "migrations"
        return {int(f.name[:4]): f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".sql")}


_LATEST = "SELECT c.record FROM stagings s JOIN candidates c ON c.id = s.candidate ORDER BY s.number DESC LIMIT 1"


def _insert_build(db: sqlite3.Connection, build: Build) -> None:
    db.execute("INSERT INTO builds (id, node, version, record) VALUES (?, ?, ?, ?)", (build.id, build.node, build.version, _text(build)))


def _insert_switch(db: sqlite3.Connection, switch: Switch) -> None:
    db.execute("INSERT INTO switches VALUES (?, ?, ?)", (switch.generation, switch.after, _text(switch)))


def _expect(db: sqlite3.Connection, generation: int) -> int | None:
    row = db.execute("SELECT generation, release FROM switches ORDER BY generation DESC LIMIT 1").fetchone()
    now = row[0] if row else 0
    if now != generation:
        raise SwitchLost(f"release expected generation {generation}, got {now} (release {row[1]}) meanwhile", do="run the command again")
    return row[1] if row else None


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _text(record: msgspec.Struct) -> str:
    return msgspec.json.encode(record).decode()


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _of(kind: type[T], text: str) -> T:
    return msgspec.json.decode(text, type=kind)


def _revision(sequence: int, text: str) -> Revision:
    return msgspec.structs.replace(_of(Revision, text), sequence=sequence)


def _refuse_network(folder: Path) -> None:
    """SQLite's locks do not hold on network file systems."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return
    place = folder.resolve()
    over = [(len(where), kind) for where, kind in mounts if place.is_relative_to(where.replace("\\040", " "))]
    kind = max(over, default=(0, ""))[1]
    if kind in ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "glusterfs", "ceph", "lustre"):
        raise StoreError(f"store expected a local file system, got {kind}", at=str(folder), do="keep records in PostgreSQL, or the store on a local disk")


@contextlib.contextmanager
def _plain_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise DiskFull("store expected room to write, got a full disk", at=str(path), do="make room and run the command again") from error
        if "not a database" in text or "malformed" in text:
            raise StoreError("store expected funade's records, got a file that is not SQLite or is damaged", at=str(path)) from error
        if "readonly" in text or "unable to open" in text:
            raise StoreError("store expected a folder to write to, got one that is read-only", at=str(path.parent)) from error
        raise StoreError(f"store expected to be read and written, got: {text}", at=str(path)) from error
