from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from funade.clock import frozen
from funade.digest import of_value
from funade.store.sqlite.metadata import SqliteMetadata
from support.crowd import crowd
from support.records import NOW, candidate, named


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "records.db"


@pytest.fixture
def metadata(path: Path) -> SqliteMetadata:
    return SqliteMetadata(path, clock=frozen(NOW))


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
    metadata = SqliteMetadata(path, clock=frozen(NOW))
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
    assert {v.id for v in SqliteMetadata(path, clock=frozen(NOW)).versions()} == set(ids)


def test_of_many_switches_from_one_generation_exactly_one_wins(metadata: SqliteMetadata, path: Path) -> None:
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


def test_threads_share_one_object(metadata: SqliteMetadata) -> None:
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
def test_a_forked_process_opens_a_connection_of_its_own(metadata: SqliteMetadata) -> None:
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
from funade.store.blobs import BlobFolder
from funade.store.sqlite.metadata import SqliteMetadata
from funade.store.records import *
root, run = Path(sys.argv[1]), sys.argv[2]
metadata, blobs = SqliteMetadata(root / "records.db", clock=system), BlobFolder(root)
now = datetime(2022, 1, 1, tzinfo=UTC)
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
    from funade.store.blobs import BlobFolder
    from funade.store.fsck import fsck

    root, acknowledged = tmp_path / "store", set()
    metadata, blobs = SqliteMetadata(root / "records.db", clock=frozen(NOW)), BlobFolder(root)
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
