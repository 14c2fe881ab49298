"""What callers of the queue ask: to keep a request, and how one stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from funade.bind.api import BoundApi
from funade.errors import DiskFull
from funade.serve.answer.admit import refuse_unread
from funade.serve.answer.runtime import Runtime
from funade.serve.queue.allowed_urls import prefixes, refusal
from funade.serve.queue.background import BackgroundThread
from funade.store.ports.queue import Queue
from funade.store.queue_records import QueuedRequest, Receipt, Refusal, Submission

OnKept = Callable[[Receipt | Refusal], None]
OnStatus = Callable[[QueuedRequest | Refusal], None]

LONGEST_S = 60.0
"""The longest that a look may wait."""

BEAT_S = 0.05
"""How often, in seconds, it is looked whether a wait is over."""

_MOST_WAITING = 1000
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_KEY = 255
_NOT_NOW = Refusal(503, "the queue cannot be read or written just now; try again")


class SubmitRequest:
    """A request that is read and kept, not answered here; ``then`` is told why it is not kept."""

    __slots__ = ("_then", "rows")
    door = "queue"

    def __init__(self, then: OnKept) -> None:
        self._then = then
        self.rows: list[Any] = []

    def read(self, api: BoundApi, message: bytes) -> None:
        """The rows of a JSON body."""
        self.rows, _ = api.decode(message)

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Tell why it is not kept."""
        self._then(Refusal(status, error, path))


class _Waiter(NamedTuple):
    until: float
    then: OnStatus
    gone: Callable[[], bool]


class Submitter:
    """Keeps requests and tells how they stand; every method on the loop's thread.

    What is submitted together is kept in one transaction; ``on_kept`` is called when something was kept.
    """

    def __init__(
        self,
        runtime: Runtime,
        queue: Queue,
        writer: BackgroundThread,
        reader: BackgroundThread,
        on_kept: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._queue = queue
        self._writer = writer
        self._reader = reader
        self._on_kept = on_kept
        self._allowed = prefixes(queue.rules.callbacks)
        self._bytes = 0
        self._waiting: dict[str, list[_Waiter]] = {}
        self.patient = True

    @property
    def waiting(self) -> list[str]:
        """The requests that somebody waits for."""
        return list(self._waiting)

    @property
    def empty(self) -> bool:
        """Whether nobody waits for anything."""
        return not self._bytes and not self._waiting

    def submit(self, api: str, body: bytes, key: str, callback: str, then: OnKept) -> None:
        """Keep a request for an api of the release; ``then`` is told once it is on disk, or why it is not kept."""
        recorder, request = self._runtime.recorder, SubmitRequest(then)
        obstacle = self._obstacle(key, callback)
        if obstacle is not None:
            recorder.refuse(api, request, *obstacle)
            return
        bound = self._runtime.queues[api].api
        try:
            request.read(bound, body)
        except Exception as error:  # the caller waits for a receipt whatever is wrong here
            refuse_unread(recorder, bound, request, error)
            return
        size = len(body) + 1
        self._bytes += size

        def written(receipt: Receipt | Refusal | Exception) -> None:
            self._bytes -= size
            if isinstance(receipt, Exception):
                receipt = self._trouble(receipt)
            if isinstance(receipt, Refusal):
                recorder.refuse(api, request, *receipt)
            else:
                self._on_kept()
                then(receipt)

        self._writer.ask(self._queue.submit, Submission(api, body, len(request.rows), key, callback), written)

    def look(self, id: str, wait_s: float, then: OnStatus, gone: Callable[[], bool]) -> None:
        """Tell how a request stands: at once, or when it has ended or ``wait_s`` has passed, unless ``gone``."""
        until = time.monotonic() + min(wait_s, LONGEST_S)

        def seen(request: QueuedRequest | Exception | None) -> None:
            if isinstance(request, Exception):
                self._refuse(then, self._trouble(request))
            elif request is None:
                self._refuse(then, Refusal(404, "no request of this id is kept here"))
            elif request.state in ("done", "dead") or not self._may_wait(until):
                then(request)
            else:
                self._waiting.setdefault(id, []).append(_Waiter(until, then, gone))

        self._reader.ask(self._look, id, seen)

    def tell(self, ids: Sequence[str]) -> None:
        """These requests have ended."""
        for id in ids:
            for waiter in self._waiting.pop(id, ()):
                self._answer(id, waiter)

    def tick(self) -> None:
        """Tell those whose time is over how their requests stand; forget those who are gone."""
        now = time.monotonic()
        for id, waiters in list(self._waiting.items()):
            over = [w for w in waiters if w.until <= now or not self.patient or w.gone()]
            left = [w for w in waiters if w not in over]
            if left:
                self._waiting[id] = left
            else:
                del self._waiting[id]
            for waiter in over:
                self._answer(id, waiter)

    def _answer(self, id: str, waiter: _Waiter) -> None:
        if not waiter.gone():
            self.look(id, 0.0, waiter.then, waiter.gone)

    def _may_wait(self, until: float) -> bool:
        return self.patient and until > time.monotonic() and sum(map(len, self._waiting.values())) < _MOST_WAITING

    def _obstacle(self, key: str, callback: str) -> Refusal | None:
        """Why nothing can be kept under this key and callback just now; None where it can."""
        if len(key) > _LONGEST_KEY or not key.isascii() or not key.isprintable():
            return Refusal(400, f"header `idempotency-key` expected at most {_LONGEST_KEY} plain characters")
        if callback and (reason := refusal(callback, self._allowed)):
            return Refusal(403, reason)
        if self._bytes > _MOST_BYTES:
            return Refusal(503, "too many requests are being kept at once; try again")
        return None

    def _refuse(self, then: OnStatus, refusal: Refusal) -> None:
        self._runtime.recorder.meter.refused("", refusal.status, SubmitRequest.door)
        then(refusal)

    def _look(self, ids: list[str]) -> list[QueuedRequest | None]:
        requests = self._queue.look(list(set(ids)))
        return [requests.get(id) for id in ids]

    def _trouble(self, error: Exception) -> Refusal:
        self._runtime.recorder.events.failed("queue", error)
        if isinstance(error, DiskFull):
            return Refusal(503, "the queue has no room on its disk; try again later")
        return _NOT_NOW
