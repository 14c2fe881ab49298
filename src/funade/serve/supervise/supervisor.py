"""The supervisor: owns the listening socket, keeps a release's workers alive, and follows the switch."""

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
from typing import Any

from funade import points
from funade.clock import Clock
from funade.errors import ServeError
from funade.events import EventLog
from funade.predictions.compactor_process import CompactorProcess, CompactorSettings
from funade.serve import tls
from funade.serve.control.messages import Begin, Retire, Start, Stop, Take
from funade.serve.limits import more_files
from funade.serve.listener import listening
from funade.serve.metrics import file as metrics_file
from funade.serve.queue import allowed_urls
from funade.serve.server_file import ServerFile, ServerState
from funade.serve.settings import ServerSettings
from funade.serve.supervise.generation import Generation, WorkerProcess
from funade.serve.supervise.shares import LOOK_S, Shares
from funade.serve.tokens import token_file

Current = Callable[[], tuple[int, int] | None]
"""The generation (number of switches made) and release that are current; None before the first release."""

Alert = Callable[[str, dict[str, Any]], None]
"""Called with what happened and its facts."""

_LOOK_S = 0.1
_RETIRED_S = 1.0
_AGAIN_S = 30.0


def serve(settings: ServerSettings, current: Current, *, clock: Clock, on_alert: Alert | None = None) -> None:
    """Serve the current release until SIGTERM or SIGINT; on the main thread.

    Raises:
        ServeError: there is no release, the port is taken, or the release does not come up.
    """
    more_files()
    asyncio.run(Supervisor(settings, current, clock, on_alert).run())


