"""The records a store remembers: the one module that knows SQL."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from funade import points
from funade.clock import Clock
from funade.digest import SHORT
from funade.errors import Misuse, RollbackRefused, StoreError, SwitchLost, UnknownVersion, closest
from funade.store.records import Build, Candidate, Checked, Hold, Release, Revision, Switch, Version
from funade.store.sqlite import Database

R = TypeVar("R", bound=msgspec.Struct)

_LEAST = 4
"""Hex digits that may name a version."""


class Metadata:
    """Records in one SQLite file. Each method is one transaction; nothing is opened before the first.

    Every method may raise ``StoreError`` (the file cannot be opened or written; ``DiskFull``, ``StoreTooNew``).
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
            latest = _first(
                Revision,
                on,
                "SELECT record FROM revisions WHERE source = ? AND period = ? ORDER BY sequence DESC LIMIT 1",
                (revision.source, revision.period),
            )
            if latest and (latest.digest, latest.bad_digest) == (revision.digest, revision.bad_digest):
                return None
            kept = msgspec.structs.replace(revision, sequence=_next(on, "revisions", "sequence"))
            on.execute(
                "INSERT INTO revisions (sequence, source, period, start, record) VALUES (?, ?, ?, ?, ?)",
                (kept.sequence, kept.source, kept.period, _moment(kept.start), _text(kept)),
            )
        points.passing("load.after")
        return kept

    def revisions(self, source: str, *, up_to: int | None = None) -> list[Revision]:
        """The latest revision of each period, by number no later than ``up_to``, in order of time."""
        return self._all(
            Revision,
            "SELECT record FROM revisions WHERE sequence IN"
            " (SELECT max(sequence) FROM revisions WHERE source = ? AND sequence <= ? GROUP BY period)"
            " ORDER BY start, sequence",
            (source, 2**63 - 1 if up_to is None else up_to),
        )

    def all_revisions(self, source: str | None = None) -> list[Revision]:
        """Every revision ever loaded, of one source or of all, oldest first."""
        where, values = _where(source=source)
        return self._all(Revision, f"SELECT record FROM revisions{where} ORDER BY sequence", values)

    def last_sequence(self, source: str) -> int:
        """The number of a source's newest revision, 0 where nothing is loaded."""
        ((found,),) = self._database.rows(
            "SELECT coalesce(max(sequence), 0) FROM revisions WHERE source = ?", (source,)
        )
        return int(found)

    def last_revision_per_source(self) -> dict[str, int]:
        """Source → number of its newest revision."""
        return dict(self._database.rows("SELECT source, max(sequence) FROM revisions GROUP BY source"))

    # -- builds ------------------------------------------------------------------------------------

    def add_version(self, version: Version, build: Build | None = None) -> Version:
        """The version of this id that the store keeps: of many that bring one, the first to commit wins.

        The build that made it is kept with it, and so is the build of one that came second.
        """
        points.passing("build.before")
        with self._database.writing() as on:
            kept = _first(Version, on, "SELECT record FROM versions WHERE id = ?", (version.id,))
            if kept is None:
                kept = version
                on.execute(
                    "INSERT INTO versions (id, node, record) VALUES (?, ?, ?)", (kept.id, kept.node, _text(kept))
                )
                on.executemany(
                    "INSERT INTO inputs (version, node, input) VALUES (?, ?, ?)",
                    [(kept.id, node, needed) for node, needed in kept.inputs.items()],
                )
            if build is not None:
                _insert_build(on, msgspec.structs.replace(build, version=kept.id))
        points.passing("build.after")
        return kept

    def add_build(self, build: Build) -> None:
        """Keep a build that made no version."""
        points.passing("build.before")
        with self._database.writing() as on:
            _insert_build(on, build)
        points.passing("build.after")

    def builds(self, node: str | None = None, *, version: str | None = None) -> list[Build]:
        """The builds of a node, of a version, or all; in the order they ended."""
        where, values = _where(node=node, version=version)
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
        found = self._database.rows("SELECT id FROM versions WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
        return {id for (id,) in found}

    def find(self, text: str) -> Version:
        """The one version that ``node@3f9c2e`` or a bare prefix of at least four hex digits means.

        Raises:
            Misuse: the text is no such name, or fits several versions.
            UnknownVersion: it fits none.
        """
        node, _, digits = text.rpartition("@")
        digits = digits.lower()
        if len(digits) < _LEAST or digits.strip("0123456789abcdef"):
            raise Misuse(
                f"version expected node@ and at least {_LEAST} hex digits, got `{text}`",
                do="see them: funade compare NODE",
            )
        found = self._database.rows(
            "SELECT node, id FROM versions WHERE id >= ? AND id < ? AND (node = ? OR ? = '') ORDER BY number",
            (digits, digits + "g", node, node),
        )
        if not found:
            raise self._unknown(text, node)
        if len(found) > 1:
            raise _ambiguous(text, [f"{name}@{id}" for name, id in found])
        version = self.version(found[0][1])
        assert version is not None  # versions are only ever added
        return version

    def _unknown(self, text: str, node: str) -> UnknownVersion:
        nodes = [name for (name,) in self._database.rows("SELECT DISTINCT node FROM versions ORDER BY node")]
        if node and node not in nodes:
            return UnknownVersion(
                f"version `{text}` expected a node with versions, got none named `{node}`", do=closest(node, nodes)
            )
        where, values = _where(node=node or None)
        newest = self._database.rows(f"SELECT node, id FROM versions{where} ORDER BY number DESC LIMIT 3", values)
        names = ", ".join(f"{name}@{id[:SHORT]}" for name, id in newest)
        return UnknownVersion(
            f"version `{text}` expected a version of that id, got none", do=f"the newest are {names}" if names else ""
        )

    def dependants(self, id: str) -> list[tuple[str, str]]:
        """(node, id) of every version built directly from this one, oldest first."""
        return self._database.rows(
            "SELECT v.node, v.id FROM inputs i JOIN versions v ON v.id = i.version WHERE i.input = ? ORDER BY v.number",
            (id,),
        )

    # -- checks ------------------------------------------------------------------------------------

    def add_checked(self, checked: Checked) -> None:
        """Keep the checks of a version; a second result under the same policies changes nothing."""
        points.passing("check.before")
        with self._database.writing() as on:
            on.execute(
                "INSERT INTO checks (version, policies, record) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (checked.version, checked.policies, _text(checked)),
            )
        points.passing("check.after")

    def checked(self, version: str, policies: str) -> Checked | None:
        """The checks of a version under the policies of this digest."""
        return self._one(Checked, "SELECT record FROM checks WHERE version = ? AND policies = ?", (version, policies))

    def checks_of(self, version: str | None = None) -> list[Checked]:
        """Every check of a version, or of all, oldest first."""
        where, values = _where(version=version)
        return self._all(Checked, f"SELECT record FROM checks{where} ORDER BY number", values)

    # -- staging -----------------------------------------------------------------------------------

    def hold(self, holds: Sequence[Hold], *, replace: Iterable[str]) -> None:
        """End the holds of the nodes in ``replace`` and begin these, all at once; a newer hold ends an older."""
        points.passing("hold.before")
        with self._database.writing() as on:
            on.executemany(
                "DELETE FROM holds WHERE node = ?", [(node,) for node in [*replace, *(h.node for h in holds)]]
            )
            on.executemany(
                "INSERT INTO holds (node, version, record) VALUES (?, ?, ?)",
                [(h.node, h.version, _text(h)) for h in holds],
            )
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
            kept = _first(Candidate, on, "SELECT record FROM candidates WHERE id = ?", (candidate.id,))
            if kept is None:
                kept = candidate
                on.execute("INSERT INTO candidates (id, record) VALUES (?, ?)", (kept.id, _text(kept)))
            if _latest(on) != kept.id:
                on.execute("INSERT INTO stagings (candidate) VALUES (?)", (kept.id,))
        points.passing("stage.after")
        return kept

    def latest_candidate(self) -> Candidate | None:
        """The candidate staged last."""
        return self._one(
            Candidate,
            "SELECT c.record FROM stagings s JOIN candidates c ON c.id = s.candidate ORDER BY s.number DESC LIMIT 1",
        )

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
        """Number the release, keep it, answer with it from now on and end the holds it ships, in one transaction.

        A hold that names another version by now stays.

        Raises:
            SwitchLost: a switch or a candidate came between; nothing changed.
        """

        def change(on: sqlite3.Connection, now: Switch | None) -> Switch:
            latest = _latest(on)
            if latest != expected_candidate:
                raise SwitchLost(
                    f"release expected candidate `{expected_candidate[:SHORT]}` to be the latest, got `{latest[:SHORT]}`",
                    do="run: funade release",
                )
            kept = msgspec.structs.replace(release, number=_next(on, "releases", "number"))
            on.execute(
                "INSERT INTO releases (number, candidate, record) VALUES (?, ?, ?)",
                (kept.number, kept.candidate, _text(kept)),
            )
            on.executemany(
                "DELETE FROM holds WHERE node = ? AND version = ?",
                [(node, kept.pins.get(node, "")) for node in ended_holds],
            )
            return self._row(now, kept.number, "release", who, because)

        return self._switch(expected_generation, "release", change)

    def switch_to(
        self,
        number: int,
        *,
        expected_generation: int,
        action: Literal["release", "rollback"] = "rollback",
        who: str,
        because: str,
    ) -> Switch:
        """Answer with an earlier release from now on.

        Raises:
            RollbackRefused: there is no such release.
            SwitchLost: a switch came between; nothing changed.
        """

        def change(on: sqlite3.Connection, now: Switch | None) -> Switch:
            if on.execute("SELECT 1 FROM releases WHERE number = ?", (number,)).fetchone() is None:
                raise RollbackRefused(f"{action} expected a release, got {number}", do="see them: funade releases")
            return self._row(now, number, action, who, because)

        return self._switch(expected_generation, action, change)

    def _switch(
        self, expected: int, action: str, change: Callable[[sqlite3.Connection, Switch | None], Switch]
    ) -> Switch:
        """The compare-and-swap: ``change`` only happens on the generation that was looked at."""
        points.passing("release.before")
        with self._database.writing() as on:
            now = _first(Switch, on, _CURRENT)
            if (now.generation if now else 0) != expected:
                raise _lost(expected, now, action)
            made = change(on, now)
            on.execute(
                "INSERT INTO switches (generation, release, record) VALUES (?, ?, ?)",
                (made.generation, made.after, _text(made)),
            )
            points.passing("release.inside")
        points.passing("release.after")
        return made

    def _row(
        self, now: Switch | None, after: int, action: Literal["release", "rollback"], who: str, because: str
    ) -> Switch:
        return Switch(
            generation=now.generation + 1 if now else 1,
            before=now.after if now else None,
            after=after,
            action=action,
            at=self._clock(),
            who=who,
            because=because,
        )

    # -- soundness ---------------------------------------------------------------------------------

    def unsound(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty when it is sound."""
        found = [str(line) for (line,) in self._database.rows("PRAGMA integrity_check") if line != "ok"]
        broken = self._database.rows("PRAGMA foreign_key_check")
        return found + [f"a row of {table} names a row of {other} that is not there" for table, _, other, _ in broken]

    def _all(self, kind: type[R], sql: str, values: Sequence[object] = ()) -> list[R]:
        return [_record(kind, text) for (text,) in self._database.rows(sql, values)]

    def _one(self, kind: type[R], sql: str, values: Sequence[object] = ()) -> R | None:
        found = self._all(kind, sql, values)
        return found[0] if found else None


_CURRENT = "SELECT record FROM switches ORDER BY generation DESC LIMIT 1"


def _first(kind: type[R], on: sqlite3.Connection, sql: str, values: Sequence[object] = ()) -> R | None:
    row = on.execute(sql, values).fetchone()
    return _record(kind, row[0]) if row else None


def _insert_build(on: sqlite3.Connection, build: Build) -> None:
    on.execute(
        "INSERT INTO builds (id, node, version, record) VALUES (?, ?, ?, ?)",
        (build.id, build.node, build.version, _text(build)),
    )


def _latest(on: sqlite3.Connection) -> str:
    row = on.execute("SELECT candidate FROM stagings ORDER BY number DESC LIMIT 1").fetchone()
    return str(row[0]) if row else ""


def _next(on: sqlite3.Connection, table: str, column: str) -> int:
    return int(on.execute(f"SELECT coalesce(max({column}), 0) + 1 FROM {table}").fetchone()[0])


def _where(**columns: str | None) -> tuple[str, list[str]]:
    asked = {column: value for column, value in columns.items() if value is not None}
    return " WHERE " + " AND ".join(f"{c} = ?" for c in asked) if asked else "", list(asked.values())


def _text(record: msgspec.Struct) -> str:
    return msgspec.json.encode(record).decode()


def _record(kind: type[R], text: str) -> R:
    try:
        found: R = _decoder(kind).decode(text)
    except msgspec.DecodeError as error:
        raise StoreError(
            f"store expected a {kind.__name__.lower()}, got {text[:60]!r}: {error}", do="run: funade fsck"
        ) from error
    return found


@functools.cache
def _decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _moment(moment: datetime) -> str:
    """Text that sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _ambiguous(text: str, names: list[str]) -> Misuse:
    first, second = names[:2]
    a, b = first.rpartition("@")[2], second.rpartition("@")[2]
    alike = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))
    cut = len(a) - max(alike + 1, SHORT)
    said = ", ".join(f"`{name[:-cut] if cut else name}`" for name in (first, second))
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return Misuse(f"version `{text}` expected to fit one version, got {said}{more}", do="write more of its digits")


def _lost(expected: int, now: Switch | None, action: str) -> SwitchLost:
    got = (
        f"{now.generation}: {now.action} of {now.after} by {now.who} at {now.at:%Y-%m-%d %H:%M:%S} UTC"
        if now
        else "0: no release"
    )
    return SwitchLost(
        f"{action} expected generation {expected} to be the current one, got {got}", do=f"run: funade {action}"
    )
