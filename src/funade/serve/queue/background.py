"""A thread for what must not keep the loop waiting: what is asked of it meanwhile is done together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

I = TypeVar("I")  # noqa: E741
R = TypeVar("R")

Act = Callable[[list[I]], Sequence[R]]
"""Does many at once; gives one result for each, in order."""

_MOST = 1000


class BackgroundThread:
    """Does what is asked of it in order; requests for one act that wait together are given to it as one list."""

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self._loop = loop
        self._asked: SimpleQueue[tuple[Act[Any, Any], Any, Callable[[Any], None]] | None] = SimpleQueue()
        self.waiting = 0
        threading.Thread(target=self._work, daemon=True, name=name).start()

    def ask(self, act: Act[I, R], item: I, then: Callable[[R | Exception], None]) -> None:
        """Have ``act`` done with ``item``; ``then`` is called on the loop with its result or what it raised."""
        self.waiting += 1
        self._asked.put((act, item, then))

    def close(self) -> None:
        """End the thread after what it was asked."""
        self._asked.put(None)

    def _work(self) -> None:
        while True:
            groups: dict[Act[Any, Any], list[tuple[Any, Callable[[Any], None]]]] = {}
            asked = self._asked.get()
            for _ in range(_MOST):
                if asked is None:
                    break
                act, item, then = asked
                groups.setdefault(act, []).append((item, then))
                try:
                    asked = self._asked.get_nowait()
                except Empty:
                    break
            else:
                if asked is not None:
                    self._asked.put(asked)
            for act, group in groups.items():
                self._do(act, group)
            if asked is None:
                return

    def _do(self, act: Act[Any, Any], group: list[tuple[Any, Callable[[Any], None]]]) -> None:
        try:
            found: Sequence[Any] = act([item for item, _ in group])
        except Exception as error:
            found = [error] * len(group)
        self._loop.call_soon_threadsafe(self._tell, [then for _, then in group], found)

    def _tell(self, thens: list[Callable[[Any], None]], found: Sequence[Any]) -> None:
        self.waiting -= len(thens)
        for then, one in zip(thens, found, strict=True):
            then(one)
