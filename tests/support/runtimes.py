"""A worker's runtime that nobody comes to, for tests that look into it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from funade import clock
from funade.events import EventLog
from funade.serve.answer.executor import Executor
from funade.serve.answer.recorder import Recorder
from funade.serve.answer.runtime import Runtime
from funade.serve.limits import Limits
from funade.serve.metrics.meter import Meter
from funade.serve.queue import door as queue_door
from funade.serve.queue.submit import Submitter
from funade.serve.settings import ServerSettings
from funade.serve.tokens.tokens import Tokens

MARK = "0" * 12
LIMITS = Limits()


def runtime_of(
    loaded: Any, loop: asyncio.AbstractEventLoop, log: str | Path = "/dev/null", limits: Limits = LIMITS
) -> Runtime:
    """The runtime of a release; the server's log goes to a file, no answer is kept."""
    recorder = Recorder(MARK, Meter(MARK, "", loaded.apis), EventLog(clock.system, str(log)))
    return Runtime(loop, Executor(loop), recorder, limits, loaded, Tokens("", clock.system))


def submitter_of(runtime: Runtime, store: Path) -> Submitter:
    """What callers of the queue of a store ask."""
    door = queue_door.of(runtime, ServerSettings("", {}, queue=f"sqlite:{store}"))
    assert door is not None
    return door.submitter
