"""A worker process: one release loaded, warmed, and answered until it is told to retire.

The supervisor starts it with ``Begin``. Users' code runs on the main thread; where the event loop runs is the
executor's to say.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import uvloop

from funade import clock, points
from funade.bind.release import LoadedRelease
from funade.errors import FunadeError, ServeError
from funade.events import EventLog
from funade.process.child import Ready
from funade.process.error_report import ErrorReport
from funade.process.parent import Parent, leave, run
from funade.serve.answer.executor import Executor
from funade.serve.answer.recorder import Recorder
from funade.serve.answer.runtime import Runtime
from funade.serve.control.channel import Channel
from funade.serve.control.messages import Begin, Handed, Message, Retire, Retired, Start, Stop, Take
from funade.serve.door import Door
from funade.serve.http.door import HttpDoor
from funade.serve.http.routes import Routes
from funade.serve.http.shared import HttpShared
from funade.serve.limits import more_files
from funade.serve.metrics.meter import Meter
from funade.serve.queue import door as queue_door
from funade.serve.tls import Tls
from funade.serve.tokens.tokens import Tokens
from funade.serve.worker import endpoints
from funade.store.store import Store

_LOOK_S = 0.02
_LAST_WRITES_S = 1.0
_STUCK = 75
_OTHER_FILES = 128
_LONGEST = 8000


class Worker:
    """One release in one process; every method but ``load`` runs on the loop's thread."""

    def __init__(self, begin: Begin, loop: asyncio.AbstractEventLoop, events: EventLog) -> None:
        self._begin, self._settings = begin, begin.settings
        self._loop = loop
        loop.set_exception_handler(lambda _, facts: events.event("defect", **_plain(facts)))
        self._events = events
        self.executor = Executor(loop)
        self._doors: list[Door] = []
        self._http: HttpDoor | None = None
        self._socket = _adopted(begin.listener)
        self._grpc = _adopted(begin.grpc_listener) if begin.grpc_listener >= 0 else None
        self._channel = Channel(_adopted(begin.control), loop, self._hear, self._orphaned)
        self._ending = False
        self._shut = False

    def load(self) -> LoadedRelease:
        """The release, warmed; on the main thread.

        Raises:
            ServeError: its golden rows were answered differently; or whatever the user's code raised.
        """
        settings, release = self._settings, self._begin.release
        self._tokens = Tokens(settings.tokens, clock.system, settings.predict, self._not_read("tokens"))
        self._tls = (
            Tls(settings.certificate, settings.key, self._not_read("certificate")) if settings.certificate else None
        )
        module, _, name = settings.loader.partition(":")
        loader = getattr(importlib.import_module(module), name)
        loaded: LoadedRelease = loader({**settings.argument, "release": release})
        if loaded.release != release:
            raise ServeError(f"loader expected release {release}, got {loaded.release}")
        loaded.warm()
        return loaded

    def _not_read(self, what: str) -> Callable[[str], None]:
        return lambda why: self._events.event(f"{what} not read", error=why)

    def open(self, loaded: LoadedRelease) -> None:
        """The release is ready: wait for the supervisor's word."""
        settings = self._settings
        most = min(settings.limits.connections, max(more_files() - _OTHER_FILES, 16))
        try:
            recorder = self._recorder(loaded)
            runtime = Runtime(self._loop, self.executor, recorder, settings.limits, loaded, self._tokens)
            self._runtime = runtime
            queue = queue_door.of(runtime, settings)
            submitter = queue.submitter if queue is not None else None
            routes = Routes(runtime, endpoints.routes(runtime, submitter))
            shared = HttpShared(runtime, routes, hosts=settings.host_names, hand=self._hand, tls=self._tls)
            self._http = HttpDoor(shared, self._socket, most=most)
            queues = [queue] if queue is not None else []
            self._doors = [self._http, *queues, *endpoints.grpc_doors(runtime, submitter, settings, self._grpc)]
        except (FunadeError, OSError) as error:
            self.fail(ErrorReport.of(error))
            return
        self._tick()
        self._channel.send(Ready())

    def _recorder(self, loaded: LoadedRelease) -> Recorder:
        mark = os.urandom(6).hex()
        meter = Meter(mark, self._begin.folder, loaded.apis)
        log = None
        if self._settings.store:
            without = {name: api.unlogged for name, api in loaded.apis.items()}
            predictions = Store.open(self._settings.store).predictions
            log = predictions.writer(mark, loaded.release, without, self._loop, self._events)
        return Recorder(mark, meter, self._events, log)

    def fail(self, report: ErrorReport) -> None:
        """The release did not come up: say so and end."""
        self._channel.send(report)
        self._leave_process(1)

    def stop(self) -> None:
        """Accept no more, finish what is begun, end."""
        self._wind_down(handing=False)

    def _hear(self, message: Message, file: int | None) -> None:
        if isinstance(message, Start):
            for door in self._doors:
                door.start()
        elif isinstance(message, Take) and file is not None:
            os.set_inheritable(file, False)
            assert self._http is not None
            self._http.adopt(socket.socket(fileno=file), message.unread)
        elif isinstance(message, Retire):
            self._wind_down(handing=True)
        elif isinstance(message, Stop):
            self.stop()

    def _orphaned(self) -> None:
        """The supervisor is gone: finish what is begun and end."""
        if not self._doors:
            os._exit(1)
        self._events.event("supervisor gone")
        self.stop()

    def _hand(self, file: int, unread: bytes) -> None:
        points.passing("swap.handing")
        self._channel.send(Handed(unread), file)
        points.passing("swap.handed")

    def _wind_down(self, *, handing: bool) -> None:
        if not self._doors:
            os._exit(0)
        self._shut = self._shut or not handing
        for door in self._doors:
            (door.shut if self._shut else door.retire)()
        if handing:
            self._channel.send(Retired())
        if not self._ending:
            self._ending = True
            self._wait_for_the_end(self._loop.time() + self._settings.drain_s)

    def _wait_for_the_end(self, deadline: float) -> None:
        """Look every 20 ms whether all doors are empty."""
        now = self._loop.time()
        if (all(door.empty for door in self._doors) and self._channel.empty) or now > deadline + _LAST_WRITES_S:
            self._leave_process(0)
            return
        for door in self._doors:
            if now > deadline:
                door.cut()
            elif self._shut:
                door.shut()
            else:
                door.retire()
        self._loop.call_later(_LOOK_S, self._wait_for_the_end, deadline)

    def _tick(self) -> None:
        for door in self._doors:
            door.tick()
        self._runtime.recorder.tick({name: queue.waiting_rows for name, queue in self._runtime.queues.items()})
        if self.executor.busy and time.monotonic() - self.executor.since > self._settings.limits.call_s:
            self._stuck()
        self._loop.call_later(1.0, self._tick)

    def _stuck(self) -> None:
        """A call that does not end holds up every api of this process: another process must take over."""
        self._events.event("stuck", seconds=self._settings.limits.call_s)
        for door in self._doors:
            door.shut()
            door.cut()
        self._loop.call_later(_LOOK_S, os._exit, _STUCK)

    def guard(self) -> None:
        """End the process when a call does not end that the loop itself waits for; for a thread of its own."""
        while True:
            time.sleep(1.0)
            if self.executor.together and self.executor.busy:
                waited = time.monotonic() - self.executor.since
                if waited > self._settings.limits.call_s + 1.0:
                    self._events.event("stuck", seconds=self._settings.limits.call_s)
                    os._exit(_STUCK)

    def _leave_process(self, code: int) -> None:
        """End through the main thread where users' functions are done, else at once."""
        self._events.event("worker ended")
        if self._doors:
            self._runtime.recorder.close()
        if self.executor.busy or code:
            os._exit(code)
        self.executor.close()
        guard = threading.Timer(2.0, os._exit, (code,))  # a thread of the user's may never end
        guard.daemon = True
        guard.start()


