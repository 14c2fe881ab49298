"""Switches, kills and crashes under load: nothing is lost and no answer mixes releases."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from support.client import Client
from support.server import Running, alive
from support.wait import two_more, until

pytestmark = pytest.mark.slow
Run = Callable[..., Running]


class Load:
    """Clients that ask all the time on kept connections, each answer looked at."""

    def __init__(self, port: int, *, clients: int = 8, per_s: float = 200.0, retries: int = 0) -> None:
        self.port = port
        self.pause = clients / per_s
        self.retries = retries
        self.answered = 0
        self.retried = 0
        self.faults: list[str] = []
        self.releases: set[int] = set()
        self.answers = [0] * clients
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def all_answered(self) -> None:
        """Wait until each client had two more answers.

        A kill before that could strike a request at its one retry, which it is not promised to survive.
        """
        two_more(lambda: list(self.answers))

    def _ask(self, number: int) -> None:
        client = Client(self.port)
        while not self._over.is_set():
            km = random.random() * 100
            for attempt in range(self.retries + 1):
                try:
                    self._look(km, client.ask([{"km": km}, {"km": km + 1}]))
                    self.answers[number] += 1
                    break
                except OSError as error:
                    client.sock.close()
                    client = Client(self.port)
                    self.retried += 1
                    if attempt == self.retries:
                        self.faults.append(repr(error))
            time.sleep(self.pause)
        client.sock.close()

    def _look(self, km: float, response: Any) -> None:
        self.answered += 1
        if response.status != 200 or "funade-fallback" in response.headers:
            self.faults.append(f"{response.status} {response.body!r}")
            return
        answers = response.json
        parts = {a[part] for a in answers for part in ("model", "threshold")}
        if parts != {int(response.headers["funade-release"])}:
            self.faults.append(f"mixed {answers}")
        if [a["eta"] for a in answers] != [km * 2, (km + 1) * 2]:
            self.faults.append(f"wrong {answers}")
        self.releases |= parts


def test_drill_w5_30_switches_under_load_lose_and_mix_nothing(run: Run) -> None:
    server = run()
    server.serving(1)
    with Load(server.port) as load:
        for i in range(30):
            release = i + 2 if i % 2 else i  # every other switch is a rollback
            server.switch(release + 1)
            server.serving(release + 1)
        until(lambda: load.answered > 1000)  # a fast machine has switched before that many were asked
    assert load.faults == []
    assert len(load.releases) > 20
    assert server.end() == 0


def test_drill_w16_killed_workers_cost_a_client_with_one_retry_nothing(run: Run) -> None:
    server = run()
    with Load(server.port, retries=1) as load:
        for _ in range(5):
            server.kill()
            load.all_answered()
    assert load.faults == []
    assert 0 < load.retried < load.answered


def test_drill_t11_one_of_three_killed_workers_costs_a_client_with_one_retry_nothing(run: Run) -> None:
    server = run(workers=3)
    with Load(server.port, clients=9, retries=1) as load:
        kills = 0
        while kills < 3 or not load.retried:  # a busy machine's workers share the clients unevenly: one may have none
            server.kill(random.choice)
            kills += 1
            load.all_answered()
        answered = load.answered
        until(lambda: load.answered > answered + 100)
    assert load.faults == []
    assert load.retried <= kills * 9


def test_drill_w16_killed_only_worker_is_replaced_in_the_time_of_a_start(run: Run) -> None:
    began = time.monotonic()
    server = run(workers=1)
    server.serving(1)
    start_s = time.monotonic() - began
    with Load(server.port, retries=1) as load:
        for _ in range(3):
            began = time.monotonic()
            server.kill()
            assert time.monotonic() - began < 5 * max(start_s, 1.0)
            load.all_answered()
    assert load.faults == []


@pytest.mark.parametrize("point", ["swap.spawned", "swap.ready", "swap.done"])
def test_a_supervisor_that_dies_at_a_swap_point_leaves_nothing_and_starts_again(run: Run, point: str) -> None:
    server = run(point=point)
    before = server.serving(1)
    (server.folder / "armed").touch()
    server.switch(2)
    assert server.process.wait(120) == 7
    until(lambda: not any(alive(pid) for pid in before.workers) or None)
    (server.folder / "armed").unlink()
    server.end()
    server.process = server.start()
    assert server.serving(2).release == 2
    assert server.end() == 0


@pytest.mark.parametrize("point", ["swap.handing", "swap.handed"])
def test_a_worker_that_dies_while_handing_over_costs_one_retry(run: Run, point: str) -> None:
    server = run(release=0)
    server.end()
    server.misbehave(1, dies_at=point)
    server.switch(1)
    server.process = server.start()
    server.serving(1)
    with Load(server.port, retries=1) as load:
        server.switch(2)
        server.serving(2)
        load.all_answered()
    assert load.faults == []
    assert {e["why"] for e in server.events("worker died")} == {"its process ended with exit status 7"}
    assert server.state.release == 2
    assert server.end() == 0


def test_random_kills_of_workers_during_switches_lose_nothing_with_one_retry(run: Run) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    draw = random.Random(seed)
    server = run()
    server.serving(1)
    with Load(server.port, retries=2) as load:
        began = time.monotonic()
        server.switch(2)
        server.serving(2)
        switch_s = time.monotonic() - began
        for i in range(3, 13):
            server.switch(i)
            time.sleep(draw.uniform(0, 1.5 * switch_s))  # at any moment of a switch, or just after it
            workers = server.state.workers
            if workers:
                try:
                    os.kill(draw.choice(workers), signal.SIGKILL)
                except ProcessLookupError:
                    continue
            server.serving(i)
            load.all_answered()
    assert load.faults == []
    assert server.end() == 0


def test_a_function_that_kills_its_process_does_not_stop_the_server(run: Run) -> None:
    server = run()
    server.serving(1)
    for _ in range(6):
        with Client(server.port) as client:
            try:
                client.ask({"km": 1, "does": "die"})
            except OSError:
                continue
    until(lambda: server.events("alert") or None)
    server.serving(1)
    with Client(server.port) as client:
        assert client.ask({"km": 1}).status == 200