class Supervisor:
    """Looks ten times a second, and at every piece of news, whether its workers are as they must be.

    Args:
        settings: what the server is.
        current: says which release is current; may raise, then what was known holds.
        clock: the time that the log bears.
        on_alert: told what the log calls an alert.
    """

    def __init__(self, settings: ServerSettings, current: Current, clock: Clock, on_alert: Alert | None) -> None:
        self._settings = settings
        self._current = current
        self._events = EventLog(clock, settings.log, supervisor=os.getpid())
        self._on_alert = on_alert
        self._news = asyncio.Event()
        self._serving: Generation | None = None
        self._coming: Generation | None = None
        self._retiring: list[Generation] = []
        self._failed: tuple[int, int] | None = None
        self._why = ""
        self._again = 0.0
        self._stopping = False
        self._homeless: list[tuple[int, bytes]] = []
        self._said: ServerState | None = None
        self._opened = False
        self._shares, self._look_at = Shares(), time.monotonic() + LOOK_S
        self._keeping: CompactorProcess | None = None
        self._socket: socket.socket
        self._grpc: socket.socket | None = None
        self.port = 0

    async def run(self) -> None:
        """Serve until told to stop; then nothing of it is left.

        Raises:
            ServeError: as ``serve``.
        """
        target = self._current()
        if target is None:
            raise ServeError("server expected a release, got none", do="run: funade release")
        _check(self._settings)
        self._socket = await listening(self._settings.host, self._settings.port)
        self.port = self._socket.getsockname()[1]
        if self._settings.grpc_port:
            self._grpc = await listening(self._settings.host, self._settings.grpc_port, "--grpc-port")
        self._state = ServerFile(Path(self._settings.folder), self.port) if self._settings.folder else None
        self._own = _own_folder(self._settings.folder, self.port)
        if self._settings.store:
            keep = CompactorSettings(self._settings.store, self._settings.log_days)
            self._keeping = CompactorProcess(keep, self._events)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            self._events.event("started", host=self._settings.host, port=self.port, release=target[1])
            await self._live()
        finally:
            await self._die()

    async def _live(self) -> None:
        while not self._stopping:
            self._news.clear()
            now = time.monotonic()
            self._bury(now)
            self._follow(now)
            self._bring_up(now)
            self._open(now)
            self._replace(now)
            if self._keeping is not None and self._opened:
                self._keeping.look()
            self._watch(now)
            self._say()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), _LOOK_S)

    # -- one look

    def _bury(self, now: float) -> None:
        """Take out the workers that have ended; drained generations are done, overdue ones are ended."""
        for generation in list(self._retiring):
            for worker in generation.buried():
                if not generation.killed and worker.failed:
                    self._events.event("worker died", worker=worker.pid, release=generation.release, why=worker.why())
            if not generation.workers:
                self._retiring.remove(generation)
            elif now > generation.until:
                generation.kill()
        if self._serving is not None:
            for worker in self._serving.buried():
                self._serving.deaths.append(now)
                self._events.event("worker died", worker=worker.pid, release=self._serving.release, why=worker.why())
                if len(self._serving.deaths) == 5:
                    self._alert("workers keep dying", release=self._serving.release, why=worker.why())

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
            self._serving.number, self._failed, self._why = target[0], None, ""
        elif target != self._failed or now >= self._again:
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
        why = next((w.error for w in coming.workers if w.error), "")
        dead = coming.buried()
        why = why or next((w.why() for w in dead), "")
        if why or dead or now > coming.until:
            self._fail(coming, why or f"not ready after {self._settings.up_s:g} s", now)
        elif all(w.ready for w in coming.workers) and (self._serving is None or self._serving.accepting):
            points.passing("swap.ready")
            self._switch(coming, now)

    def _switch(self, coming: Generation, now: float) -> None:
        """The old workers stop accepting and hand over; the new ones start once they have."""
        old, self._serving, self._coming, self._failed, self._why = self._serving, coming, None, None, ""
        coming.until = now + _RETIRED_S
        if old is not None:
            old.until = now + self._settings.drain_s + 5.0
            self._retiring.append(old)
            for worker in old.workers:
                worker.channel.send(Retire())

    def _open(self, now: float) -> None:
        """Let the serving workers accept, once nobody of an older generation does."""
        serving = self._serving
        if serving is None:
            return
        if not serving.accepting:
            waiting = [w for g in self._retiring for w in g.workers if w.ready and not w.retired]
            if waiting and now < serving.until:
                return
        for worker in serving.workers:
            if worker.ready and not worker.accepting:
                worker.accepting = True
                worker.channel.send(Start())
        self._house()
        if not serving.accepting:
            serving.accepting = True
            name, self._opened = "switched" if self._opened else "ready", True
            self._events.event(name, release=serving.release, generation=serving.number)
            self._say()
            points.passing("swap.done")

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

    # -- deeds

    def _spawn(self, generation: Generation) -> None:
        begin = Begin(
            self._settings,
            generation.release,
            listener=self._socket.fileno(),
            control=-1,
            grpc_listener=self._grpc.fileno() if self._grpc is not None else -1,
            folder=self._own,
        )
        generation.workers.append(WorkerProcess(begin, self._handed, self._news.set))

    def _handed(self, worker: WorkerProcess, file: int, unread: bytes) -> None:
        """A connection of an old worker goes to a new one."""
        self._homeless.append((file, unread))
        self._house()

    def _house(self) -> None:
        """Give connections without a worker to those that serve, in turn."""
        homes = [w for w in self._serving.workers if w.ready] if self._serving is not None else []
        while homes and self._homeless:
            file, unread = self._homeless.pop(0)
            home = min(homes, key=lambda w: w.taken)
            home.taken += 1
            home.channel.send(Take(unread), file)

    def _fail(self, coming: Generation, why: str, now: float) -> None:
        if self._serving is None:
            raise ServeError(f"release {coming.release} expected to come up, got: {why}", do="see the server's log")
        if (coming.number, coming.release) != self._failed:
            self._alert("release did not come up", release=coming.release, why=why, serving=self._serving.release)
        self._failed, self._why, self._again = (coming.number, coming.release), why, now + _AGAIN_S
        self._abandon(coming)

    def _abandon(self, coming: Generation) -> None:
        coming.kill()
        coming.until = time.monotonic()
        self._retiring.append(coming)
        self._coming = None

    def _alert(self, what: str, **facts: Any) -> None:
        self._events.event("alert", what=what, **facts)
        if self._on_alert is not None:
            try:
                self._on_alert(what, facts)
            except Exception as error:
                self._events.event("alert not told", error=f"{type(error).__name__}: {error}")

    def _say(self) -> None:
        serving = self._serving
        if self._state is None or serving is None or not serving.accepting:
            return
        said = ServerState(
            pid=os.getpid(),
            host=self._settings.host,
            port=self.port,
            release=serving.release,
            generation=serving.number,
            workers=tuple(w.pid for w in serving.workers if w.accepting),
            coming=self._coming.release if self._coming is not None else 0,
            failed=self._why,
        )
        if said != self._said:
            self._said = said
            self._state.write(said)

    # -- the end

    def _stop(self) -> None:
        if self._stopping:  # asked twice: at once
            for generation in self._all():
                generation.kill()
        self._stopping = True
        self._news.set()

    def _all(self) -> list[Generation]:
        return [g for g in (self._serving, self._coming, *self._retiring) if g is not None]

    async def _die(self) -> None:
        """Let the workers finish what is begun, then see that none is left."""
        self._events.event("stopping")
        self._socket.close()
        if self._grpc is not None:
            self._grpc.close()
        if self._coming is not None:
            self._coming.kill()
        ends = time.monotonic() + self._settings.drain_s + 3.0
        for generation in self._all():
            for worker in generation.workers:
                worker.channel.send(Stop())
        while any(g.workers for g in self._all()):
            if time.monotonic() > ends:
                for generation in self._all():
                    generation.kill()
            for generation in self._all():
                generation.buried()
            await asyncio.sleep(0.02)
        if self._keeping is not None:
            self._keeping.end()
        for file, _ in self._homeless:
            os.close(file)
        if self._state is not None:
            self._state.remove()
        self._events.event("stopped")


def _check(given: ServerSettings) -> None:
    """See that the files that every worker reads are good.

    Raises:
        ServeError: one is not.
    """
    if given.tokens:
        token_file.read(Path(given.tokens))
    allowed_urls.prefixes(given.queue_rules.callbacks)
    if given.certificate or given.key:
        tls.context(given.certificate, given.key)


def _own_folder(folder: str, port: int) -> str:
    """This server's own folder, emptied of what a server before it left; "" where it has none."""
    if not folder:
        return ""
    own = Path(folder) / str(port)
    shutil.rmtree(own, ignore_errors=True)
    metrics_file.clear(own)
    return str(own)
