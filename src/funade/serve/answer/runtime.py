"""One release in one worker: a queue for each of its apis, which all doors answer from."""

from __future__ import annotations

import asyncio

from funade.bind.release import LoadedRelease
from funade.serve.answer.batcher import Batcher
from funade.serve.answer.executor import Executor
from funade.serve.answer.recorder import Recorder
from funade.serve.limits import Limits
from funade.serve.tokens.tokens import Tokens


class Runtime:
    """What the doors of one worker share; ``queues`` are by api."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        executor: Executor,
        recorder: Recorder,
        limits: Limits,
        loaded: LoadedRelease,
        tokens: Tokens,
    ) -> None:
        self.loop = loop
        self.recorder = recorder
        self.limits = limits
        self.loaded = loaded
        self.tokens = tokens
        self.queues = {name: Batcher(api, loop, executor, recorder, limits) for name, api in loaded.apis.items()}
