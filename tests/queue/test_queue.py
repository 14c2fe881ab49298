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

from funade.errors import DiskFull, Misuse, StoreError, StoreTooNew
from funade.queue import claimant as queue_worker
from funade.queue.callbacks import CallbackStore, Delivery
from funade.queue.queue import FORM, Queue
from funade.queue.records import Claim, Failure, QueuedRequest, Receipt, Refusal, Result, Submission
from funade.queue.rules import QueueRules
from funade.store import mounts

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


Open = Callable[..., Queue]


@pytest.fixture
def opened(path: Path, watch: Watch) -> Open:
    """Opens the queue as one worker sees it; names of workers that never lived are of no process here."""

    def found(worker: str = ".1.1", **rules: float) -> Queue:
        return Queue(path, clock=watch, rules=QueueRules(**rules), worker=worker)  # type: ignore[arg-type]

    return found


@pytest.fixture
def queue(opened: Open) -> Queue:
    return opened()


def submit(queue: Queue, *bodies: str, **given: object) -> list[str]:
    receipts = queue.submit([Submission("eta", body.encode(), **given) for body in bodies])  # type: ignore[arg-type]
    return [receipt.id for receipt in receipts if isinstance(receipt, Receipt)]


def one(queue: Queue, id: str) -> QueuedRequest:
    return queue.look([id])[id]


def answer(claimed: Claim, text: str = '{"eta": 4.0}') -> Result:
    return Result(claimed.id, text.encode(), "abc-1", 7)


def die(queue: Queue, watch: Watch) -> None:
    """The worker's lease passes without a word from it."""
    watch.go(queue.rules.lease_s)
    queue.sweep()


# -- a request's life ------------------------------------------------------------------------------


def test_a_request_is_kept_claimed_answered_and_its_answer_stays(queue: Queue, watch: Watch) -> None:
    (id,) = submit(queue, '{"km": 2.0}')
    assert one(queue, id).state == "waiting"
    (claimed,) = queue.claim(50)
    assert claimed == Claim(id, "eta", b'{"km": 2.0}', 1, 1)
    assert one(queue, id).state == "claimed"
    watch.go(1)
    queue.settle([Result(id, b'{"eta": 4.0}', "abc-1", 7, fallback="nan", guard="eta clamped", defaults="km")])
    kept = one(queue, id)
    assert (kept.state, kept.answer, kept.prediction, kept.release) == ("done", b'{"eta": 4.0}', "abc-1", 7)
    assert (kept.fallback, kept.guard, kept.defaults) == ("nan", "eta clamped", "km")
    assert kept.ended - kept.made == 1
    assert queue.claim(50) == []


def test_requests_are_claimed_oldest_first_up_to_so_many_rows_but_at_least_one(queue: Queue, watch: Watch) -> None:
    for rows in (3, 100, 1, 1):
        queue.submit([Submission("eta", b"", rows)])
        watch.go(1)
    assert [c.rows for c in queue.claim(50)] == [3]
    assert [c.rows for c in queue.claim(50)] == [100]
    assert [c.rows for c in queue.claim(50)] == [1, 1]


def test_no_request_is_claimed_by_two_workers(opened: Open) -> None:
    first, second = opened(".1.1"), opened(".2.1")
    ids = submit(first, *"abcd")
    assert sorted(c.id for c in first.claim(2) + second.claim(50)) == sorted(ids)


def test_the_first_answer_counts_and_a_second_is_ignored(opened: Open, watch: Watch) -> None:
    slow, quick = opened(".1.1"), opened(".2.1")
    (id,) = submit(slow, "a")
    (mine,) = slow.claim(50)
    die(slow, watch)
    (again,) = quick.claim(50)
    slow.settle([Result(mine.id, b"1", "slow-1", 1)])
    quick.settle([Result(again.id, b"2", "quick-1", 2)])
    slow.settle([Failure(mine.id, 1, "late")])
    kept = one(quick, id)
    assert (kept.state, kept.answer, kept.prediction, kept.release) == ("done", b"1", "slow-1", 1)


