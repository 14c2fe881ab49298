"""What callers of the queue ask: to keep a request, and how one stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from funade.errors import ContractViolation, DiskFull
from funade.queue.queue import Queue
from funade.queue.records import QueuedRequest, Receipt, Refusal, Submission
from funade.serve.queue.allowed_urls import prefixes, refusal
from funade.serve.queue.background import BackgroundThread

if TYPE_CHECKING:
    from funade.serve.answer.runtime import Runtime

Kept_ = Callable[[Receipt | Refusal], None]
Looked = Callable[[QueuedRequest | Refusal], None]

LONGEST_S = 60.0
"""The longest that a look may wait."""

_MOST_WAITING = 1000
_MOST_BYTES = 64 * 1024 * 1024
_LONGEST_KEY = 255
_NOT_NOW = Refusal(503, "the queue cannot be read or written just now; try again")


class _Waiter(NamedTuple):
    until: float
    then: Looked
    gone: Callable[[], bool]


class Submitter:
    """Keeps requests and tells how they stand; every method on the loop's thread.

    Args:
        desk: the worker's.
        queue: the queue.
        writer: writes to it; what is submitted together is kept in one transaction.
        reader: reads it.
        kept: called when something was kept.
    """

    def __init__(
        self,
        runtime: Runtime,
        queue: Queue,
        writer: BackgroundThread,
        reader: BackgroundThread,
        kept: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._queue = queue
        self._writer = writer
        self._reader = reader
        self._on_kept = kept
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

    def submit(self, api: str, body: bytes, key: str, callback: str, then: Kept_) -> None:
        """Keep a request; ``then`` is told once it is on disk, or why it is not kept."""
        found = self._checked(api, body, key, callback)
        if isinstance(found, Refusal):
            self._runtime.meter.refused(api, found.status, "queue")
            then(found)
            return
        size = len(body) + 1
        self._bytes += size

        def told(said: Receipt | Refusal | Exception) -> None:
            self._bytes -= size
            if isinstance(said, Exception):
                said = self._trouble(said)
            if isinstance(said, Refusal):
                self._runtime.meter.refused(api, said.status, "queue")
            else:
                self._on_kept()
            then(said)

        self._writer.ask(self._queue.submit, found, told)

    def look(self, id: str, wait_s: float, then: Looked, gone: Callable[[], bool]) -> None:
        """Tell how a request stands: at once, or when it has ended or ``wait_s`` has passed, unless ``gone``."""
        until = time.monotonic() + min(wait_s, LONGEST_S)

        def told(found: QueuedRequest | Exception | None) -> None:
            if isinstance(found, Exception):
                then(self._trouble(found))
            elif found is None:
                then(Refusal(404, "no request of this id is kept here"))
            elif found.state in ("done", "dead") or not self._may_wait(until):
                then(found)
            else:
                self._waiting.setdefault(id, []).append(_Waiter(until, then, gone))

        self._reader.ask(self._look, id, told)

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

    def _checked(self, api: str, body: bytes, key: str, callback: str) -> Submission | Refusal:
        if len(key) > _LONGEST_KEY or not key.isascii() or not key.isprintable():
            return Refusal(400, f"header `idempotency-key` expected at most {_LONGEST_KEY} plain characters")
        if callback and (refused := refusal(callback, self._allowed)):
            return Refusal(403, refused)
        if self._bytes > _MOST_BYTES:
            return Refusal(503, "too many requests are being kept at once; try again")
        bound = self._runtime.queues[api].api
        try:
            rows, _ = bound.decode(body)
        except ContractViolation as error:
            return Refusal(422, error.what, str(error.facts.get("path", "$")))
        except Exception as error:
            self._runtime.events.failed(api, error)
            return Refusal(500, f"api `{api}` could not read the request; see the server's log")
        return Submission(api, body, len(rows), key, callback)

    def _look(self, ids: list[str]) -> list[QueuedRequest | None]:
        found = self._queue.look(list(set(ids)))
        return [found.get(id) for id in ids]

    def _trouble(self, error: Exception) -> Refusal:
        self._runtime.events.failed("queue", error)
        if isinstance(error, DiskFull):
            return Refusal(503, "the queue has no room on its disk; try again later")
        return _NOT_NOW
