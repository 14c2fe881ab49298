"""Functions always run on one thread; the loop comes to it when calls are quick and leaves when one is slow."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import uvloop

from funade.serve.answer.executor import Executor
from funade.serve.limits import Limits
from support.client import Client, post
from support.server import Running
from support.wait import until


class Passed:
    """Seconds that pass on each thread by what it does alone."""

    def __init__(self) -> None:
        self._seconds: defaultdict[int, float] = defaultdict(float)

    def __call__(self) -> float:
        return self._seconds[threading.get_ident()]

    def spend(self, seconds: float) -> None:
        self._seconds[threading.get_ident()] += seconds


class Asked:
    """A side that is asked once more whenever it has answered, until it has what it was told to answer.

    Each of its calls leaves the loop ``busy_s`` seconds of work.
    """

    def __init__(
        self, executor: Executor, loop: uvloop.Loop, passed: Passed, calls: list[float], busy_s: float
    ) -> None:
        self.executor = executor
        self.passed = passed
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
        self.passed.spend(requests[0])
        self.loop.call_soon_threadsafe(self.passed.spend, self.busy_s)
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
    passed = Passed()
    executor = Executor(loop, passed)
    side = Asked(executor, loop, passed, calls, busy_s)
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
    until(lambda: _holds_up_the_loop(server))
    until(lambda: server.state.workers not in (first, ()))
    assert {event["seconds"] for event in server.events("stuck")} == {1.0}
    with Client(server.port) as client:
        assert client.ask({"km": 3}).json["eta"] == 6.0
    assert server.end(signal.SIGTERM) == 0


def _holds_up_the_loop(server: Running) -> bool:
    """Whether another client is not answered while a call goes on for ever: the calls before it were all quick.

    On a busy machine one was perhaps not: then the other client is answered.
    """
    server.serving(1)
    hold = server.hold()
    health = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with Client(server.port) as client, Client(server.port) as other:
        assert other.send(health).response().status == 200
        for km in range(400):
            assert client.ask({"km": km}).json["eta"] == 2.0 * km
        client.send(post({"km": 1, "does": hold.act}))
        hold.begun()
        try:
            assert other.send(health).response().status == 200
        except ConnectionError:
            return True
        hold.open()
        with contextlib.suppress(ConnectionError):
            client.response()
        return False


def test_a_server_together_with_its_functions_still_stops_when_told(run: Callable[..., Running]) -> None:
    server = run(workers=1)
    server.serving(1)
    with Client(server.port) as client:
        for km in range(400):
            client.ask({"km": km})
    assert server.end(signal.SIGTERM) == 0