def test_a_failure_of_a_claim_that_was_lost_changes_nothing(opened: Open, watch: Watch) -> None:
    slow, quick = opened(".1.1"), opened(".2.1")
    (id,) = submit(slow, "a")
    slow.claim(50)
    die(slow, watch)
    (again,) = quick.claim(50)
    slow.settle([Failure(id, 1, "late", again=False)])
    assert one(quick, id).state == "claimed"
    quick.settle([answer(again)])
    assert one(quick, id).state == "done"


# -- trying again ----------------------------------------------------------------------------------


def test_a_failed_request_waits_twice_as_long_each_time_and_is_dead_after_its_last_try(
    queue: Queue, watch: Watch
) -> None:
    (id,) = submit(queue, "a")
    waits = []
    for attempt in range(1, 6):
        while not queue.due():
            watch.go(0.01)
        (claimed,) = queue.claim(50)
        assert claimed.attempt == attempt
        queue.settle([Failure(id, attempt, "it broke")])
        waits.append(one(queue, id).due - watch().timestamp())
    kept = one(queue, id)
    assert (kept.state, kept.attempts, kept.error) == ("dead", 5, "it broke")
    assert all(0.5 * 2**n <= wait <= 2**n + 1e-6 for n, wait in enumerate(waits[:4])), waits
    watch.go(10_000)
    assert not queue.due()


