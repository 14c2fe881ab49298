"""The one thread on which users' code runs: no two of their functions ever run at once in a process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol

_QUICK_S = 0.005
_SLOW_S = 0.025
_TRUSTED = 256


class RequestQueue(Protocol):
    """One api's waiting requests."""

    def take(self) -> list[Any]:
        """The requests to answer now, removed from those that wait; called on the loop."""

    def work(self, requests: list[Any]) -> Any:
        """Answer them; called on the executor's thread."""

    def deliver(self, requests: list[Any], result: Any) -> None:
        """Send what ``work`` gave; called on the loop."""


class Executor:
    """Takes turns between apis; one call at a time, always on the thread that ``run`` was called on.

    The loop runs on a thread of its own, so that a slow function never keeps requests from being read, refused or
    handed on. Passing work between threads costs more than many a model does: after ``_TRUSTED`` calls in a row that
    took less than ``_QUICK_S`` the loop moves to the functions' thread, and leaves it after a call of ``_SLOW_S``.

    ``busy`` with a call ``since`` a time of ``now``. The release is loaded on the functions' thread too, so
    what a library binds to its thread keeps working.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, now: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._now = now
        self._spin: Callable[[], None] = loop.run_forever
        self._apart: threading.Thread
        self._calls: SimpleQueue[tuple[RequestQueue, list[Any]] | None] = SimpleQueue()
        self._queues: deque[RequestQueue] = deque()
        self._woken = False
        self._quick = 0
        self._moving = False
        self._closed = False
        self.together = False
        self.busy = False
        self.since = 0.0

    @property
    def stopping(self) -> bool:
        """Whether the loop was stopped on purpose: to go on elsewhere, or for good."""
        return self._moving or self._closed

    def want(self, queue: RequestQueue) -> None:
        """Say that requests wait; called on the loop, once until ``take``."""
        self._queues.append(queue)
        self._wake()

    def start(self, spin: Callable[[], None]) -> None:
        """Run the loop, by ``spin``, on a thread of its own."""
        self._spin = spin
        self._apart = threading.Thread(target=spin, daemon=True, name="funade-loop")
        self._apart.start()

    def run(self) -> None:
        """Answer until ``close``."""
        while True:
            self._answer()
            if self._closed:
                return
            self._apart.join()
            self.together = True
            self._go_on()
            self._spin()
            if self._closed:
                return
            self.together = False
            self._go_on()
            self.start(self._spin)

    def close(self) -> None:
        """Let ``run`` return after the calls it was given; called on the loop."""
        self._closed = True
        self._calls.put(None)
        if self.together:
            self._loop.stop()

    def _answer(self) -> None:
        while (call := self._calls.get()) is not None:
            queue, requests = call
            begun = self._now()
            result = queue.work(requests)
            quick = self._now() - begun < _QUICK_S  # by itself: what the loop is busy with meanwhile counts not
            self._loop.call_soon_threadsafe(self._done, queue, requests, result, quick)

    def _move(self) -> None:
        """Stop the loop, to go on where the functions run or apart from them."""
        self._moving = True
        self._quick = 0
        if not self.together:
            self._calls.put(None)
        self._loop.stop()

    def _go_on(self) -> None:
        """The loop is about to go on: what was wanted meanwhile is not forgotten."""
        self._moving = False
        self._loop.call_soon(self._wake)

    def _wake(self) -> None:
        if self._queues and not (self.busy or self._woken or self._moving):
            self._woken = True
            self._loop.call_soon(self._next)  # what arrives in this turn of the loop goes into the same batch

    def _next(self) -> None:
        self._woken = False
        while self._queues and not (self.busy or self._moving):
            queue = self._queues.popleft()
            requests = queue.take()
            if not requests:
                continue
            self.busy = True
            self.since = self._now()
            if not self.together:
                self._calls.put((queue, requests))
                return
            result = queue.work(requests)
            if self._now() - self.since > _SLOW_S:
                self._move()
            self.busy = False
            queue.deliver(requests, result)
            self._wake()
            return

    def _done(self, queue: RequestQueue, requests: list[Any], result: Any, quick: bool) -> None:
        self._quick = self._quick + 1 if quick else 0
        self.busy = False
        if self._quick >= _TRUSTED and not self._closed:
            self._move()
        self._next()
        queue.deliver(requests, result)
