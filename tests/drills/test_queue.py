"""Twenty thousand asynchronous requests while workers are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from funade.clock import system
from funade.queue.queue import SqliteQueue
from funade.store.queue_rules import QueueRules
from support.queue_client import Later, close, later, queued
from support.server import Running
from support.wait import until

NUMBER = 20_000
POISON = {7_003: "die", 11_117: "die", 4_001: "raise", 15_500: "raise", 19_999: "raise"}
_TOGETHER = 50
_KILLS = 12


def row(number: int) -> dict[str, object]:
    return {"km": float(number), "does": POISON.get(number, "")}


def submitted(asking: Later) -> Iterator[tuple[int, str]]:
    """Every request's id; what was not answered is sent again, with the same key."""
    for start in range(0, NUMBER, _TOGETHER):
        left = list(range(start, min(start + _TOGETHER, NUMBER)))
        while left:
            with contextlib.suppress(ConnectionError, TimeoutError):
                asking.client.send(b"".join(asking.asking(row(n), idempotency_key=f"ride {n}") for n in left))
                for number in list(left):
                    found = asking.client.response()
                    if found.status == 202:
                        yield number, found.json["id"]
                        left.remove(number)
            if left:
                until(lambda: connected(asking))


def connected(asking: Later) -> bool:
    with contextlib.suppress(ConnectionError):
        asking.again()
        return True
    return False


def looks(asking: Later, ids: list[str]) -> Iterator[dict[str, object]]:
    for start in range(0, len(ids), _TOGETHER):
        some = ids[start : start + _TOGETHER]
        for id in some:
            asking.ask(id)
        for _ in some:
            yield asking.client.response().json


def kill(
    servers: list[Running], queue: SqliteQueue, rng: random.Random, over: threading.Event, killed: list[int]
) -> None:
    """Kill one worker or another whenever so many requests more are done."""
    for count in sorted(rng.sample(range(NUMBER * 9 // 10), _KILLS)):
        while queue.counts().done < count:
            if over.wait(0.05):
                return
        workers = until(lambda: [pid for server in servers for pid in server.state.workers if pid not in killed])
        with contextlib.suppress(ProcessLookupError):
            killed.append(rng.choice(workers))
            os.kill(killed[-1], signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_drill_w11_of_20000_requests_each_is_done_once_though_workers_are_killed(
    run: Callable[..., Running], tmp_path: Path, seed: int
) -> None:
    rules = QueueRules(first_s=0.1, tries=4)
    servers = [queued(run, tmp_path, workers=2, rules=rules) for _ in range(2)]
    queue = SqliteQueue(tmp_path / "queue.db", clock=system)
    over, killed = threading.Event(), list[int]()
    killing = threading.Thread(target=kill, args=(servers, queue, random.Random(seed), over, killed))
    killing.start()
    began = time.monotonic()
    try:
        ids = dict(submitted(later(servers[0], tmp_path)))
        assert sorted(ids) == list(range(NUMBER))
        assert len(set(ids.values())) == NUMBER
        until(lambda: queue.counts().waiting + queue.counts().claimed == 0, 600)
    finally:
        over.set()
        killing.join()
    print(f"{time.monotonic() - began:.1f} s, {len(killed)} killed, {queue.counts()}")
    assert len(killed) == _KILLS
    counts = queue.counts()
    assert (counts.done, counts.dead) == (NUMBER - len(POISON), len(POISON))
    for server in servers:
        server.serving(1)
    asking = later(servers[1], tmp_path)
    first = list(looks(asking, [ids[n] for n in range(NUMBER)]))
    assert {n for n, found in enumerate(first) if found["state"] == "dead"} == set(POISON)
    answers = {n: found["answer"]["eta"] for n, found in enumerate(first) if found["state"] == "done"}  # type: ignore[index]
    assert all(eta == 2.0 * number for number, eta in answers.items())
    assert len({found["prediction"] for found in first if found["state"] == "done"}) == len(answers)
    assert list(looks(later(servers[0], tmp_path), [ids[n] for n in range(NUMBER)])) == first
    close()