def _adopted(file: int) -> socket.socket:
    os.set_inheritable(file, False)
    return socket.socket(fileno=file)


def _plain(facts: dict[str, Any]) -> dict[str, str]:
    error = facts.get("exception")
    text = "".join(traceback.format_exception(error))[-_LONGEST:] if error is not None else ""
    return {"error": str(facts.get("message", "")), "traceback": text}


def main(begin: Begin, parent: Parent) -> None:
    """Serve as the supervisor says, which hears of everything by the control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the whole group; the supervisor decides
    events = EventLog(clock.system, begin.settings.log, worker=os.getpid(), release=begin.release)
    sys.setswitchinterval(0.001)
    loop = uvloop.new_event_loop()
    worker = Worker(begin, loop, events)
    signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(worker.stop))
    worker.executor.start(lambda: _spin(loop, worker.executor))
    threading.Thread(target=worker.guard, daemon=True, name="funade-guard").start()
    _come_up(worker, loop, events)
    worker.executor.run()
    leave(0)  # the loop's thread and libraries' own still run; tearing the interpreter down under them may crash


def _come_up(worker: Worker, loop: asyncio.AbstractEventLoop, events: EventLog) -> None:
    """Load the release and open the doors, or say why not."""
    gc.disable()  # an import makes many things to last, and little to collect
    try:
        loaded = worker.load()
    except BaseException as error:  # whatever the user's code does, the supervisor hears why
        report = ErrorReport.of(error)
        frames = "".join(traceback.format_exception(error))[-_LONGEST:]
        events.event("not ready", error=report.line(), traceback=frames)
        loop.call_soon_threadsafe(worker.fail, report)
        return
    gc.collect()
    gc.freeze()
    gc.enable()
    loop.call_soon_threadsafe(worker.open, loaded)


def _spin(loop: asyncio.AbstractEventLoop, executor: Executor) -> None:
    """Run the loop until the executor stops it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        if not executor.stopping:
            os._exit(70)


if __name__ == "__main__":
    run(main, Begin)
