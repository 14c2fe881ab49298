"""What a gRPC library heard, taken in by the loop as many at once as there are."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

Wait = Callable[[], "list[Any] | None"]
Look = Callable[[], list[Any]]


class Pump:
    """Events from a library's own queue to the loop.

    A thread waits for the first of them; from then on the loop asks for more itself, once a turn, until there are none.
    So under load no thread is woken for an event, and what arrives while a function runs is one batch.

    Args:
        loop: the worker's.
        wait: gives at least one event, or none after a while; None when there will be no more. On the thread.
        look: gives the events that are there, at once. On the loop.
        take: takes them in. On the loop.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, wait: Wait, look: Look, take: Callable[[list[Any]], None]
    ) -> None:
        self._loop = loop
        self._wait = wait
        self._look = look
        self._take = take
        self._turn = threading.Lock()

    def start(self) -> None:
        """Wait for events from now on."""
        threading.Thread(target=self._run, daemon=True, name="funade-grpc").start()

    def _run(self) -> None:
        self._turn.acquire()
        while (events := self._wait()) is not None:
            if events:
                self._loop.call_soon_threadsafe(self._first, events)
                self._turn.acquire()  # until the loop found no more

    def _first(self, events: list[Any]) -> None:
        try:
            self._take(events + self._look())
        finally:
            self._loop.call_soon(self._more)

    def _more(self) -> None:
        events = self._look()
        if not events:
            self._turn.release()
            return
        try:
            self._take(events)
        finally:
            self._loop.call_soon(self._more)
