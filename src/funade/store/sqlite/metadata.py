"""The records of a store: the one module that knows its tables."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from funade import points
from funade.clock import Clock
from funade.declare.spec import wires
from funade.errors import StoreError
from funade.store import naming
from funade.store.records import Action, Build, Candidate, CheckRecord, Hold, Release, Revision, Switch, Version
from funade.store.sqlite.database import Database
from funade.store.switch_errors import candidate_moved, generation_moved, no_release

R = TypeVar("R", bound=msgspec.Struct)


class SqliteMetadata:
    """Records in one SQLite file: a ``ports.metadata.Metadata``. Nothing is opened before the first method is called.

    Any method may raise ``StoreError``: the file cannot be opened or written (``DiskFull``, ``StoreTooNew``).
    """

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        self._database = Database(path)

    def close(self) -> None:
        """Close the connections of all threads; the next use opens again."""
        self._database.close()

    # -- loads -------------------------------------------------------------------------------------

    def add_revision(self, revision: Revision) -> Revision | None:
        """The revision with its number, the next of the whole store; None if it brings the bytes there are already."""
        points.passing("load.before")
        with self._database.writing() as on:
            latest = _first(on, Revision, _LATEST_OF_PERIOD, (revision.source, revision.period))
            if latest and (latest.digest, latest.bad_digest) == (revision.digest, revision.bad_digest):
                return None
            numbered = msgspec.structs.replace(revision, sequence=_next(on, "revisions", "sequence"))
            start = _moment(numbered.start)
            _keep(
                on,
                "revisions",
                numbered,
                sequence=numbered.sequence,
                source=numbered.source,
                period=numbered.period,
                start=start,
            )
        points.passing("load.after")
        return numbered

    def revisions(self, source: str, *, up_to: int | None = None) -> list[Revision]:
        """The latest revision of each period, by number no later than ``up_to``, in order of time."""
        return self._all(Revision, _LATEST_OF_SOURCE, (source, _GREATEST if up_to is None else up_to))

    def all_revisions(self, source: str | None = None) -> list[Revision]:
        """Every revision ever loaded, of one source or of all, oldest first."""
        where, values = _where(source=source)
        return self._all(Revision, f"SELECT record FROM revisions{where} ORDER BY sequence", values)

    # -- builds ------------------------------------------------------------------------------------

    def add_version(self, version: Version, build: Build | None = None) -> Version:
        """The version of this id that the store keeps: of many that bring one, the first to commit wins."""
        points.passing("build.before")
        with self._database.writing() as on:
            first = _first(on, Version, "SELECT record FROM versions WHERE id = ?", (version.id,))
            if first is None:
                first = version
                _keep(on, "versions", first, id=first.id, node=first.node)
                on.executemany(_ADD_INPUT, [(first.id, node, needed) for node, needed in first.inputs.items()])
            if build is not None:
                _keep_build(on, msgspec.structs.replace(build, version=first.id))
        points.passing("build.after")
        return first

    def add_build(self, build: Build) -> None:
        """Keep a build that made no version."""
        points.passing("build.before")
        with self._database.writing() as on:
            _keep_build(on, build)
        points.passing("build.after")

    def builds(self, node: str | None = None) -> list[Build]:
        """Every build of a node, or of all, oldest first."""
        where, values = _where(node=node)
        return self._all(Build, f"SELECT record FROM builds{where} ORDER BY number", values)

    def version(self, id: str) -> Version | None:
        """The version with this whole id."""
        return self._one(Version, "SELECT record FROM versions WHERE id = ?", (id,))

    def versions(self, node: str | None = None) -> list[Version]:
        """The versions of a node, or all; newest last."""
        where, values = _where(node=node)
        return self._all(Version, f"SELECT record FROM versions{where} ORDER BY number", values)

    def has_versions(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that exist, in one query."""
        wanted = msgspec.json.encode(list(ids)).decode()
        rows = self._database.rows("SELECT id FROM versions WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
        return {id for (id,) in rows}

    def find(self, text: str) -> Version:
        """The one version that ``node@3f9c2e`` or a bare prefix of at least four hex digits means."""
        node, digits = naming.parse(text)
        where, values = _where(node=node or None)
        named = f"SELECT node, id, number FROM versions{where}"
        span = (*values, digits, digits + "g")  # "g" sorts right behind every hex digit
        fits = self._database.rows(f"SELECT node, id FROM ({named}) WHERE id >= ? AND id < ? ORDER BY number", span)
        if not fits:
            nodes = self._database.rows("SELECT DISTINCT node FROM versions ORDER BY node")
            newest = self._database.rows(f"SELECT node, id FROM ({named}) ORDER BY number DESC LIMIT 3", values)
            raise naming.unknown(text, node, [name for (name,) in nodes], newest)
        if len(fits) > 1:
            raise naming.ambiguous(text, fits)
        ((_, id),) = fits
        return self._all(Version, "SELECT record FROM versions WHERE id = ?", (id,))[0]

    # -- checks ------------------------------------------------------------------------------------

    def add_checked(self, checked: CheckRecord) -> None:
        """Keep the checks of a version; a second result under the same policies changes nothing."""
        points.passing("check.before")
        with self._database.writing() as on:
            if _first(on, CheckRecord, _CHECKED, (checked.version, checked.policies)) is None:
                _keep(on, "checks", checked, version=checked.version, policies=checked.policies)
        points.passing("check.after")

    def checked(self, version: str, policies: str) -> CheckRecord | None:
        """The checks of a version under the policies of this digest."""
        return self._one(CheckRecord, _CHECKED, (version, policies))

    def checks_of(self, version: str | None = None) -> list[CheckRecord]:
        """Every check of a version, or of all, oldest first."""
        where, values = _where(version=version)
        return self._all(CheckRecord, f"SELECT record FROM checks{where} ORDER BY number", values)

    # -- staging -----------------------------------------------------------------------------------

    def hold(self, hold: Hold) -> None:
        """Begin a hold; the one that its node had ends."""
        points.passing("hold.before")
        with self._database.writing() as on:
            on.execute("DELETE FROM holds WHERE node = ?", (hold.node,))
            _keep(on, "holds", hold, node=hold.node, version=hold.version)
        points.passing("hold.after")

    def unhold(self, node: str) -> bool:
        """Whether the node was held; it is not any more."""
        points.passing("hold.before")
        with self._database.writing() as on:
            ended = on.execute("DELETE FROM holds WHERE node = ?", (node,)).rowcount > 0
        points.passing("hold.after")
        return ended

    def holds(self) -> dict[str, Hold]:
        """Node → its hold."""
        return {hold.node: hold for hold in self._all(Hold, "SELECT record FROM holds ORDER BY node")}

    def add_candidate(self, candidate: Candidate) -> Candidate:
        """The candidate of this id that the store keeps, which is now the latest."""
        points.passing("stage.before")
        with self._database.writing() as on:
            first = _first(on, Candidate, "SELECT record FROM candidates WHERE id = ?", (candidate.id,))
            if first is None:
                before = _first(on, Candidate, "SELECT record FROM candidates ORDER BY number DESC LIMIT 1")
                numbered = wires(candidate.specs, before.wires if before else {})
                first = msgspec.structs.replace(candidate, wires=numbered)
                _keep(on, "candidates", first, id=first.id)
            if _staged(on) != first.id:
                on.execute("INSERT INTO stagings (candidate) VALUES (?)", (first.id,))
        points.passing("stage.after")
        return first

    def latest_candidate(self) -> Candidate | None:
        """The candidate staged last."""
        return self._one(Candidate, f"SELECT record FROM candidates WHERE id = ({_STAGED})")

    def candidate(self, id: str) -> Candidate | None:
        """The candidate with this whole id."""
        return self._one(Candidate, "SELECT record FROM candidates WHERE id = ?", (id,))

    def candidates(self) -> list[Candidate]:
        """Every candidate, in the order they were first staged."""
        return self._all(Candidate, "SELECT record FROM candidates ORDER BY number")

    # -- releases ----------------------------------------------------------------------------------

    def current(self) -> Switch | None:
        """The last switch: ``after`` is the release that answers now."""
        return self._one(Switch, _CURRENT)

    def current_release(self) -> Release | None:
        """The release that answers now; None before the first."""
        switch = self.current()
        return self.release(switch.after) if switch else None

    def release(self, number: int) -> Release | None:
        """The release of this number."""
        return self._one(Release, "SELECT record FROM releases WHERE number = ?", (number,))

    def releases(self) -> list[Release]:
        """Every release, by number."""
        return self._all(Release, "SELECT record FROM releases ORDER BY number")

    def switches(self) -> list[Switch]:
        """The audit: every switch, by generation."""
        return self._all(Switch, "SELECT record FROM switches ORDER BY generation")

    def release_and_switch(
        self,
        release: Release,
        *,
        expected_generation: int,
        expected_candidate: str,
        ended_holds: Iterable[str],
        who: str,
        because: str,
    ) -> Switch:
        """Number the release, keep it, answer with it from now on and end the holds it ships."""

        def keep(on: sqlite3.Connection) -> int:
            staged = _staged(on)
            if staged != expected_candidate:
                raise candidate_moved(expected_candidate, staged)
            numbered = msgspec.structs.replace(release, number=_next(on, "releases", "number"))
            _keep(on, "releases", numbered, number=numbered.number, candidate=numbered.candidate)
            shipped = [(node, numbered.pins.get(node, "")) for node in ended_holds]
            on.executemany("DELETE FROM holds WHERE node = ? AND version = ?", shipped)
            return numbered.number

        return self._switch(keep, expected_generation, "release", who, because)

    def switch_to(self, number: int, *, expected_generation: int, who: str, because: str) -> Switch:
        """Answer with an earlier release from now on."""

        def keep(on: sqlite3.Connection) -> int:
            if on.execute("SELECT 1 FROM releases WHERE number = ?", (number,)).fetchone() is None:
                raise no_release(number)
            return number

        return self._switch(keep, expected_generation, "rollback", who, because)

    def _switch(
        self, keep: Callable[[sqlite3.Connection], int], expected: int, action: Action, who: str, because: str
    ) -> Switch:
        """The compare-and-swap: ``keep`` gives the release to switch to, on the generation that was looked at."""
        points.passing("release.before")
        with self._database.writing() as on:
            now = _first(on, Switch, _CURRENT)
            generation, before = (now.generation, now.after) if now else (0, None)
            if generation != expected:
                raise generation_moved(expected, now, action)
            after = keep(on)
            made = Switch(generation + 1, before, after, action, self._clock(), who, because)
            _keep(on, "switches", made, generation=made.generation, release=after)
            points.passing("release.inside")
        points.passing("release.after")
        return made

    # -- soundness ---------------------------------------------------------------------------------

    def unsound(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty when it is sound."""
        lines = [str(line) for (line,) in self._database.rows("PRAGMA integrity_check") if line != "ok"]
        broken = self._database.rows("PRAGMA foreign_key_check")
        return lines + [f"a row of {table} names a row of {other} that is not there" for table, _, other, _ in broken]

    def _all(self, kind: type[R], sql: str, values: Sequence[object] = ()) -> list[R]:
        return [_record(kind, text) for (text,) in self._database.rows(sql, values)]

    def _one(self, kind: type[R], sql: str, values: Sequence[object] = ()) -> R | None:
        return next(iter(self._all(kind, sql, values)), None)


_GREATEST = 2**63 - 1
_LATEST_OF_PERIOD = "SELECT record FROM revisions WHERE source = ? AND period = ? ORDER BY sequence DESC LIMIT 1"
_LATEST_OF_SOURCE = (
    "SELECT record FROM revisions WHERE sequence IN"
    " (SELECT max(sequence) FROM revisions WHERE source = ? AND sequence <= ? GROUP BY period) ORDER BY start, sequence"
)
_ADD_INPUT = "INSERT INTO inputs (version, node, input) VALUES (?, ?, ?)"
_CHECKED = "SELECT record FROM checks WHERE version = ? AND policies = ?"
_STAGED = "SELECT candidate FROM stagings ORDER BY number DESC LIMIT 1"
_CURRENT = "SELECT record FROM switches ORDER BY generation DESC LIMIT 1"


def _first(on: sqlite3.Connection, kind: type[R], sql: str, values: Sequence[object] = ()) -> R | None:
    row = on.execute(sql, values).fetchone()
    return _record(kind, row[0]) if row else None


def _keep(on: sqlite3.Connection, table: str, record: msgspec.Struct, **columns: str | int) -> None:
    """One row: the record as JSON beside the columns it is looked up by."""
    marks = ", ".join("?" for _ in columns)
    text = msgspec.json.encode(record).decode()
    on.execute(f"INSERT INTO {table} ({', '.join(columns)}, record) VALUES ({marks}, ?)", (*columns.values(), text))


def _keep_build(on: sqlite3.Connection, build: Build) -> None:
    _keep(on, "builds", build, id=build.id, node=build.node, version=build.version)


def _staged(on: sqlite3.Connection) -> str:
    row = on.execute(_STAGED).fetchone()
    return str(row[0]) if row else ""


def _next(on: sqlite3.Connection, table: str, column: str) -> int:
    return int(on.execute(f"SELECT max({column}) FROM {table}").fetchone()[0] or 0) + 1


def _where(**columns: str | None) -> tuple[str, list[str]]:
    asked = {column: value for column, value in columns.items() if value is not None}
    return " WHERE " + " AND ".join(f"{column} = ?" for column in asked) if asked else "", list(asked.values())


def _record(kind: type[R], text: str) -> R:
    try:
        record: R = _decoder(kind).decode(text)
    except msgspec.DecodeError as error:
        what = f"store expected a {kind.__name__.lower()}, got {text[:60]!r}: {error}"
        raise StoreError(what, do="put the store back from a backup") from error
    return record


@functools.cache
def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _moment(moment: datetime) -> str:
    """Text that sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
