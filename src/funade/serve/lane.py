"""The one lane on which users' code runs: no two of their functions ever run at once in a process."""

from __future__ import annotations

import asyncio
from collections import deque
from queue import SimpleQueue
from typing import Any, Protocol


class Side(Protocol):
    """One api's waiting requests."""

    def take(self) -> list[Any]:
        """The requests to answer now, removed from those that wait; called on the loop."""

    def work(self, asks: list[Any]) -> Any:
        """Answer them; called on the lane's thread."""

    def deliver(self, asks: list[Any], found: Any) -> None:
        """Send what was found; called on the loop."""


class Lane:
    """Takes turns between apis; one call at a time, made on the thread that ``run`` was called on.

    ``busy`` with a call ``since`` a time of the loop's. The release is loaded on that thread too, so what a library
    binds to its thread keeps working.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: SimpleQueue[tuple[Side, list[Any]] | None] = SimpleQueue()
        self._sides: deque[Side] = deque()
        self._woken = False
        self.busy = False
        self.since = 0.0

    def want(self, side: Side) -> None:
        """Say that requests wait; called on the loop, once until ``take``."""
        self._sides.append(side)
        if not self.busy and not self._woken:
            self._woken = True
            self._loop.call_soon(self._next)  # what arrives in this turn of the loop goes into the same batch

    def run(self) -> None:
        """Answer until ``close``."""
        while (call := self._calls.get()) is not None:
            side, asks = call
            found = side.work(asks)
            self._loop.call_soon_threadsafe(self._done, side, asks, found)

    def close(self) -> None:
        """Let ``run`` return after the calls it was given."""
        self._calls.put(None)

    def _next(self) -> None:
        self._woken = False
        while self._sides and not self.busy:
            side = self._sides.popleft()
            asks = side.take()
            if asks:
                self.busy = True
                self.since = self._loop.time()
                self._calls.put((side, asks))

    def _done(self, side: Side, asks: list[Any], found: Any) -> None:
        self.busy = False
        self._next()
        side.deliver(asks, found)
