"""One api's queue: requests that wait now are answered by one call of the api's function."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from funade.serve.isolate import Span, spans
from funade.serve.journal import Journal
from funade.serve.lane import Lane
from funade.serve.limits import Limits
from funade.serve.served import Api

_SHOWN = 16


class Ask(Protocol):
    """One request, as the queue sees it."""

    rows: list[Any]
    single: bool
    done: bool
    timer: asyncio.TimerHandle | None

    def answer(self, body: bytes, fallback: str = "") -> None:
        """Send the answer; ``fallback`` says why it is not the function's own."""

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Send an error."""


class Answer(NamedTuple):
    """What the lane found for one request: a body, or None where some row failed and nothing stands in for it."""

    body: bytes | None
    failed: tuple[int, ...] = ()


class Batcher:
    """The queue of one api.

    Args:
        api: the api.
        lane: where its function runs.
        loop: for deadlines.
        journal: where a failing function's traceback goes.
        limits: how many rows may wait and how many are answered by one call.
    """

    def __init__(self, api: Api, lane: Lane, loop: asyncio.AbstractEventLoop, journal: Journal, limits: Limits) -> None:
        self.api = api
        self._lane = lane
        self._loop = loop
        self._journal = journal
        self._limits = limits
        self._waiting: deque[tuple[Ask, int]] = deque()
        self._waiting_rows = 0
        self._queued = False
        self._fallback = fallback_json(api)

    def add(self, ask: Ask, within_s: float | None = None) -> None:
        """Take a request in; past the bound, or ``within_s`` seconds later, the fallback or an error answers it."""
        count = len(ask.rows)
        if not count:
            ask.answer(b"[]")
        elif self._waiting_rows and self._waiting_rows + count > self._limits.waiting_rows:
            self._instead(ask, "busy", 503, f"api `{self.api.name}` has too many requests waiting; try again")
        elif within_s is not None and within_s <= 0:
            self._late(ask)
        else:
            if within_s is not None:
                ask.timer = self._loop.call_later(within_s, self._late, ask)
            self._waiting.append((ask, count))
            self._waiting_rows += count
            if not self._queued:
                self._queued = True
                self._lane.want(self)

    def take(self) -> list[Ask]:
        """As many waiting requests as go into one call, oldest first, without those already answered or gone."""
        asks: list[Ask] = []
        rows = 0
        waiting = self._waiting
        while waiting:
            ask, count = waiting[0]
            if asks and rows + count > self._limits.batch_rows:
                break
            waiting.popleft()
            self._waiting_rows -= count
            if not ask.done:
                asks.append(ask)
                rows += count
        self._queued = bool(waiting)
        if waiting:
            self._lane.want(self)
        return asks

    def work(self, asks: list[Ask]) -> list[Answer]:
        """One answer per request, in order."""
        rows = asks[0].rows if len(asks) == 1 else [row for ask in asks for row in ask.rows]
        try:
            found = spans(self.api, rows)
            if len(found) == 1 and (columns := found[0].columns) is not None:
                return self._whole(asks, columns)
            self._journal.failed(self.api.name, next(s.error for s in found if s.error is not None))
            return self._pieces(asks, found)
        except BaseException as error:  # the answers cannot be written; nothing of this may end the lane
            self._journal.failed(self.api.name, error)
            return self._pieces(asks, [Span(0, len(rows), None, error)])

    def deliver(self, asks: list[Ask], found: Sequence[Answer]) -> None:
        """Send what the lane found."""
        for ask, answer in zip(asks, found, strict=True):
            if not ask.done:
                try:
                    self._send(ask, answer)
                except Exception as error:  # one connection's trouble is not its neighbours'
                    self._journal.event("defect", error=f"{type(error).__name__}: {error}")

    def _send(self, ask: Ask, answer: Answer) -> None:
        if answer.body is None:
            path = "" if ask.single else f"$[{answer.failed[0]}]"
            ask.refuse(500, f"api `{self.api.name}` failed to answer; see the server's log", path)
        elif answer.failed:
            ask.answer(answer.body, "error" + ("" if ask.single else f"; rows={_listed(answer.failed)}"))
        else:
            ask.answer(answer.body)

    def _whole(self, asks: list[Ask], columns: Any) -> list[Answer]:
        encode, start, found = self.api.encode, 0, []
        for ask in asks:
            stop = start + len(ask.rows)
            found.append(Answer(encode(columns, start, stop, single=ask.single)))
            start = stop
        return found

    def _pieces(self, asks: list[Ask], found: list[Span]) -> list[Answer]:
        answers, start = [], 0
        for ask in asks:
            stop = start + len(ask.rows)
            inside = [s for s in found if s.start < stop and s.stop > start]
            answers.append(self._one(ask, start, stop, inside))
            start = stop
        return answers

    def _one(self, ask: Ask, start: int, stop: int, inside: list[Span]) -> Answer:
        """A request's answer from the spans that cover it."""
        pieces: list[bytes] = []
        failed: list[int] = []
        for span in inside:
            first, last = max(span.start, start), min(span.stop, stop)
            if span.columns is None:
                failed += range(first - start, last - start)
                pieces += [self._fallback or b""] * (last - first)
            else:
                many = self.api.encode(span.columns, first - span.start, last - span.start, single=False)
                pieces.append(many[1:-1])
        if failed and self._fallback is None:
            return Answer(None, tuple(failed))
        body = pieces[0] if ask.single else b"[" + b",".join(pieces) + b"]"
        return Answer(body, tuple(failed))

    def _late(self, ask: Ask) -> None:
        if not ask.done:
            self._instead(ask, "late", 504, f"api `{self.api.name}` did not answer within the time asked for")

    def _instead(self, ask: Ask, reason: str, status: int, error: str) -> None:
        if self._fallback is None:
            ask.refuse(status, error)
        elif ask.single:
            ask.answer(self._fallback, reason)
        else:
            ask.answer(b"[" + b",".join([self._fallback] * len(ask.rows)) + b"]", reason)


def fallback_json(api: Api) -> bytes | None:
    """The api's declared fallback as one JSON object, its fields in the contract's order."""
    if api.fallback is None:
        return None
    given = api.fallback
    fields = api.contract.gives_fields
    return msgspec.json.encode({f.name: given.get(f.name, f.default) for f in fields})


def _listed(rows: Sequence[int]) -> str:
    """Row numbers for a header: the first few, then how many more.

    >>> _listed(range(3))
    '0 1 2'
    """
    more = f" +{len(rows) - _SHOWN}" if len(rows) > _SHOWN else ""
    return " ".join(str(r) for r in rows[:_SHOWN]) + more
