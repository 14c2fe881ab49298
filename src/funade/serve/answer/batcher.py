"""One api's queue: requests that wait now are answered by one call of the api's function."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from funade.bind.api import BoundApi
from funade.contract import outcome
from funade.serve.answer.admission import Admission
from funade.serve.answer.call import BatchCall, BatchResult, NoAnswer
from funade.serve.answer.executor import Executor
from funade.serve.answer.recorder import Recorder
from funade.serve.answer.request import PLAIN, AnswerRequest, ApiAnswers, Notes
from funade.serve.limits import Limits
from funade.store.prediction_record import Record, record


class _Substitute(NamedTuple):
    """A request that the fallback answers without a call, its prediction number, and why (of ``contract.outcome``)."""

    request: AnswerRequest
    number: int
    code: int


class Batcher:
    """The queue of one api, whose function the executor runs; the limits bound the queue and one call."""

    def __init__(
        self, api: BoundApi, loop: asyncio.AbstractEventLoop, executor: Executor, recorder: Recorder, limits: Limits
    ) -> None:
        self.api = api
        self._loop = loop
        self._executor = executor
        self._recorder = recorder
        self._admission = Admission(limits, api.promise_s)
        self._waiting: deque[tuple[AnswerRequest, int]] = deque()
        self.waiting_rows = 0
        self._queued = False
        self._durable = api.durable and recorder.log is not None
        self._fallback = None if api.fallback is None else api.answers.constant(api.fallback)
        self._standing = ApiAnswers(self._fallback or {}, api.answers.structs)
        self._substitutes: list[_Substitute] = []
        self.work = BatchCall(api, self._fallback, recorder.events).answer

    @property
    def spare_rows(self) -> int:
        """How many more rows the next call has room for."""
        return self._admission.call - self.waiting_rows

    def add(self, request: AnswerRequest, within_s: float | None = None) -> None:
        """Take a request in; past the bound, or ``within_s`` seconds later, the fallback or an error answers it."""
        count = len(request.rows)
        if not count:
            body = request.write(ApiAnswers(self.api.answers.empty(), self.api.answers.structs), 0, 0)
            request.answer(body, self._recorder.numbers(1)[0])
        elif self.waiting_rows and self.waiting_rows + count > self._admission.waiting:
            self._substitute(request, outcome.BUSY)
        elif within_s is not None and within_s <= 0:
            self._substitute(request, outcome.LATE)
        else:
            if within_s is not None:
                request.timer = self._loop.call_later(within_s, self._late, request)
            self._waiting.append((request, count))
            self.waiting_rows += count
            if not self._queued:
                self._queued = True
                self._executor.want(self)

    def take(self) -> list[AnswerRequest]:
        """As many waiting requests as go into one call, oldest first, without those already answered or gone."""
        requests: list[AnswerRequest] = []
        rows = 0
        waiting, most = self._waiting, self._admission.call
        while waiting:
            request, count = waiting[0]
            if requests and rows + count > most:
                break
            waiting.popleft()
            self.waiting_rows -= count
            if not request.done:
                requests.append(request)
                rows += count
        self._queued = bool(waiting)
        if waiting:
            self._executor.want(self)
        return requests

    def deliver(self, requests: list[AnswerRequest], result: BatchResult | None) -> None:
        """Log, count and send what a call gave; None: it gave nothing, the executor's own defect."""
        if result is None:
            for request in requests:
                self._refuse(request, outcome.ERROR)
            return
        self._admission.took(result.rows, result.took_s)
        numbers: Sequence[int] = self._recorder.numbers(len(requests))
        if _some_done(requests):
            requests, numbers, result = _unanswered(requests, numbers, result)
            if not requests:
                return
        answered = record(
            self.api.name,
            requests,
            numbers,
            result.request,
            result.answers,
            result.spoke,
            result.defaults,
            result.guards,
        )
        if self._durable:
            self._keep(answered, requests, partial(self._send, requests, numbers, result))
        else:
            self._recorder.note(answered)
            self._send(requests, numbers, result)

    def _keep(self, answered: Record, requests: Sequence[AnswerRequest], send: Callable[[], None]) -> None:
        """Send answers once they are on the disk; where they cannot be kept, the requests are refused."""

        def then(kept: bool) -> None:
            if kept:
                send()
            else:
                self._lost(requests)

        self._recorder.keep(answered, then)

    def _send(self, requests: Sequence[AnswerRequest], numbers: Sequence[int], result: BatchResult) -> None:
        notes = result.notes
        for index, request in enumerate(requests):
            if request.done:
                continue
            try:
                body = result.bodies[index]
                if isinstance(body, NoAnswer):
                    code = outcome.GUARD if body.rejected else outcome.ERROR
                    self._refuse(request, code, "" if request.single else f"$[{body.row}]")
                else:
                    request.answer(body, numbers[index], PLAIN if notes is None else notes[index])
            except Exception as error:  # one connection's trouble is not its neighbours'
                self._recorder.events.event("defect", error=f"{type(error).__name__}: {error}")

    def _lost(self, requests: Sequence[AnswerRequest]) -> None:
        """Refuse what was answered and could not be kept."""
        text = f"api `{self.api.name}` cannot keep its answers just now; try again"
        for request in requests:
            if not request.done:
                self._recorder.refuse(self.api.name, request, 503, text)

    def _late(self, request: AnswerRequest) -> None:
        if not request.done:
            self._substitute(request, outcome.LATE)

    def _refuse(self, request: AnswerRequest, code: int, path: str = "") -> None:
        name = self.api.name
        status, error = {
            outcome.BUSY: (503, f"api `{name}` has too many requests waiting; try again"),
            outcome.LATE: (504, f"api `{name}` did not answer within the time asked for"),
            outcome.GUARD: (500, f"api `{name}` has no answer that its guard lets through"),
        }.get(code, (500, f"api `{name}` failed to answer; see the server's log"))
        if not request.done:
            self._recorder.refuse(name, request, status, error, path)

    # -- the fallback in place of a call

    def _substitute(self, request: AnswerRequest, code: int) -> None:
        """The fallback answers in the function's stead, or an error does."""
        if self._fallback is None:
            self._refuse(request, code)
            return
        substitute = _Substitute(request, self._recorder.numbers(1)[0], code)
        if not self._substitutes:
            self._loop.call_soon(self._note)
        self._substitutes.append(substitute)
        if not self._durable:
            self._send_fallback(substitute)

    def _send_fallback(self, substitute: _Substitute) -> None:
        assert self._fallback is not None
        request, number, code = substitute
        count, standing = len(request.rows), self._standing
        if count > 1:
            columns = {name: column.repeat(count) for name, column in self._fallback.items()}
            standing = ApiAnswers(columns, self.api.answers.structs)
        body = request.write(standing, 0, count)
        request.answer(body, number, Notes(fallback=outcome.NAMES[code]))

    def _note(self) -> None:
        """Log and count what the fallback answered in this turn of the loop; what is durable is answered then."""
        substitutes, self._substitutes = self._substitutes, []
        requests = [substitute.request for substitute in substitutes]
        answered = self._record_of(requests, substitutes)
        if self._durable:
            self._keep(answered, requests, partial(self._send_fallbacks, substitutes))
        else:
            self._recorder.note(answered)

    def _send_fallbacks(self, substitutes: Sequence[_Substitute]) -> None:
        for substitute in substitutes:
            if not substitute.request.done:
                self._send_fallback(substitute)

    def _record_of(self, requests: Sequence[AnswerRequest], substitutes: Sequence[_Substitute]) -> Record:
        assert self._fallback is not None
        counts = [len(request.rows) for request in requests]
        rows = sum(counts)
        batch = self.api.take([row for request in requests for row in request.rows])
        return record(
            self.api.name,
            requests,
            [substitute.number for substitute in substitutes],
            batch.frozen(),
            {name: column.repeat(rows) for name, column in self._fallback.items()},
            np.repeat(np.array([substitute.code for substitute in substitutes], dtype=np.uint8), counts),
            batch.defaults,
        )


def _some_done(requests: Sequence[AnswerRequest]) -> bool:
    """Whether one was answered by the clock meanwhile, or nobody waits for it any more."""
    for request in requests:  # noqa: SIM110  (a generator costs a batch of one request as much as its numbers)
        if request.done:
            return True
    return False


def _unanswered(
    requests: list[AnswerRequest], numbers: Sequence[int], result: BatchResult
) -> tuple[list[AnswerRequest], list[int], BatchResult]:
    """Without the requests that need no answer any more."""
    places = [index for index, request in enumerate(requests) if not request.done]
    rows = np.repeat([not request.done for request in requests], [len(request.rows) for request in requests])
    return [requests[i] for i in places], [numbers[i] for i in places], result.of(places, rows)
