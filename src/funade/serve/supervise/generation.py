"""The worker processes of one release, as the supervisor sees them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable

import msgspec

from funade.process.child import Child, Ready, Surroundings
from funade.process.error_report import ErrorReport
from funade.serve.control.channel import Channel
from funade.serve.control.messages import Begin, Handed, Message, Retired

Taker = Callable[[int, bytes], None]
"""Called with an open connection and what was read from it."""

_HEARD_S = 1.0


class WorkerProcess:
    """One worker process.

    ``error`` is what it reported before it was ready; ``death``, once it is buried, in one line why it ended.

    Args:
        begin: what it is begun with; the sockets' numbers are those in this process, ``control`` is set here.
        handed: called with each connection that it hands back.
        changed: called when there is news of it.
    """

    def __init__(self, begin: Begin, handed: Taker, changed: Callable[[], None]) -> None:
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as unless_started, theirs:
            unless_started.callback(ours.close)
            begin = msgspec.structs.replace(begin, control=theirs.fileno())
            files = tuple(file for file in (begin.listener, begin.grpc_listener, begin.control) if file >= 0)
            self._child = Child("funade.serve.worker.worker", begin, Surroundings(files=files))
            unless_started.pop_all()
        self._child.close_input()
        self.channel = Channel(ours, asyncio.get_running_loop(), self._hear, changed)
        self._handed = handed
        self._changed = changed
        self.born = time.monotonic()
        self._ended_at = 0.0
        self.ready = False
        self.accepting = False
        self.retired = False
        self.taken = 0
        self.error = ""
        self.death = ""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    def gone(self) -> bool:
        """Whether the process has ended and everything it said was heard; reaps it."""
        if self._child.status is None:
            return False
        self._ended_at = self._ended_at or time.monotonic()
        # A child that users' code left behind may hold the control socket open for ever.
        return not self.channel.open or time.monotonic() - self._ended_at > _HEARD_S

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than by leaving."""
        return self._child.status != 0

    def kill(self) -> None:
        """End it at once."""
        self._child.kill()

    def bury(self) -> None:
        """Say why a process that is gone ended, and let go of what belongs to it."""
        self.death = self.error or self._child.death()
        self.channel.close()
        self._child.close()

    def _hear(self, message: Message, file: int | None) -> None:
        if isinstance(message, Handed) and file is not None:
            self._handed(file, message.unread)
            return
        if isinstance(message, Ready):
            self.ready = True
        elif isinstance(message, Retired):
            self.retired = True
        elif isinstance(message, ErrorReport):
            self.error = message.line()
        self._changed()


class Generation:
    """The workers of one release.

    ``number`` is that of the switch which made the release current; ``until`` is when bringing it up, or draining it,
    must be over (``time.monotonic``).
    """

    def __init__(self, number: int, release: int, until: float) -> None:
        self.number = number
        self.release = release
        self.until = until
        self.workers: list[WorkerProcess] = []
        self.accepting = False
        self.killed = False
        self.deaths: list[float] = []

    def buried(self) -> list[WorkerProcess]:
        """The workers that have ended since the last call, taken out."""
        dead = [w for w in self.workers if w.gone()]
        for worker in dead:
            worker.bury()
            self.workers.remove(worker)
        return dead

    def kill(self) -> None:
        """End every worker at once."""
        self.killed = True
        for worker in self.workers:
            worker.kill()

    def wait_s(self, now: float) -> float:
        """Seconds before a dead worker may be replaced: none at first, more when they keep dying."""
        self.deaths = [d for d in self.deaths if now - d < 60]
        often = len(self.deaths)
        return 0.0 if often <= 3 else min(0.25 * 2 ** (often - 4), 8.0)
