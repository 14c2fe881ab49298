"""Crashes: at every commit point, at any moment, on a full disk and in a folder that cannot be written."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from funade.errors import FunadeError
from funade.project.project import Project
from funade.store.blobs import BlobFolder
from funade.store.fsck import fsck
from support import commit_points, toy
from support.forks import DIED, Ended, Forks, Records, Run, records

pytestmark = pytest.mark.slow

MOST = 6
"""A commit point that one command passes more often is tried at the first, middle and last time."""


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as server:
        yield server


class Crashed:
    """A project whose commands are run undisturbed, to see what they pass, and then stopped there."""

    def __init__(self, root: Path, forks: Forks) -> None:
        self.root, self.forks = root, forks
        self.store, self.saved = root / ".funade", root.parent / "saved"
        self.now = toy.NOW

    def command(self, *arguments: str) -> tuple[str, ...]:
        return ("--at", self.now.isoformat(), *arguments)

    def run(self, *arguments: str) -> Ended:
        return self.forks.run(Run(str(self.root), self.command(*arguments)))

    def save(self) -> None:
        """Remember the store as it is now."""
        shutil.rmtree(self.saved, ignore_errors=True)
        if self.store.exists():
            shutil.copytree(self.store, self.saved)

    def restore(self) -> None:
        """Make the store what it was when it was saved."""
        shutil.rmtree(self.store, ignore_errors=True)
        if self.saved.exists():
            shutil.copytree(self.saved, self.store)

    def undisturbed(self, *arguments: str) -> tuple[list[tuple[str, Records]], Records, float]:
        """Each commit point a command passes with what is recorded then; what is in the end; how long it took."""
        trace = self.root.parent / "trace"
        trace.unlink(missing_ok=True)
        ended = self.forks.run(Run(str(self.root), self.command(*arguments), trace=str(trace)))
        assert ended.status == 0, ended
        lines = trace.read_text().splitlines() if trace.exists() else []
        return [(name, found) for name, found in map(json.loads, lines)], self.records(), ended.seconds

    def records(self) -> Records:
        found: Records = json.loads(json.dumps(records(self.root)))
        return found

    def sound(self) -> bool:
        store = Project(self.root, environ={}).store
        found = fsck(store.metadata, store.blobs)
        store.metadata.close()
        assert found == []
        return True


@pytest.fixture
def crashed(tmp_path: Path, forks: Forks) -> Crashed:
    root = toy.write(tmp_path / "project", nodes=(', fn.may_rise(mae="5%")', ""))
    # One bad row, so that rows kept aside are written too; something printed, so that a log is.
    toy.edit(root, "nodes", 'f"{day}/{i}" for i', 'f"{day}/{max(i, 1)}" for i')
    toy.edit(root, "nodes", "    x = feature(rows", '    print("fitting")\n    x = feature(rows')
    return Crashed(root, forks)


LIFE = (
    ("load", "--to", "2022-01-30"),
    ("build",),
    ("build", "line", "--set", "bend=1.25"),
    ("stage", "line@released"),
    ("unstage", "line"),
    ("stage",),
    ("release",),
    ("edit",),
    ("build",),
    ("stage",),
    ("release",),
    ("rollback", "1"),
)
"""Every command that changes the store, in an order in which each has something to do."""


def tried(passed: list[str]) -> list[int]:
    """The passings at which a command is stopped, counted from 1."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for number, name in enumerate(passed, 1):
        places[name].append(number)
    chosen = (p if len(p) <= MOST else [p[0], p[len(p) // 2], p[-1]] for p in places.values())
    return sorted(number for numbers in chosen for number in numbers)


def test_drill_W27_a_command_stopped_at_any_commit_point_leaves_before_or_after_and_runs_again(
    crashed: Crashed,
) -> None:
    seen: Counter[str] = Counter()
    stopped: Counter[str] = Counter()
    for arguments in life(crashed):
        crashed.save()
        before = crashed.records()
        passed, after, _ = crashed.undisturbed(*arguments)
        seen.update(name for name, _ in passed)
        for number in tried([name for name, _ in passed]):
            name, there = passed[number - 1]
            crashed.restore()
            run = Run(str(crashed.root), crashed.command(*arguments), stop=number)
            assert crashed.forks.run(run).status == DIED
            stopped[name] += 1
            assert crashed.sound()
            assert crashed.records() == there, f"{' '.join(arguments)} stopped at {name}"
            assert there in (before, after) or arguments[0] in ("load", "build", "stage"), name
            again = crashed.run(*arguments)
            assert again.status == 0 or (arguments[0] == "rollback" and there == after), again
            assert crashed.records() == after, f"{' '.join(arguments)} after a stop at {name}"
        assert crashed.sound()
    print(f"\n{sum(stopped.values())} stops at {len(stopped)} commit points: {dict(stopped)}")
    assert (
        set(seen) == set(stopped) == {n for n in commit_points.NAMES if not n.startswith(("swap.", "batch.", "log."))}
    )


def life(crashed: Crashed) -> Iterator[tuple[str, ...]]:
    for arguments in LIFE:
        if arguments == ("edit",):
            toy.edit(crashed.root, "shared", "SCALE = 2.0", "SCALE = 4.0")
        elif arguments == ("stage", "line@released"):
            newest = records(crashed.root)["versions"][-1]  # the attempt: nothing is released yet
            yield ("stage", f"{newest[2]}@{newest[1][:8]}")
        else:
            yield arguments


def test_every_commit_point_of_a_switch_of_workers_is_drilled_beside_the_server() -> None:
    drills = "".join(p.read_text() for p in Path(__file__).parent.glob("test_*.py"))
    assert [n for n in commit_points.NAMES if n.startswith("swap.") and f'"{n}"' not in drills] == []


def test_drill_W27_forty_kills_at_any_moment_leave_before_or_after_and_lose_nothing(crashed: Crashed) -> None:
    seed = int(os.environ.get("FUNADE_TEST_SEED", "") or random.SystemRandom().randrange(2**32))
    print(f"\nseed {seed} (again: FUNADE_TEST_SEED={seed})")
    drawn = random.Random(seed)
    kills, mid, day = 0, 0, 0
    while kills < 40:
        day += 1
        crashed.now = toy.NOW + timedelta(days=day - 1)
        for arguments in (("load",), ("build",), ("stage",), ("release",)):
            if arguments == ("build",) and day % 3 == 0:
                toy.edit(crashed.root, "shared", "SCALE = ", "SCALE = 1 + ")
            crashed.save()
            before = crashed.records()
            passed, after, seconds = crashed.undisturbed(*arguments)
            crashed.restore()
            states = [before, *(there for _, there in passed), after]
            run = Run(
                str(crashed.root), crashed.command(*arguments), kill_after_s=drawn.uniform(0.002, max(seconds, 0.02))
            )
            killed = crashed.forks.run(run)
            assert killed.status in (-9, 0)
            kills += killed.status == -9
            found = crashed.records()
            mid += found not in (before, after)
            assert found in states, f"seed {seed}: {' '.join(arguments)}"
            assert crashed.sound(), f"seed {seed}: {' '.join(arguments)}"
            again = crashed.run(*arguments)
            assert again.status == 0, (seed, again)
            assert crashed.records() == after, f"seed {seed}: {' '.join(arguments)}"
    print(f"{kills} kills over {day} days, {mid} of them between two of one command's commits")


# -- a full disk -----------------------------------------------------------------------------------


def said(ended: Ended) -> str:
    """The one line of a command that was refused."""
    (line,) = ended.err.splitlines()
    return line


def test_a_build_that_no_more_bytes_can_be_written_for_is_one_line_and_runs_again(crashed: Crashed) -> None:
    wide = (
        "    return points.append_column('noise', pa.array(np.random.default_rng(1).bytes(1500 * 2000).hex().encode()"
    )
    toy.edit(
        crashed.root,
        "nodes",
        "    return points\n",
        "    noise = np.random.default_rng(1).bytes(len(points) * 2000).hex()\n"
        "    parts = [noise[i * 4000 : (i + 1) * 4000] for i in range(len(points))]\n"
        "    return points.append_column('noise', pa.array(parts))\n",
    )
    del wide
    assert crashed.run("load").status == 0
    before = crashed.records()
    full = crashed.forks.run(Run(str(crashed.root), crashed.command("build"), most_bytes=1 << 20))
    assert full.status == 1
    assert said(full) == (
        "DiskFull: dataset `clean`: store expected room for a blob, got: File too large - at "
        f"{crashed.store}; free some room, then run it again"
    )
    assert crashed.sound()
    assert not list((crashed.store / "tmp").iterdir())
    after = crashed.records()
    assert [b[-1]["state"] for b in after.pop("builds")] == ["failed"]
    assert [v[2] for v in after.pop("versions")] == ["points"]
    assert after == before
    assert crashed.run("build").status == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_full_at_any_moment_is_one_line_and_nothing_is_half(crashed: Crashed, small_disk: Path) -> None:
    toml = crashed.root / "funade.toml"
    toml.write_text(toml.read_text() + f'[store]\npath = "{small_disk}/.funade"\n')
    crashed.store.symlink_to(small_disk / ".funade")
    ballast = small_disk / "ballast"
    refused = Counter[str]()
    room = 24 * 1024
    for arguments in (("load",), ("build",), ("stage",), ("release",)):
        while True:
            before = crashed.records()
            free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
            ballast.write_bytes(b"x" * max(0, free - room))
            ended = crashed.run(*arguments)
            ballast.unlink()
            assert crashed.sound()
            if ended.status == 0:
                break
            assert ended.status == 1 and said(ended).startswith("DiskFull: "), ended
            assert said(ended).endswith("free some room, then run it again"), ended
            assert set(crashed.records()) >= set(before)
            refused[arguments[0]] += 1
            room += 24 * 1024
        room = 24 * 1024
    assert crashed.run("release").out.startswith("nothing to release")
    print(f"\nrefused for want of room: {dict(refused)}")
    assert {"load", "build"} <= set(refused)


# -- a folder that cannot be written ---------------------------------------------------------------


def seal(folder: Path, *, sealed: bool) -> None:
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            path.chmod(0o555 if sealed else 0o755)
        elif path.suffix == ".db" or "records.db" in path.name:
            path.chmod(0o444 if sealed else 0o644)


@pytest.mark.parametrize("arguments", [("load",), ("build",), ("stage",), ("release",), ("build", "line", "--again")])
def test_a_store_that_cannot_be_written_is_one_line_and_stays_as_it_was(
    crashed: Crashed, arguments: tuple[str, ...]
) -> None:
    for done in (("load", "--to", "2022-01-29"), ("build",), ("stage",)):
        assert crashed.run(*done).status == 0
        if done[0] == arguments[0]:
            break
    before = crashed.records()
    seal(crashed.store, sealed=True)
    try:
        ended = crashed.forks.run(Run(str(crashed.root), crashed.command(*arguments), unprivileged=True))
    finally:
        seal(crashed.store, sealed=False)
    if ended.status == 0:  # what is there already need not be written
        assert "nothing to" in ended.out or arguments == ("stage",)
    else:
        assert said(ended).startswith("StoreError: store expected a folder it can write, got: "), ended
        assert said(ended).endswith(f" - at {crashed.store}; make it writable") or str(crashed.store) in said(ended)
    assert crashed.records() == before
    assert crashed.run(*arguments).status == 0


def test_a_project_whose_store_cannot_be_made_is_one_line(crashed: Crashed) -> None:
    seal(crashed.root, sealed=True)
    try:
        ended = crashed.forks.run(Run(str(crashed.root), crashed.command("load"), unprivileged=True))
    finally:
        seal(crashed.root, sealed=False)
    assert ended.status == 1
    assert said(ended).startswith("StoreError: store expected a folder it can write, got: Permission denied - at ")
    assert crashed.run("load").status == 0


# -- nothing is overwritten ------------------------------------------------------------------------


def test_drill_W19_a_released_version_can_be_neither_deleted_nor_overwritten(crashed: Crashed) -> None:
    for arguments in (("load",), ("build",), ("stage",), ("release",)):
        assert crashed.run(*arguments).status == 0
    before = crashed.records()
    connection = sqlite3.connect(crashed.store / "records.db")
    try:
        for table in ("versions", "releases", "candidates", "switches", "builds", "revisions", "inputs", "checks"):
            for change in (f"DELETE FROM {table}", f"UPDATE {table} SET rowid = rowid"):
                change = change.replace("rowid = rowid", "node = node") if table == "inputs" else change
                with pytest.raises(sqlite3.IntegrityError, match=f"{table} are only ever added"):
                    connection.execute(change)
    finally:
        connection.close()
    assert crashed.records() == before
    here = Project(crashed.root, environ={})
    model = here.store.version(here.released()["line"])
    assert model.artifact is not None
    digest = model.artifact.files["files/line.json"]
    blob = here.store.blobs.path(digest)
    assert blob.stat().st_mode & 0o222 == 0
    blobs = here.store.blobs
    assert isinstance(blobs, BlobFolder)
    with pytest.raises(FunadeError), blobs.writing() as other:
        other.write_bytes(b"another model")
        os.link(other, blob.with_name(blob.name + "x"))
        (blob.with_name(blob.name + "x")).unlink()
        blobs._settle(other, digest)
    assert here.store.blobs.read(digest) == b"1.5"


def test_drill_W19_fsck_names_the_release_that_holds_an_altered_model(crashed: Crashed) -> None:
    for arguments in (("load",), ("build",), ("stage",), ("release",)):
        assert crashed.run(*arguments).status == 0
    here = Project(crashed.root, environ={})
    model = here.store.version(here.released()["line"])
    assert model.artifact is not None
    digest = model.artifact.files["files/line.json"]
    blob = here.store.blobs.path(digest)
    blob.chmod(0o644)
    blob.write_bytes(b"9.9")
    ended = crashed.run("fsck")
    assert ended.status == 1
    assert ended.out == (
        f"altered: blob `{digest[:6]}` of release 1, line@{model.id[:6]} expected its own bytes, got others; "
        f"put blobs/{digest[:2]}/{digest[2:]} back from a backup\n"
    )
    refused = crashed.run("build", "cut", "--again")
    assert refused.status == 1 and "BlobDamaged" in said(refused)
