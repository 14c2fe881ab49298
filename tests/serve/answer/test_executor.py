"""Functions always run on one thread; the loop comes to it when calls are quick and leaves when one is slow."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from funade.serve.answer.executor import Executor
from funade.serve.limits import Limits
from support.client import Client
from support.server import Running
from support.wait import until


class Asked:
    """A side that is asked once more whenever it has answered, until it has what it was told to answer.

    Each of its calls leaves the loop ``busy_s`` seconds of work.
    """

    def __init__(self, executor: Executor, loop: uvloop.Loop, calls: list[float], busy_s: float) -> None:
        self.executor = executor
        self.loop = loop
        self.calls = calls
        self.busy_s = busy_s
        self.functions: set[int] = set()
        self.loops: list[int] = []
        self.together: list[bool] = []

    def take(self) -> list[float]:
        return [self.calls.pop(0)] if self.calls else []

    def work(self, requests: list[float]) -> list[float]:
        self.functions.add(threading.get_ident())
        self.together.append(self.executor.together)
        time.sleep(requests[0]) if requests[0] else None
        if self.busy_s:
            self.loop.call_soon_threadsafe(time.sleep, self.busy_s)
        return requests

    def deliver(self, requests: list[float], found: Any) -> None:
        assert found == requests
        self.loops.append(threading.get_ident())
        if self.calls:
            self.executor.want(self)
        else:
            self.executor.close()
            self.loop.stop()  # in a worker the process ends with the lane


def _run(calls: list[float], *, busy_s: float = 0.0) -> Asked:
    loop = uvloop.new_event_loop()
    executor = Executor(loop)
    side = Asked(executor, loop, calls, busy_s)
    executor.start(loop.run_forever)
    loop.call_soon_threadsafe(executor.want, side)
    executor.run()
    until(lambda: not loop.is_running())
    loop.close()
    return side


def test_quick_calls_bring_the_loop_to_the_functions() -> None:
    side = _run([0.0] * 400)
    assert side.functions == {threading.get_ident()}
    assert side.loops[0] != threading.get_ident()
    assert side.loops[-1] == threading.get_ident()
    assert side.together.index(True) >= 256


def test_quick_calls_bring_a_loop_that_has_other_work() -> None:
    side = _run([0.0] * 400, busy_s=0.006)
    assert any(side.together)


def test_a_slow_call_sends_the_loop_away_and_quick_ones_bring_it_back() -> None:
    side = _run([0.0] * 300 + [0.05] + [0.0] * 100 + [0.0] * 300)
    assert side.functions == {threading.get_ident()}
    slow = 300
    assert side.together[slow] and not side.together[slow + 1]
    assert side.loops[slow + 2] != threading.get_ident()
    assert side.together[-1]
    assert len(side.loops) == 701


def test_slow_calls_never_bring_it() -> None:
    side = _run([0.006] * 300)
    assert not any(side.together)


def test_a_worker_whose_loop_waits_for_a_call_that_does_not_end_is_replaced(run: Callable[..., Running]) -> None:
    server = run(workers=1, limits=Limits(call_s=1.0))
    first = server.serving(1).workers
    with Client(server.port) as client:
        for km in range(400):
            assert client.ask({"km": km}).json["eta"] == 2.0 * km
        with pytest.raises((ConnectionError, AssertionError)):
            client.ask({"km": 1, "does": "sleep 60"})
    until(lambda: server.state.workers not in (first, ()))
    assert [event["seconds"] for event in server.events("stuck")] == [1.0]
    with Client(server.port) as client:
        assert client.ask({"km": 3}).json["eta"] == 6.0
    assert server.end(signal.SIGTERM) == 0


def test_a_server_together_with_its_functions_still_stops_when_told(run: Callable[..., Running]) -> None:
    server = run(workers=1)
    server.serving(1)
    with Client(server.port) as client:
        for km in range(400):
            client.ask({"km": km})
    assert server.end(signal.SIGTERM) == 0
