"""The supervisor: owns the listening sockets, keeps a release's workers alive, and follows the switch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from funade import points
from funade.clock import Clock
from funade.errors import ServeError
from funade.events import EventLog
from funade.serve.control.messages import Begin, Retire, Start, Stop
from funade.serve.limits import more_files
from funade.serve.listener import listening
from funade.serve.metrics import file as metrics_file
from funade.serve.server_file import ServerFile, ServerState
from funade.serve.settings import ServerSettings
from funade.serve.supervise.check import check
from funade.serve.supervise.generation import Generation, WorkerProcess
from funade.serve.supervise.homeless import HomelessConnections
from funade.serve.supervise.shares import LOOK_S, Shares
from funade.store.ports.predictions import Compaction
from funade.store.store import Store

Current = Callable[[], tuple[int, int] | None]
"""The generation (number of switches made) and release that are current; None before the first release."""

_LOOK_S = 0.1
_RETIRED_S = 1.0
_AGAIN_S = 30.0
_OFTEN = 5
"""Deaths within a minute that are told of."""


class FailedTarget(NamedTuple):
    """A generation and release that did not come up, why, and when it is tried again (``time.monotonic``)."""

    target: tuple[int, int]
    why: str
    again: float


def serve(settings: ServerSettings, current: Current, *, clock: Clock) -> None:
    """Serve the current release until SIGTERM or SIGINT; on the main thread.

    Raises:
        ServeError: there is no release, the port is taken, or the release does not come up.
    """
    more_files()
    asyncio.run(Supervisor(settings, current, clock).run())


class Supervisor:
    """Looks ten times a second, and at every piece of news, whether its workers are as they must be.

    ``current`` may raise: then what was known holds.
    """

    def __init__(self, settings: ServerSettings, current: Current, clock: Clock) -> None:
        self._settings = settings
        self._current = current
        self._events = EventLog(clock, settings.log, supervisor=os.getpid())
        self._news = asyncio.Event()
        self._serving: Generation | None = None
        self._coming: Generation | None = None
        self._retiring: list[Generation] = []
        self._failed: FailedTarget | None = None
        self._stopping = False
        self._homeless = HomelessConnections()
        self._opened = False
        self._shares, self._look_at = Shares(), time.monotonic() + LOOK_S
        self._compaction: Compaction | None = None
        self._socket: socket.socket
        self._grpc: socket.socket | None = None
        self._file: ServerFile | None = None
        self._own = ""
        self.port = 0

    async def run(self) -> None:
        """Serve until told to stop; then nothing of it is left.

        Raises:
            ServeError: as ``serve``.
        """
        target = self._current()
        if target is None:
            raise ServeError("server expected a release, got none", do="run: funade release")
        check(self._settings)
        await self._settle()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            self._events.event("started", host=self._settings.host, port=self.port, release=target[1])
            await self._live()
        finally:
            await self._die()

    async def _settle(self) -> None:
        """Take the ports, the server's file and its own folder."""
        settings = self._settings
        self._socket = await listening(settings.host, settings.port)
        self.port = self._socket.getsockname()[1]
        if settings.grpc_port:
            self._grpc = await listening(settings.host, settings.grpc_port, "--grpc-port")
        if settings.folder:
            self._file = ServerFile(Path(settings.folder), self.port)
            own = Path(settings.folder) / str(self.port)
            shutil.rmtree(own, ignore_errors=True)  # what a server before this one left
            metrics_file.clear(own)
            self._own = str(own)
        if settings.store:
            self._compaction = Store.open(settings.store).predictions.compaction(settings.log_days, self._events)

    async def _live(self) -> None:
        while not self._stopping:
            self._news.clear()
            now = time.monotonic()
            self._bury(now)
            self._follow(now)
            self._bring_up(now)
            self._open(now)
            self._replace(now)
            if self._compaction is not None and self._opened:
                self._compaction.look()
            self._watch(now)
            self._publish()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _LOOK_S)

    # -- one look

    def _bury(self, now: float) -> None:
        """Take out the workers that have ended; drained generations are done, overdue ones are ended."""
        for generation in list(self._retiring):
            for worker in generation.buried():
                if not generation.killed and worker.failed:
                    self._died(worker, generation)
            if not generation.workers:
                self._retiring.remove(generation)
            elif now > generation.until:
                generation.kill()
        serving = self._serving
        for worker in serving.buried() if serving is not None else ():
            assert serving is not None
            serving.deaths.append(now)
            self._died(worker, serving)
            if len(serving.deaths) == _OFTEN:
                self._alert("workers keep dying", release=serving.release, why=worker.death)

    def _died(self, worker: WorkerProcess, generation: Generation) -> None:
        self._events.event("worker died", worker=worker.pid, release=generation.release, why=worker.death)

    def _follow(self, now: float) -> None:
        """Begin bringing up the release that has become current; the newest wins."""
        try:
            target = self._current()
        except Exception as error:  # the store is busy or away: what was known holds
            self._events.event("current release unknown", error=f"{type(error).__name__}: {error}")
            return
        if target is None:
            return
        if self._coming is not None and self._coming.release == target[1]:
            self._coming.number = target[0]
            return
        if self._coming is not None:
            self._abandon(self._coming)
        if self._serving is not None and self._serving.release == target[1]:
            self._serving.number, self._failed = target[0], None
        elif self._failed is None or target != self._failed.target or now >= self._failed.again:
            self._begin(target, now)

    def _begin(self, target: tuple[int, int], now: float) -> None:
        self._coming = Generation(*target, until=now + self._settings.up_s)
        self._events.event("coming", release=target[1], generation=target[0])
        try:
            for _ in range(self._settings.workers):
                self._spawn(self._coming)
        except OSError as error:
            self._fail(self._coming, f"no worker could be started: {error}", now)
        points.passing("swap.spawned")

    def _bring_up(self, now: float) -> None:
        """See how the coming generation does: up, failed, or not yet."""
        coming = self._coming
        if coming is None:
            return
        why = next((worker.error for worker in coming.workers if worker.error), "")
        dead = coming.buried()
        why = why or next((worker.death for worker in dead), "")
        if why or now > coming.until:
            self._fail(coming, why or f"not ready after {self._settings.up_s:g} s", now)
        elif all(worker.ready for worker in coming.workers) and (self._serving is None or self._serving.accepting):
            points.passing("swap.ready")
            self._switch(coming, now)

    def _switch(self, coming: Generation, now: float) -> None:
        """The old workers stop accepting and hand over; the new ones start once they have."""
        old, self._serving, self._coming, self._failed = self._serving, coming, None, None
        coming.until = now + _RETIRED_S
        if old is not None:
            old.until = now + self._settings.drain_s + 5.0
            self._retiring.append(old)
            for worker in old.workers:
                worker.channel.send(Retire())

    def _open(self, now: float) -> None:
        """Let the serving workers accept, once nobody of an older generation does."""
        serving = self._serving
        if serving is None or (not serving.accepting and self._old_accept() and now < serving.until):
            return
        for worker in serving.workers:
            if worker.ready and not worker.accepting:
                worker.accepting = True
                worker.channel.send(Start())
        self._homeless.house(serving.workers)
        if not serving.accepting:
            serving.accepting = True
            name, self._opened = "switched" if self._opened else "ready", True
            self._events.event(name, release=serving.release, generation=serving.number)
            self._publish()
            points.passing("swap.done")

    def _old_accept(self) -> bool:
        return any(worker.ready and not worker.retired for old in self._retiring for worker in old.workers)

    def _replace(self, now: float) -> None:
        """Start as many workers as the serving generation lacks."""
        serving = self._serving
        if serving is None:
            return
        for worker in serving.workers:
            if not worker.ready and now - worker.born > self._settings.up_s:
                worker.kill()
        lacking = self._settings.workers - len(serving.workers)
        if lacking > 0 and (not serving.deaths or now - serving.deaths[-1] >= serving.wait_s(now)):
            try:
                for _ in range(lacking):
                    self._spawn(serving)
            except OSError as error:
                serving.deaths.append(now)
                self._events.event("worker not started", error=str(error))

    def _watch(self, now: float) -> None:
        """Tell where most answers lean on defaults or on the fallback."""
        if self._own and now >= self._look_at:
            self._look_at = now + LOOK_S
            for lean in self._shares.look(metrics_file.total(Path(self._own))):
                self._alert(lean.what, api=lean.api, of=lean.name, share=round(lean.share, 3), rows=lean.rows)

    def _publish(self) -> None:
        """Write what this server is to its file."""
        serving = self._serving
        if self._file is None or serving is None or not serving.accepting:
            return
        state = ServerState(
            pid=os.getpid(),
            host=self._settings.host,
            port=self.port,
            release=serving.release,
            generation=serving.number,
            workers=tuple(worker.pid for worker in serving.workers if worker.accepting),
            coming=self._coming.release if self._coming is not None else 0,
            failed=self._failed.why if self._failed is not None else "",
        )
        self._file.write(state)

    # -- deeds

    def _alert(self, what: str, **facts: Any) -> None:
        """Write an alert to the log."""
        self._events.event("alert", what=what, **facts)

    def _spawn(self, generation: Generation) -> None:
        begin = Begin(
            self._settings,
            generation.release,
            listener=self._socket.fileno(),
            control=-1,
            grpc_listener=self._grpc.fileno() if self._grpc is not None else -1,
            folder=self._own,
        )
        generation.workers.append(WorkerProcess(begin, self._rehouse, self._news.set))

    def _rehouse(self, file: int, unread: bytes) -> None:
        """A connection of an old worker goes to a new one."""
        self._homeless.add(file, unread)
        if self._serving is not None:
            self._homeless.house(self._serving.workers)

    def _fail(self, coming: Generation, why: str, now: float) -> None:
        if self._serving is None:
            raise ServeError(f"release {coming.release} expected to come up, got: {why}", do="see the server's log")
        target = coming.number, coming.release
        if self._failed is None or target != self._failed.target:
            serving = self._serving.release
            self._alert("release did not come up", release=coming.release, why=why, serving=serving)
        self._failed = FailedTarget(target, why, now + _AGAIN_S)
        self._abandon(coming)

    def _abandon(self, coming: Generation) -> None:
        coming.kill()
        coming.until = time.monotonic()
        self._retiring.append(coming)
        self._coming = None

    # -- the end

    def _stop(self) -> None:
        if self._stopping:  # asked twice: at once
            self._kill()
        self._stopping = True
        self._news.set()

    def _kill(self) -> None:
        for generation in self._all():
            generation.kill()

    def _all(self) -> list[Generation]:
        return [g for g in (self._serving, self._coming, *self._retiring) if g is not None]

    async def _die(self) -> None:
        """Let the workers finish what is begun, then see that none is left."""
        self._events.event("stopping")
        for listener in (self._socket, self._grpc):
            if listener is not None:
                listener.close()
        if self._coming is not None:
            self._coming.kill()
        for generation in self._all():
            for worker in generation.workers:
                worker.channel.send(Stop())
        await self._emptied(time.monotonic() + self._settings.drain_s + 3.0)
        if self._compaction is not None:
            self._compaction.end()
        self._homeless.close()
        if self._file is not None:
            self._file.remove()
        self._events.event("stopped")

    async def _emptied(self, until: float) -> None:
        """Wait for the end of every worker; after ``until`` they are killed."""
        while any(generation.workers for generation in self._all()):
            if time.monotonic() > until:
                self._kill()
            for generation in self._all():
                generation.buried()
            await asyncio.sleep(0.02)
