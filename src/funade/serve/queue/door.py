"""The door for requests that are answered later: kept in the queue, claimed from it, answered by the same apis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from funade import clock
from funade.serve.answer.runtime import Runtime
from funade.serve.queue.background import BackgroundThread
from funade.serve.queue.callbacks import CallbackSender
from funade.serve.queue.consumer import Consumer
from funade.serve.queue.submit import BEAT_S, Submitter
from funade.serve.settings import ServerSettings
from funade.store.ports.queue import Queue
from funade.store.queue_records import Sweep
from funade.store.store import Store


class _QueueState(NamedTuple):
    """What a look at the queue found: something to claim, who is waited for in vain, something to deliver."""

    due: bool
    ended: list[str]
    calls: bool


class QueueDoor:
    """A ``door.Door``; other workers, and other servers, share its queue.

    It looks twenty times a second whether others have left something in the queue or answered what is waited for here.
    ``submitter`` is what callers ask.
    """

    def __init__(self, runtime: Runtime, queue: Queue) -> None:
        self._runtime = runtime
        self._queue = queue
        self._writer = BackgroundThread(runtime.loop, "funade-queue-write")
        self._reader = BackgroundThread(runtime.loop, "funade-queue-read")
        self.submitter = Submitter(runtime, self._queue, self._writer, self._reader, lambda: self._consumer.look())
        self._consumer = Consumer(runtime, self._queue, self._writer, self.submitter.tell)
        self._callbacks = CallbackSender(self._queue, runtime.recorder.events)
        self._looking = False
        self._sweeping = False
        self._ended = False

    def gauges(self) -> Mapping[str, float]:
        """What the queue holds, for ``/metrics``; reads the file, on any thread."""
        return self._queue.counts().gauges

    def start(self) -> None:
        """Claim from now on."""
        if not self._consumer.on and not self._ended:
            self._consumer.on = True
            self._sweep()
            self._beat()

    def retire(self) -> None:
        """Claim no more: the newer release does. Nobody is kept waiting; what is begun is finished."""
        if not self._ended:
            self._ended = True
            self.submitter.patient = False
            self._consumer.stop()
            self._callbacks.close()
        self.submitter.tick()

    def shut(self) -> None:
        """As ``retire``."""
        self.retire()

    def cut(self) -> None:
        """What is not answered goes back into the queue."""
        self.retire()
        self._consumer.cut()

    def tick(self) -> None:
        """About once a second: take back what others left, keep what is held here."""
        self._consumer.tick()
        if self._consumer.on:
            self._sweep()

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return self._consumer.empty and self.submitter.empty

    def _beat(self) -> None:
        if self._ended:
            return
        self._runtime.loop.call_later(BEAT_S, self._beat)
        self._consumer.feed()
        self.submitter.tick()
        if not self._looking:
            self._looking = True
            waiting = self.submitter.waiting
            self._reader.call(lambda: self._see(waiting), self._seen)

    def _see(self, waiting: list[str]) -> _QueueState:
        ended = self._queue.ended(waiting) if waiting else []
        return _QueueState(self._queue.due(), ended, self._queue.callbacks.due())

    def _seen(self, seen: _QueueState | Exception) -> None:
        self._looking = False
        if isinstance(seen, Exception):
            self._runtime.recorder.events.failed("queue", seen)
            return
        self.submitter.tell(seen.ended)
        if seen.due:
            self._consumer.look()
        if seen.calls and not self._ended:
            self._callbacks.wake()

    def _sweep(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self._writer.call(self._queue.sweep, self._swept)

    def _swept(self, swept: Sweep | Exception) -> None:
        self._sweeping = False
        if isinstance(swept, Exception):
            self._runtime.recorder.events.failed("queue", swept)
            return
        if swept.lapsed:
            self._runtime.recorder.events.event("claims taken back", requests=swept.lapsed, dead=swept.dead)
        if swept.forgotten and self._consumer.on:  # there may be more: it forgets a bounded number at once
            self._sweep()


def of(runtime: Runtime, settings: ServerSettings) -> QueueDoor | None:
    """The door that the settings ask for; None where it names no queue.

    Raises:
        ServeError: a callback prefix is no URL.
    """
    if not settings.queue:
        return None
    queue = Store.open(settings.queue, clock.system).queue(settings.queue_rules, seed=int(runtime.recorder.mark, 16))
    door = QueueDoor(runtime, queue)
    runtime.recorder.meter.queue = door.gauges
    return door
