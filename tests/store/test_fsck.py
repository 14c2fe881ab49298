from __future__ import annotations

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from funade.clock import frozen
from funade.digest import canonical, of_bytes
from funade.store.blobs import BlobFolder
from funade.store.fsck import Problem, fsck
from funade.store.records import Artifact, Build, Candidate, CheckRecord, Finding, Hold, Release, Revision, Version
from funade.store.references import references
from funade.store.sqlite.metadata import SqliteMetadata
from support.records import digests

NOW = datetime(2022, 3, 1, 12, tzinfo=UTC)
START = datetime(2022, 1, 1, tzinfo=UTC)
SOURCE, MODEL, OLD, LIMIT = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)


class Kept(NamedTuple):
    """A store with one of everything: release 1 of rides, eta and limit; and an older eta that nobody holds."""

    metadata: SqliteMetadata
    blobs: BlobFolder

    def blob(self, name: str) -> str:
        return self.blobs.put_bytes(name.encode())

    def damage(self, name: str) -> str:
        digest = of_bytes(name.encode())
        path = self.blobs.path(digest)
        path.chmod(0o644)
        path.write_bytes(b"?" * len(name))
        return digest


def revision(kept: Kept, day: int, name: str, bad: str = "") -> None:
    start = START + timedelta(days=day)
    digests = kept.blob(name), kept.blob(bad) if bad else ""
    kept.metadata.add_revision(
        Revision(
            "rides", f"{start:%Y-%m-%d}", start, start + timedelta(days=1), digests[0], 1, NOW, bad_digest=digests[1]
        )
    )


def version(kept: Kept, id: str, node: str, name: str = "", **inputs: str) -> None:
    artifact = Artifact("json", {"value.json": kept.blob(name)}) if name else None
    kind, sequence = ("source", 2) if node == "rides" else ("model", None)
    made = Version(id, node, kind, {}, NOW, inputs, artifact, sequence=sequence, lock=kept.blob("lock"))  # type: ignore[arg-type]
    kept.metadata.add_version(made, Build(f"b{id}", node, id, "built", NOW, 1.0, log=kept.blob(f"log of {id[0]}")))


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    kept = Kept(SqliteMetadata(tmp_path / "records.db", clock=frozen(NOW)), BlobFolder(tmp_path))
    metadata = kept.metadata
    revision(kept, 0, "day 0", bad="bad of day 0")
    revision(kept, 1, "day 1")
    revision(kept, 1, "day 1 again")
    version(kept, SOURCE, "rides")
    version(kept, OLD, "eta", "old eta")
    version(kept, MODEL, "eta", "eta", rides=SOURCE)
    version(kept, LIMIT, "limit", "limit", eta=MODEL)
    bad = Finding("within", "x in [0, 1]", "2", False, bad_digest=kept.blob("bad of limit"))
    metadata.add_checked(CheckRecord(LIMIT, "p", (bad,), NOW))
    pins = {"rides": SOURCE, "eta": MODEL, "limit": LIMIT}
    manifest = kept.blobs.put_bytes(canonical({"taxi/eta.py": kept.blob("code")}))
    of = metadata.add_candidate(Candidate("c" * 64, pins, (), manifest, {}, "Asia/Tokyo", NOW))
    release = Release(0, of.id, pins, NOW, "ann", {"arrival": kept.blob("golden")}, (bad,))
    metadata.release_and_switch(
        release, expected_generation=0, expected_candidate=of.id, ended_holds=(), who="ann", because=""
    )
    return kept


def test_a_store_with_one_of_everything_is_sound(kept: Kept) -> None:
    assert fsck(kept.metadata, kept.blobs) == []


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    assert fsck(SqliteMetadata(tmp_path / "new" / "records.db", clock=frozen(NOW)), BlobFolder(tmp_path / "new")) == []


HELD = {
    "day 0": "release 1, rides 2022-01-01",
    "bad of day 0": "rides 2022-01-01",
    "day 1": "release 1, rides 2022-01-02",
    "day 1 again": "rides 2022-01-02",
    "lock": "release 1, rides@111111, eta@333333, eta@222222 and 1 more",
    "old eta": "eta@333333",
    "eta": "release 1, eta@222222",
    "log of 2": "build b22222 of eta",
    "bad of limit": "release 1, checks of limit@444444",
    "code": "release 1, candidate cccccc",
    "golden": "release 1",
}


@pytest.mark.parametrize("name", HELD)
def test_an_altered_blob_names_the_releases_and_versions_that_hold_it(kept: Kept, name: str) -> None:
    digest = kept.damage(name)
    assert fsck(kept.metadata, kept.blobs) == [
        Problem(
            "altered",
            f"blob `{digest[:6]}`",
            f"of {HELD[name]} expected its own bytes, got others",
            f"put blobs/{digest[:2]}/{digest[2:]} back from a backup",
        )
    ]


@pytest.mark.parametrize("name", HELD)
def test_a_missing_blob_names_the_releases_and_versions_that_hold_it(kept: Kept, name: str) -> None:
    digest = of_bytes(name.encode())
    kept.blobs.path(digest).unlink()
    assert fsck(kept.metadata, kept.blobs) == [
        Problem(
            "missing",
            f"blob `{digest[:6]}`",
            f"of {HELD[name]} expected in the store, got no file",
            f"put blobs/{digest[:2]}/{digest[2:]} back from a backup",
        )
    ]


