from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funade.errors import Misuse
from funade.queue.queue import SqliteQueue
from funade.store.ports.queue import Queue
from funade.store.queue_records import Claim, Delivery, Failure, QueuedRequest, Receipt, Refusal, Result, Submission
from funade.store.queue_rules import QueueRules
from funade.testing.queue import MemoryQueue, QueueContents
from store.contract.conftest import Open, Watch

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


HOOK = "https://hooks.example.com/done"


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


def test_drill_w11_the_age_of_the_oldest_that_waits_is_seen(queue: Queue, watch: Watch) -> None:
    assert queue.counts().gauges == {"waiting": 0, "dead": 0, "oldest_age_seconds": 0.0}
    submit(queue, "a")
    watch.go(90)
    submit(queue, "b")
    assert queue.counts().gauges == {"waiting": 2, "dead": 0, "oldest_age_seconds": 90.0}
    (claimed,) = queue.claim(1)
    queue.settle([Failure(claimed.id, 1, "no", again=False)])
    assert queue.counts().gauges == {"waiting": 1, "dead": 1, "oldest_age_seconds": 0.0}


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


def test_a_callback_is_owed_once_a_request_is_done_or_dead(queue: Queue, watch: Watch) -> None:
    calls = queue.callbacks
    done, dead = submit(queue, *"ab", callback=HOOK)
    assert not calls.due()
    first, second = queue.claim(50)
    queue.settle([answer(first), Failure(second.id, 1, "no", again=False)])
    assert one(queue, done).call == "waiting"
    told = {call.request.id: (call.url, call.attempt, call.request.state) for call in calls.claim(10)}
    assert told == {done: (HOOK, 1, "done"), dead: (HOOK, 1, "dead")}
    assert calls.claim(10) == []
    calls.settle([Delivery(done, 1), Delivery(dead, 1)])
    assert queue.counts().calls == 0
    assert one(queue, done).call == ""


def test_a_callback_that_fails_is_tried_again_then_dead_and_can_be_requeued(opened: Open, watch: Watch) -> None:
    queue = opened(call_tries=3)
    calls = queue.callbacks
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
    assert len(first.callbacks.claim(10)) == 1
    die(second, watch)
    (again,) = second.callbacks.claim(10)
    assert again.attempt == 2
    first.callbacks.settle([Delivery(id, 1)])
    assert first.counts().calls == 1
    second.callbacks.settle([Delivery(id, 2)])
    assert first.counts().calls == 0


@given(st.lists(st.sampled_from("scfuxldrqk"), max_size=25))
def test_whatever_is_done_every_engine_says_the_same(
    tmp_path_factory: pytest.TempPathFactory, deeds: list[str]
) -> None:
    watch, rules = Watch(), QueueRules(tries=2, call_tries=2)
    path = tmp_path_factory.mktemp("q") / "queue.db"
    queues: list[Queue] = [
        SqliteQueue(path, clock=watch, rules=rules, worker=".1.1"),
        MemoryQueue(QueueContents(), watch, rules, worker=".1.1"),
    ]
    held: list[list[Claim]] = [[], []]
    ids: list[list[str]] = [[], []]
    for deed in deeds:
        for number, queue in enumerate(queues):
            _do(deed, queue, held[number], ids[number])
        if deed in "lq":
            watch.go(70 if deed == "l" else 90_000)
        one, other = (_seen(queue, known) for queue, known in zip(queues, ids, strict=True))
        assert one == other, deeds
    queues[0].close()


def _do(deed: str, queue: Queue, held: list[Claim], ids: list[str]) -> None:
    match deed:
        case "s":
            ids += submit(queue, str(len(ids)), callback=HOOK)
        case "c":
            held += queue.claim(2)
        case "x":
            queue.settle([answer(claim) for claim in held])
            held.clear()
        case "f" | "u":
            queue.settle([Failure(claim.id, claim.attempt, "no", counted=deed == "f") for claim in held])
            held.clear()
        case "l" | "q":
            queue.sweep()
        case "d" if dead := queue.dead():
            queue.drop([dead[0].id])
        case "r":
            queue.requeue()
        case "k":
            calls = queue.callbacks.claim(2)
            queue.callbacks.settle([Delivery(call.request.id, call.attempt, "no") for call in calls])


def _seen(queue: Queue, ids: list[str]) -> list[object]:
    """What the queue says, with places in the order of submission for ids."""
    kept = queue.look(ids)
    requests = [kept[id]._replace(id=str(place)) for place, id in enumerate(ids) if id in kept]
    dead = [ids.index(request.id) for request in queue.dead()]
    return [queue.counts(), requests, dead, queue.due(), queue.callbacks.due(), [id in kept for id in ids]]
