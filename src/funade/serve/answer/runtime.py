"""What all doors of one worker answer from."""

from __future__ import annotations

import asyncio

from funade.events import EventLog
from funade.predictions.writer import LogWriter
from funade.serve.answer.api import ServableRelease
from funade.serve.answer.batcher import Batcher
from funade.serve.answer.executor import Executor
from funade.serve.limits import Limits
from funade.serve.metrics.meter import Meter
from funade.serve.queue.door import QueueDoor
from funade.serve.tokens.tokens import Tokens


class Runtime:
    """One release in one worker: its apis' queues, and what is noted of every answer.

    ``mark`` begins every prediction id of this worker; ``queues`` are by api; ``later`` is the door of
    requests that are answered later, None where there is no queue.

    Args:
        loop: the event loop.
        lane: where users' functions run.
        journal: the server's log.
        limits: bounds.
        loaded: the release.
        mark: 12 hexadecimal characters of this worker alone.
        meter: counts what is answered.
        log: keeps what is answered; None where nothing is kept.
        tokens: say who may do what.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        events: EventLog,
        limits: Limits,
        loaded: ServableRelease,
        *,
        mark: str,
        meter: Meter,
        tokens: Tokens,
        log: LogWriter | None = None,
    ) -> None:
        self.loop = loop
        self.executor = executor
        self.events = events
        self.limits = limits
        self.loaded = loaded
        self.mark = mark
        self.meter = meter
        self.tokens = tokens
        self.log = log
        self.later: QueueDoor | None = None
        self._next = 1
        self.queues = {name: Batcher(api, self) for name, api in loaded.apis.items()}

    def numbers(self, count: int) -> range:
        """The next ``count`` prediction numbers, each given once."""
        first, self._next = self._next, self._next + count
        return range(first, self._next)
