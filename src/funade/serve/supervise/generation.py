"""The worker processes of one release, as the supervisor sees them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

from funade import threads
from funade.serve.control.channel import Channel
from funade.serve.control.messages import Begin, Failed, Handed, Message, Ready, Retired

Heard = Callable[["WorkerProcess", int, bytes], None]
"""Called with a worker, an open connection and what was read from it."""


_HEARD_S = 1.0


class WorkerProcess:
    """One worker process.

    Args:
        begin: what it is told; ``listener`` is the listening socket's number here.
        handed: called with each connection that it hands back.
        changed: called when there is news of it.
    """

    def __init__(self, begin: Begin, handed: Heard, changed: Callable[[], None]) -> None:
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as unless_started, theirs:
            unless_started.callback(ours.close)
            text = msgspec.json.encode(msgspec.structs.replace(begin, control=theirs.fileno())).decode()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "funade.serve.worker.worker", text],
                pass_fds=[f for f in (begin.listener, begin.grpc_listener, theirs.fileno()) if f >= 0],
                stdin=subprocess.DEVNULL,
                env=threads.environment(),
            )
            unless_started.pop_all()
        self.channel = Channel(ours, asyncio.get_running_loop(), self._hear, self._ended)
        self._handed = handed
        self._changed = changed
        self.born = time.monotonic()
        self._ended_at = 0.0
        self.ready = False
        self.accepting = False
        self.retired = False
        self.taken = 0
        self.error = ""

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def gone(self) -> bool:
        """Whether the process has ended and everything it said was heard; reaps it."""
        if self._process.poll() is None:
            return False
        self._ended_at = self._ended_at or time.monotonic()
        # A child that users' code left behind may hold the control socket open for ever.
        return not self.channel.open or time.monotonic() - self._ended_at > _HEARD_S

    @property
    def failed(self) -> bool:
        """Whether it ended otherwise than by leaving."""
        return self._process.returncode != 0

    def why(self) -> str:
        """How it ended, for the log."""
        code = self._process.returncode
        if self.error or code is None:
            return self.error
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def forget(self) -> None:
        """Close the control socket of a process that has ended."""
        self.channel.close()

    def _hear(self, message: Message, file: int | None) -> None:
        if isinstance(message, Handed) and file is not None:
            self._handed(self, file, message.unread)
            return
        if isinstance(message, Ready):
            self.ready = True
        elif isinstance(message, Retired):
            self.retired = True
        elif isinstance(message, Failed):
            self.error = message.error
        self._changed()

    def _ended(self) -> None:
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
            worker.forget()
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
