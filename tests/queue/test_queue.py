from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funade.errors import DiskFull, StoreError, StoreTooNew
from funade.queue import claimant as queue_worker
from funade.queue.file import FORM
from funade.queue.queue import SqliteQueue
from funade.store import mounts
from funade.store.queue_records import Claim, Failure, QueuedRequest, Receipt, Result, Submission
from funade.store.queue_rules import QueueRules

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


HOOK = "https://hooks.example.com/done"


class Watch:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = BEGAN

    def __call__(self) -> datetime:
        return self.at

    def go(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "queue.db"


Open = Callable[..., SqliteQueue]


@pytest.fixture
def opened(path: Path, watch: Watch) -> Open:
    """Opens the queue as one worker sees it; names of workers that never lived are of no process here."""

    def found(worker: str = ".1.1", **rules: float) -> SqliteQueue:
        return SqliteQueue(path, clock=watch, rules=QueueRules(**rules), worker=worker)  # type: ignore[arg-type]

    return found


@pytest.fixture
def queue(opened: Open) -> SqliteQueue:
    return opened()


def submit(queue: SqliteQueue, *bodies: str, **given: object) -> list[str]:
    receipts = queue.submit([Submission("eta", body.encode(), **given) for body in bodies])  # type: ignore[arg-type]
    return [receipt.id for receipt in receipts if isinstance(receipt, Receipt)]


def one(queue: SqliteQueue, id: str) -> QueuedRequest:
    return queue.look([id])[id]


def answer(claimed: Claim, text: str = '{"eta": 4.0}') -> Result:
    return Result(claimed.id, text.encode(), "abc-1", 7)


def die(queue: SqliteQueue, watch: Watch) -> None:
    """The worker's lease passes without a word from it."""
    watch.go(queue.rules.lease_s)
    queue.sweep()


@given(st.integers(1, 80), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_between_half_and_all_of_what_doubles_up_to_its_bound(attempt: int, chance: float) -> None:
    whole = min(2.0 ** (attempt - 1), 600.0)
    assert whole / 2 <= QueueRules().backoff_s(attempt, lambda: chance) <= whole


def test_the_waits_of_two_seeds_differ_and_of_one_agree(path: Path, watch: Watch) -> None:
    waits = [[SqliteQueue(path, clock=watch, seed=seed).file.wait_s(n) for n in range(1, 5)] for seed in (1, 1, 2)]
    assert waits[0] == waits[1] != waits[2]


def _claimer(path: Path) -> subprocess.Popen[str]:
    script = f"""
import sys
from pathlib import Path
from funade.clock import system
from funade.queue.queue import SqliteQueue
queue = SqliteQueue(Path({str(path)!r}), clock=system)
print(len(queue.claim(50)), queue.file.worker, flush=True)
sys.stdin.read()
"""
    return subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_worker_that_was_killed_loses_its_claims_at_once(path: Path) -> None:
    from funade.clock import system

    queue = SqliteQueue(path, clock=system)
    submit(queue, *"abc")
    with _claimer(path) as process:
        assert process.stdout is not None
        count, name = process.stdout.readline().split()
        assert (count, queue_worker.gone(name)) == ("3", False)
        assert queue.sweep().lapsed == 0
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert queue_worker.gone(name)
    assert queue.sweep().lapsed == 3
    assert [len(queue.claim(50)) for _ in range(4)] == [1, 1, 1, 0]


def test_a_worker_is_known_by_more_than_its_number(tmp_path: Path) -> None:
    name = queue_worker.own()
    namespace, pid, began = name.split(".")
    assert not queue_worker.gone(name)
    assert queue_worker.gone(f"{namespace}.{pid}.{int(began) + 1}")
    assert queue_worker.gone(f"{namespace}.4194305.{began}")
    assert not queue_worker.gone(f"{int(namespace) + 1}.4194305.{began}")  # another container's
    assert queue_worker.own(tmp_path) == f".{os.getpid()}."
    assert not queue_worker.gone(f".{os.getpid()}.", tmp_path)


def test_answers_and_dead_letters_are_forgotten_in_their_time(opened: Open, watch: Watch) -> None:
    queue = opened(keep_s=100, keep_dead_s=300)
    done, dead, waiting = (submit(queue, "a", key=key)[0] for key in "abc")
    queue.settle([answer(queue.claim(1)[0]), Failure(queue.claim(1)[0].id, 1, "no", again=False)])
    watch.go(99)
    assert queue.sweep().forgotten == 0
    watch.go(1)
    assert queue.sweep().forgotten == 1
    watch.go(200)
    assert queue.sweep().forgotten == 1
    assert list(queue.look([done, dead, waiting])) == [waiting]
    assert queue.ended([done, dead, waiting]) == [done, dead]
    assert queue.counts()[:4] == (1, 0, 0, 0)
    assert submit(queue, "b", key="a") != []
    with sqlite3.connect(queue.file.path) as other:
        assert other.execute("SELECT count(*) FROM bodies").fetchone() == (2,)
        assert other.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    other.close()


@given(st.lists(st.sampled_from("scfxldrq"), max_size=25))
def test_the_tallies_always_say_what_the_rows_say(tmp_path_factory: pytest.TempPathFactory, deeds: list[str]) -> None:
    watch = Watch()
    queue = SqliteQueue(
        tmp_path_factory.mktemp("q") / "queue.db", clock=watch, rules=QueueRules(tries=2), worker=".1.1"
    )
    held: list[Claim] = []
    for deed in deeds:
        watch.go(1)
        match deed:
            case "s":
                submit(queue, "a", "bb")
            case "c":
                held += queue.claim(2)
            case "f" if held:
                queue.settle([answer(held.pop())])
            case "x" if held:
                lost = held.pop()
                queue.settle([Failure(lost.id, lost.attempt, "no")])
            case "l":
                die(queue, watch)
                held.clear()
            case "d" if dead := queue.dead():
                queue.drop([dead[0].id])
            case "r" if queue.file.there:
                queue.requeue()
            case "q":
                watch.go(90_000)
                queue.sweep()
    counts = queue.counts()
    if queue.file.there:
        with sqlite3.connect(queue.file.path) as other:
            rows = dict(other.execute("SELECT state, count(*) FROM requests GROUP BY state").fetchall())
            size = other.execute("SELECT coalesce(sum(bytes), 0) FROM requests").fetchone()[0]
        other.close()
        assert [counts.waiting, counts.claimed, counts.done, counts.dead] == [
            rows.get(state, 0) for state in ("waiting", "claimed", "done", "dead")
        ]
        assert counts.bytes == size
    queue.close()


def test_looking_at_a_queue_that_was_never_used_makes_no_file(queue: SqliteQueue, path: Path) -> None:
    assert (queue.counts().waiting, queue.dead(), queue.due(), queue.sweep().lapsed) == (0, [], False, 0)
    assert queue.look(["a"]) == {}
    assert queue.requeue() == 0
    assert not path.parent.exists()


def test_the_newest_migration_is_the_schema_this_funade_writes() -> None:
    folder = files(FORM.package) / "migrations"
    numbers = sorted(int(f.name[:4]) for f in folder.iterdir() if f.name.endswith(".sql"))
    assert numbers == list(range(1, FORM.schema + 1))


def test_a_request_is_durable_before_its_id_is_given(queue: SqliteQueue) -> None:
    submit(queue, "a")
    asked = [
        queue.file.database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")
    ]
    assert asked == ["wal", 2, 1]


def test_a_store_s_records_are_not_taken_for_a_queue(path: Path, watch: Watch) -> None:
    from funade.store.sqlite.metadata import SqliteMetadata

    metadata = SqliteMetadata(path, clock=watch)
    metadata.versions()
    metadata.close()
    with pytest.raises(StoreError) as refused:
        SqliteQueue(path, clock=watch).counts()
    assert refused.value.line() == (
        f"StoreError: store expected a database of funade's, got another file - at {path}; move that file away"
    )


def test_a_queue_from_a_newer_funade_is_refused(queue: SqliteQueue, path: Path, watch: Watch) -> None:
    submit(queue, "a")
    queue.file.database.rows(f"PRAGMA user_version = {FORM.schema + 1}")
    with pytest.raises(StoreTooNew):
        SqliteQueue(path, clock=watch).counts()


def test_a_damaged_queue_is_one_clear_error(queue: SqliteQueue, path: Path) -> None:
    submit(queue, *["x" * 500] * 300)
    queue.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 30] = b"\xff" * (4096 * 27)
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"^store expected a sound database, got: .*; put it back from a backup$"):
        queue.claim(1000)


def test_a_full_disk_loses_nothing_that_was_kept(queue: SqliteQueue) -> None:
    ids = submit(queue, *"abc")
    (pages,) = queue.file.database.rows("PRAGMA page_count")[0]
    queue.file.database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull):
        queue.submit([Submission("eta", b"x" * 100_000)])
    assert sorted(queue.look(ids)) == sorted(ids)
    assert queue.counts().waiting == 3
    queue.file.database.rows("PRAGMA max_page_count = 100000")
    assert len(submit(queue, "x" * 100_000)) == 1


def test_a_network_file_system_is_refused(queue: SqliteQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "file_system", lambda path, table: "nfs4")
    with pytest.raises(StoreError) as refused:
        submit(queue, "a")
    assert refused.value.line() == (
        f"StoreError: store expected a disk of this machine, got a network file system (nfs4)"
        f" - at {queue.file.path.parent};"
        " keep the store on a local disk, or give [store] a PostgreSQL database"
    )