def test_a_manifest_that_is_gone_is_one_problem_and_its_files_are_unknown(kept: Kept) -> None:
    (candidate,) = kept.metadata.candidates()
    kept.blobs.path(candidate.code).unlink()
    (problem,) = fsck(kept.metadata, kept.blobs)
    assert (problem.kind, problem.subject) == ("missing", f"blob `{candidate.code[:6]}`")


def test_every_blob_of_the_store_is_held_by_somebody(kept: Kept) -> None:
    held = references(kept.metadata, kept.blobs)
    assert set(held) == set(digests(kept.blobs.folder))
    assert held[of_bytes(b"eta")] == ["release 1", "eta@222222"]


def test_a_blob_of_many_releases_names_every_one_in_short(kept: Kept) -> None:
    for generation in (1, 2, 3):
        of = kept.metadata.add_candidate(
            Candidate(str(generation) * 64, {"rides": SOURCE}, (), "", {}, "Asia/Tokyo", NOW)
        )
        release = Release(0, of.id, of.pins if generation > 1 else {}, NOW, "ann")
        kept.metadata.release_and_switch(
            release, expected_generation=generation, expected_candidate=of.id, ended_holds=(), who="ann", because=""
        )
    kept.damage("day 0")
    (problem,) = fsck(kept.metadata, kept.blobs)
    assert problem.what == "of releases 1, 3-4, rides 2022-01-01 expected its own bytes, got others"


def test_a_blob_that_no_record_names_is_no_problem(kept: Kept) -> None:
    kept.blobs.put_bytes(b"of a build that was killed before its record")
    assert fsck(kept.metadata, kept.blobs) == []


def test_foreign_files_are_reported_and_left_there(kept: Kept) -> None:
    (kept.blobs.folder / "notes.txt").write_text("mine")
    assert fsck(kept.metadata, kept.blobs) == [
        Problem("foreign", "blobs/notes.txt", "expected a blob's name, got another file", "move it away")
    ]
    assert (kept.blobs.folder / "notes.txt").exists()


def test_leftovers_of_a_kill_are_swept_after_an_hour_and_never_a_problem(kept: Kept) -> None:
    old, new = kept.blobs.tmp / "old", kept.blobs.tmp / "new"
    old.write_text("half")
    new.write_text("half")
    os.utime(old, (0, 0))
    assert fsck(kept.metadata, kept.blobs) == []
    assert list(kept.blobs.tmp.iterdir()) == [new]


def test_versions_that_are_named_but_not_there_are_found(kept: Kept) -> None:
    version(kept, "5" * 64, "late", "late", eta="9" * 64)
    kept.metadata.add_candidate(Candidate("d" * 64, {"late": "8" * 64, "none": ""}, (), "", {}, "Asia/Tokyo", NOW))
    kept.metadata.hold(Hold("limit", LIMIT, {"eta": "7" * 64}, NOW))
    assert [f"{p.subject} {p.what}; {p.do}" for p in fsck(kept.metadata, kept.blobs)] == [
        "model `late@555555` expected its input `eta@999999`, got no such version; put it back from a backup",
        "candidate dddddd expected its pin `late@888888`, got no such version; put it back from a backup",
        "the hold of `limit` expected its pin `eta@777777`, got no such version; put it back from a backup",
    ]


def test_a_record_that_does_not_read_is_a_problem_not_a_crash(kept: Kept) -> None:
    kept.metadata.close()
    with sqlite3.connect(kept.metadata.path) as other:
        other.execute("INSERT INTO versions (id, node, record) VALUES ('aa', 'eta', '{}')")
    other.close()
    assert fsck(kept.metadata, kept.blobs) == [
        Problem(
            "database",
            "records.db",
            "expected to be read, got: store expected a version, got '{}': Object missing required field `id`",
            "put the store back from a backup",
        )
    ]


def test_a_row_that_names_no_row_is_found_by_the_database_itself(kept: Kept) -> None:
    kept.metadata.close()
    with sqlite3.connect(kept.metadata.path) as other:
        other.execute("INSERT INTO stagings (candidate) VALUES ('nobody')")
    other.close()
    assert fsck(kept.metadata, kept.blobs) == [
        Problem(
            "database",
            "records.db",
            "expected to be sound, got: a row of stagings names a row of candidates that is not there",
            "put it back from a backup",
        )
    ]


def test_a_damaged_database_is_a_problem_not_a_crash(kept: Kept) -> None:
    kept.metadata.close()
    data = bytearray(kept.metadata.path.read_bytes())
    data[4096 : len(data)] = bytes(len(data) - 4096)
    kept.metadata.path.write_bytes(data)
    found = fsck(kept.metadata, kept.blobs)
    assert found
    assert {(p.kind, p.subject) for p in found} == {("database", "records.db")}


def test_problems_are_plain_data(kept: Kept) -> None:
    kept.damage("eta")
    problems = fsck(kept.metadata, kept.blobs)
    assert msgspec.json.decode(msgspec.json.encode(problems), type=list[Problem]) == problems