@given(st.integers(1, 80), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_between_half_and_all_of_what_doubles_up_to_its_bound(attempt: int, chance: float) -> None:
    whole = min(2.0 ** (attempt - 1), 600.0)
    assert whole / 2 <= QueueRules().backoff_s(attempt, lambda: chance) <= whole


def test_the_waits_of_two_seeds_differ_and_of_one_agree(path: Path, watch: Watch) -> None:
    waits = [[Queue(path, clock=watch, seed=seed).wait_s(n) for n in range(1, 5)] for seed in (1, 1, 2)]
    assert waits[0] == waits[1] != waits[2]


def test_an_attempt_that_does_not_count_may_be_made_any_number_of_times(queue: Queue, watch: Watch) -> None:
    (id,) = submit(queue, "a")
    for _ in range(20):
        (claimed,) = queue.claim(50)
        assert claimed.attempt == 1
        queue.settle([Failure(id, 1, "busy", counted=False)])
        watch.go(1)
    assert one(queue, id).state == "waiting"


def test_what_cannot_be_answered_at_all_is_dead_at_once(queue: Queue) -> None:
    (id,) = submit(queue, "a")
    queue.claim(50)
    queue.settle([Failure(id, 1, "api `eta` is gone", again=False)])
    assert (one(queue, id).state, one(queue, id).attempts) == ("dead", 1)


# -- workers that end ------------------------------------------------------------------------------


def test_claims_last_as_long_as_they_are_renewed(opened: Open, watch: Watch) -> None:
    busy, other = opened(".1.1"), opened(".2.1")
    ids = submit(busy, "a")
    busy.claim(50)
    for _ in range(5):
        watch.go(40)
        busy.renew(ids)
        other.renew(ids)
        assert other.sweep().lapsed == 0
    watch.go(60)
    assert other.sweep().lapsed == 1
    assert len(other.claim(50)) == 1


def test_drill_w11_what_ends_its_worker_becomes_a_dead_letter_and_its_neighbours_do_not(
    queue: Queue, watch: Watch
) -> None:
    ids = submit(queue, *["fine"] * 20, "poison", *["fine"] * 20)
    poison = ids[20]
    deaths = 0
    while queue.counts().waiting:
        watch.go(1000)
        claimed = queue.claim(50)
        if any(c.body == b"poison" for c in claimed):
            die(queue, watch)
            deaths += 1
        else:
            queue.settle([answer(c) for c in claimed])
    kept = queue.look(ids)
    assert {id for id, k in kept.items() if k.state == "dead"} == {poison}
    assert kept[poison].error == "its worker did not answer in time"
    assert deaths == kept[poison].attempts == 5
    assert max(kept[id].attempts for id in ids if id != poison) == 2


def test_drill_w11_even_with_one_try_the_neighbours_of_poison_are_answered(opened: Open, watch: Watch) -> None:
    queue = opened(tries=1)
    ids = submit(queue, "fine", "poison", "fine")
    while queue.counts().waiting:
        claimed = queue.claim(50)
        if any(c.body == b"poison" for c in claimed):
            die(queue, watch)
        else:
            queue.settle([answer(c) for c in claimed])
    assert [one(queue, id).state for id in ids] == ["done", "dead", "done"]


def _claimer(path: Path) -> subprocess.Popen[str]:
    script = f"""
import sys
from pathlib import Path
from funade.clock import system
from funade.queue.queue import Queue
queue = Queue(Path({str(path)!r}), clock=system)
print(len(queue.claim(50)), queue.worker, flush=True)
sys.stdin.read()
"""
    return subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_a_worker_that_was_killed_loses_its_claims_at_once(path: Path) -> None:
    from funade.clock import system

    queue = Queue(path, clock=system)
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


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_used_again_gives_the_id_it_gave_whatever_became_of_it(queue: Queue) -> None:
    (first,) = submit(queue, "a", key="k1")
    assert submit(queue, "a", "a", key="k1") == [first, first]
    queue.settle([answer(c) for c in queue.claim(50)])
    assert queue.submit([Submission("eta", b"a", key="k1")]) == [Receipt(first, "done")]
    assert queue.counts().done == 1


@pytest.mark.parametrize("other", [Submission("eta", b"b", key="k"), Submission("eta", b"a", key="k", callback=HOOK)])
def test_a_key_used_again_for_another_request_is_refused(queue: Queue, other: Submission) -> None:
    submit(queue, "a", key="k")
    assert queue.submit([other]) == [
        Refusal(409, "idempotency key was used before, with another request; use a new one")
    ]


def test_two_apis_may_use_one_key(queue: Queue) -> None:
    found = queue.submit([Submission("eta", b"a", key="k"), Submission("fare", b"b", key="k")])
    assert all(isinstance(f, Receipt) for f in found)


# -- bounds ----------------------------------------------------------------------------------------


def test_a_full_queue_refuses_what_is_more_and_keeps_the_rest(opened: Open) -> None:
    queue = opened(most=3)
    ids = submit(queue, *"abc")
    full = [Refusal(503, "queue expected at most 3 requests waiting; try again later")]
    assert queue.submit([Submission("eta", b"d")]) == full
    claimed = queue.claim(1)
    assert queue.submit([Submission("eta", b"d")]) == full
    queue.settle([answer(c) for c in claimed])
    assert len(submit(queue, *"def")) == 1
    assert one(queue, ids[0]).state == "done"


def test_answers_that_are_kept_count_towards_the_bytes(opened: Open) -> None:
    queue = opened(most_bytes=30)
    submit(queue, "x" * 10)
    queue.settle([answer(c, "y" * 15) for c in queue.claim(50)])
    assert queue.submit([Submission("eta", b"123456")]) == [
        Refusal(503, "queue expected at most 30 bytes kept; try again later")
    ]
    assert len(submit(queue, "12345")) == 1


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
    with sqlite3.connect(queue.path) as other:
        assert other.execute("SELECT count(*) FROM bodies").fetchone() == (2,)
        assert other.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    other.close()


@given(st.lists(st.sampled_from("scfxldrq"), max_size=25))
def test_the_tallies_always_say_what_the_rows_say(tmp_path_factory: pytest.TempPathFactory, deeds: list[str]) -> None:
    watch = Watch()
    queue = Queue(tmp_path_factory.mktemp("q") / "queue.db", clock=watch, rules=QueueRules(tries=2), worker=".1.1")
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
            case "r" if queue.there:
                queue.requeue()
            case "q":
                watch.go(90_000)
                queue.sweep()
    counts = queue.counts()
    if queue.there:
        with sqlite3.connect(queue.path) as other:
            rows = dict(other.execute("SELECT state, count(*) FROM requests GROUP BY state").fetchall())
            size = other.execute("SELECT coalesce(sum(bytes), 0) FROM requests").fetchone()[0]
        other.close()
        assert [counts.waiting, counts.claimed, counts.done, counts.dead] == [
            rows.get(state, 0) for state in ("waiting", "claimed", "done", "dead")
        ]
        assert counts.bytes == size
    queue.close()


# -- those who look after it -----------------------------------------------------------------------


def test_drill_w11_the_age_of_the_oldest_that_waits_is_seen(queue: Queue, watch: Watch) -> None:
    assert queue.gauges() == {"waiting": 0, "dead": 0, "oldest_age_seconds": 0.0}
    submit(queue, "a")
    watch.go(90)
    submit(queue, "b")
    assert queue.gauges() == {"waiting": 2, "dead": 0, "oldest_age_seconds": 90.0}
    (claimed,) = queue.claim(1)
    queue.settle([Failure(claimed.id, 1, "no", again=False)])
    assert queue.gauges() == {"waiting": 1, "dead": 1, "oldest_age_seconds": 0.0}


def test_a_dead_letter_that_is_requeued_gets_all_its_tries_again(queue: Queue, watch: Watch) -> None:
    ids = submit(queue, *"ab", callback=HOOK)
    queue.settle([Failure(c.id, 1, "no", again=False) for c in queue.claim(50)])
    assert [kept.id for kept in queue.dead()] == ids[::-1]
    assert queue.body(ids[0]) == b"a"
    assert queue.requeue([ids[0]]) == 1
    assert (one(queue, ids[0]).state, one(queue, ids[0]).attempts, one(queue, ids[0]).error) == ("waiting", 0, "")
    assert queue.requeue() == 1
    assert queue.requeue() == 0
    assert queue.counts().calls == 0
    queue.settle([answer(c) for c in queue.claim(50)])
    assert queue.counts().done == 2


def test_what_waits_or_is_dead_can_be_dropped_but_not_what_is_being_answered(queue: Queue) -> None:
    first, second = submit(queue, *"ab")
    queue.claim(1)
    with pytest.raises(Misuse) as refused:
        queue.drop([second, first])
    assert str(refused.value) == f"queue expected a request that rests, got `{first}`, which is being answered"
    assert queue.drop([second]) == 1
    assert list(queue.look([first, second])) == [first]


def test_an_unknown_id_is_misuse_and_changes_nothing(queue: Queue) -> None:
    for there in (False, True):
        if there:
            submit(queue, "a")
        for act, what in ((queue.requeue, "a dead letter"), (queue.drop, "a request")):
            with pytest.raises(Misuse) as refused:
                act(["abc"])
            assert str(refused.value) == f"queue expected {what}, got `abc`; see them: funade queue"
    assert queue.counts().waiting == 1


# -- callbacks -------------------------------------------------------------------------------------


def test_a_callback_is_owed_once_a_request_is_done_or_dead(queue: Queue, watch: Watch) -> None:
    calls = CallbackStore(queue)
    done, dead = submit(queue, *"ab", callback=HOOK)
    assert not calls.due()
    first, second = queue.claim(50)
    queue.settle([answer(first), Failure(second.id, 1, "no", again=False)])
    assert one(queue, done).call == "waiting"
    told = {call.kept.id: (call.url, call.attempt, call.kept.state) for call in calls.claim(10)}
    assert told == {done: (HOOK, 1, "done"), dead: (HOOK, 1, "dead")}
    assert calls.claim(10) == []
    calls.settle([Delivery(done, 1), Delivery(dead, 1)])
    assert queue.counts().calls == 0
    assert one(queue, done).call == ""


def test_a_callback_that_fails_is_tried_again_then_dead_and_can_be_requeued(opened: Open, watch: Watch) -> None:
    queue = opened(call_tries=3)
    calls = CallbackStore(queue)
    (id,) = submit(queue, "a", callback=HOOK)
    queue.settle([answer(c) for c in queue.claim(50)])
    for attempt in (1, 2, 3):
        watch.go(100)
        (call,) = calls.claim(10)
        assert call.attempt == attempt
        calls.settle([Delivery(id, attempt, "status 500")])
    kept = one(queue, id)
    assert (kept.state, kept.call, kept.call_error) == ("done", "dead", "status 500")
    assert (queue.counts().dead_calls, queue.counts().dead) == (1, 0)
    assert [k.id for k in queue.dead()] == [id]
    assert queue.requeue([id]) == 1
    assert calls.claim(10)[0].attempt == 1
    assert one(queue, id).state == "done"


def test_a_callback_whose_worker_ended_is_delivered_by_another(opened: Open, watch: Watch) -> None:
    first, second = opened(".1.1"), opened(".2.1")
    (id,) = submit(first, "a", callback=HOOK)
    first.settle([answer(c) for c in first.claim(50)])
    assert len(CallbackStore(first).claim(10)) == 1
    die(second, watch)
    (again,) = CallbackStore(second).claim(10)
    assert again.attempt == 2
    CallbackStore(first).settle([Delivery(id, 1)])
    assert first.counts().calls == 1
    CallbackStore(second).settle([Delivery(id, 2)])
    assert first.counts().calls == 0


# -- the file --------------------------------------------------------------------------------------


def test_looking_at_a_queue_that_was_never_used_makes_no_file(queue: Queue, path: Path) -> None:
    assert (queue.counts().waiting, queue.dead(), queue.due(), queue.sweep().lapsed) == (0, [], False, 0)
    assert queue.look(["a"]) == {}
    assert queue.requeue() == 0
    assert not path.parent.exists()


def test_the_newest_migration_is_the_schema_this_funade_writes() -> None:
    folder = files(FORM.package) / "migrations"
    numbers = sorted(int(f.name[:4]) for f in folder.iterdir() if f.name.endswith(".sql"))
    assert numbers == list(range(1, FORM.schema + 1))


def test_a_request_is_durable_before_its_id_is_given(queue: Queue) -> None:
    submit(queue, "a")
    asked = [queue.database.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "foreign_keys")]
    assert asked == ["wal", 2, 1]


