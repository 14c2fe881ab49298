"""A thread for what must not keep the loop waiting: what is asked of it meanwhile is done together."""

from __future__ import annotations

import asyncio
import contextlib
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

    def call(self, act: Callable[[], R], then: Callable[[R | Exception], None]) -> None:
        """Have ``act`` done by itself; ``then`` is called as by ``ask``."""
        self.ask(lambda _: [act()], None, then)

    def close(self) -> None:
        """End the thread after what it was asked."""
        self._asked.put(None)

    def _work(self) -> None:
        closed = False
        while not closed:
            groups: dict[Act[Any, Any], list[tuple[Any, Callable[[Any], None]]]] = {}
            for asked in self._batch():
                if asked is None:
                    closed = True
                else:
                    act, item, then = asked
                    groups.setdefault(act, []).append((item, then))
            for act, group in groups.items():
                self._do(act, group)

    def _batch(self) -> list[tuple[Act[Any, Any], Any, Callable[[Any], None]] | None]:
        """What is asked next and whatever else waits by then, in order."""
        batch = [self._asked.get()]
        with contextlib.suppress(Empty):
            while len(batch) < _MOST:
                batch.append(self._asked.get_nowait())
        return batch

    def _do(self, act: Act[Any, Any], group: list[tuple[Any, Callable[[Any], None]]]) -> None:
        try:
            results: Sequence[Any] = act([item for item, _ in group])
        except Exception as error:
            results = [error] * len(group)
        self._loop.call_soon_threadsafe(self._tell, [then for _, then in group], results)

    def _tell(self, thens: list[Callable[[Any], None]], results: Sequence[Any]) -> None:
        self.waiting -= len(thens)
        for then, result in zip(thens, results, strict=True):
            then(result)