def test_a_store_s_records_are_not_taken_for_a_queue(path: Path, watch: Watch) -> None:
    from funade.store.sqlite.metadata import Metadata

    metadata = Metadata(path, clock=watch)
    metadata.versions()
    metadata.close()
    with pytest.raises(StoreError) as refused:
        Queue(path, clock=watch).counts()
    assert refused.value.line() == (
        f"StoreError: store expected a database of funade's, got another file - at {path}; move that file away"
    )


def test_a_queue_from_a_newer_funade_is_refused(queue: Queue, path: Path, watch: Watch) -> None:
    submit(queue, "a")
    queue.database.rows(f"PRAGMA user_version = {FORM.schema + 1}")
    with pytest.raises(StoreTooNew):
        Queue(path, clock=watch).counts()


def test_a_damaged_queue_is_one_clear_error(queue: Queue, path: Path) -> None:
    submit(queue, *["x" * 500] * 300)
    queue.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 30] = b"\xff" * (4096 * 27)
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"^store expected a sound database, got: .*; put it back from a backup$"):
        queue.claim(1000)


def test_a_full_disk_loses_nothing_that_was_kept(queue: Queue) -> None:
    ids = submit(queue, *"abc")
    (pages,) = queue.database.rows("PRAGMA page_count")[0]
    queue.database.rows(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull):
        queue.submit([Submission("eta", b"x" * 100_000)])
    assert sorted(queue.look(ids)) == sorted(ids)
    assert queue.counts().waiting == 3
    queue.database.rows("PRAGMA max_page_count = 100000")
    assert len(submit(queue, "x" * 100_000)) == 1


def test_a_network_file_system_is_refused(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "file_system", lambda path, table: "nfs4")
    with pytest.raises(StoreError) as refused:
        submit(queue, "a")
    assert refused.value.line() == (
        f"StoreError: store expected a disk of this machine, got a network file system (nfs4) - at {queue.path.parent};"
        " keep the store on a local disk, or give [store] a PostgreSQL database"
    )
