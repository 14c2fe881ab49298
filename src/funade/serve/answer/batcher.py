"""One api's queue: requests that wait now are answered by one call of the api's function."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from funade.bind.halves import Span, spans
from funade.contract import outcome
from funade.contract.arrays import Codes, Columns, Masks
from funade.contract.batch import Batch, FrozenRows
from funade.contract.outcome import Outcome
from funade.errors import AnswerError
from funade.predictions.record import Record, record
from funade.serve.answer.admission import Admission
from funade.serve.answer.api import Api
from funade.serve.answer.notes import said
from funade.serve.answer.request import PLAIN, AnswerRequest, ApiAnswers, Notes

if TYPE_CHECKING:
    from funade.serve.answer.runtime import Runtime


class NoAnswer(NamedTuple):
    """In place of a body: this row of the request has no answer; ``rejected`` says that a guard left it none."""

    row: int
    rejected: bool


class BatchResult(NamedTuple):
    """What the lane made for a batch: the body of each request, or which of its rows has no answer.

    ``spoke``, ``guards`` and ``saids`` are None where the function answered every row and nothing is to be said.
    """

    kept: FrozenRows
    defaults: Masks | None
    answers: Columns
    bodies: list[Any]
    rows: int
    took_s: float
    spoke: Codes | None = None
    guards: Masks | None = None
    saids: list[Notes] | None = None


class Batcher:
    """The queue of one api.

    Args:
        api: the api.
        desk: the worker's.
    """

    def __init__(self, api: Api, runtime: Runtime) -> None:
        self.api = api
        self._runtime = runtime
        self._admission = Admission(runtime.limits, api.promise_s)
        self._waiting: deque[tuple[AnswerRequest, int]] = deque()
        self.waiting_rows = 0
        self._queued = False
        self._instead: list[tuple[AnswerRequest, int, int]] = []
        self._fallback = None if api.fallback is None else api.answers.constant(api.fallback)
        self._standing = ApiAnswers(self._fallback or {}, api.answers.structs)

    @property
    def spare_rows(self) -> int:
        """How many more rows the next call has room for."""
        return self._admission.call - self.waiting_rows

    # -- on the loop

    def add(self, ask: AnswerRequest, within_s: float | None = None) -> None:
        """Take a request in; past the bound, or ``within_s`` seconds later, the fallback or an error answers it."""
        count = len(ask.rows)
        if not count:
            body = ask.write(ApiAnswers(self.api.answers.empty(), self.api.answers.structs), 0, 0)
            ask.answer(body, self._runtime.numbers(1)[0])
        elif self.waiting_rows and self.waiting_rows + count > self._admission.waiting:
            self._speak(ask, outcome.BUSY)
        elif within_s is not None and within_s <= 0:
            self._speak(ask, outcome.LATE)
        else:
            if within_s is not None:
                ask.timer = self._runtime.loop.call_later(within_s, self._late, ask)
            self._waiting.append((ask, count))
            self.waiting_rows += count
            if not self._queued:
                self._queued = True
                self._runtime.executor.want(self)

    def take(self) -> list[AnswerRequest]:
        """As many waiting requests as go into one call, oldest first, without those already answered or gone."""
        requests: list[AnswerRequest] = []
        rows = 0
        waiting, most = self._waiting, self._admission.call
        while waiting:
            ask, count = waiting[0]
            if requests and rows + count > most:
                break
            waiting.popleft()
            self.waiting_rows -= count
            if not ask.done:
                requests.append(ask)
                rows += count
        self._queued = bool(waiting)
        if waiting:
            self._runtime.executor.want(self)
        return requests

    def deliver(self, requests: list[AnswerRequest], worked: BatchResult | None) -> None:
        """Log, count and send what the lane found; None: it found nothing, its own defect."""
        if worked is None:
            for ask in requests:
                self._refuse(ask, outcome.ERROR)
            return
        self._admission.took(worked.rows, worked.took_s)
        numbers: Sequence[int] = self._runtime.numbers(len(requests))
        if any(ask.done for ask in requests):  # answered by the clock meanwhile, or nobody waits any more
            requests, numbers, worked = _still_open(requests, numbers, worked)
            if not requests:
                return
        told = record(
            self.api.name, requests, numbers, worked.kept, worked.answers, worked.spoke, worked.defaults, worked.guards
        )
        log = self._runtime.log
        if log is not None and self.api.durable:
            log.keep(told, lambda kept: self._send(requests, told, worked) if kept else self._unkept(requests))
            return
        if log is not None:
            log.add(told)
        self._send(requests, told, worked)

    def _send(self, requests: Sequence[AnswerRequest], told: Record, worked: BatchResult) -> None:
        self._runtime.meter.batch(told)
        saids, numbers = worked.saids, told.numbers
        for index, ask in enumerate(requests):
            if ask.done:
                continue
            try:
                body = worked.bodies[index]
                if isinstance(body, NoAnswer):
                    code = outcome.GUARD if body.rejected else outcome.ERROR
                    self._refuse(ask, code, "" if ask.single else f"$[{body.row}]")
                else:
                    ask.answer(body, numbers[index], PLAIN if saids is None else saids[index])
            except Exception as error:  # one connection's trouble is not its neighbours'
                self._runtime.events.event("defect", error=f"{type(error).__name__}: {error}")

    def _unkept(self, requests: Sequence[AnswerRequest]) -> None:
        for ask in requests:
            if not ask.done:
                self._runtime.meter.refused(self.api.name, 503, ask.door)
                ask.refuse(503, f"api `{self.api.name}` cannot keep its answers just now; try again")

    def _late(self, ask: AnswerRequest) -> None:
        if not ask.done:
            self._speak(ask, outcome.LATE)

    def _refuse(self, ask: AnswerRequest, code: int, path: str = "") -> None:
        name = self.api.name
        status, error = {
            outcome.BUSY: (503, f"api `{name}` has too many requests waiting; try again"),
            outcome.LATE: (504, f"api `{name}` did not answer within the time asked for"),
            outcome.GUARD: (500, f"api `{name}` has no answer that its guard lets through"),
        }.get(code, (500, f"api `{name}` failed to answer; see the server's log"))
        if not ask.done:
            self._runtime.meter.refused(name, status, ask.door)
            ask.refuse(status, error, path)

    def _speak(self, ask: AnswerRequest, code: int) -> None:
        """The fallback answers in the function's stead, or an error does."""
        if self._fallback is None:
            self._refuse(ask, code)
            return
        number = self._runtime.numbers(1)[0]
        if not self._instead:
            self._runtime.loop.call_soon(self._note)
        self._instead.append((ask, number, code))
        if self._runtime.log is None or not self.api.durable:
            self._stand_in(ask, number, code)

    def _stand_in(self, ask: AnswerRequest, number: int, code: int) -> None:
        assert self._fallback is not None
        count, standing = len(ask.rows), self._standing
        if count > 1:
            columns = {name: column.repeat(count) for name, column in self._fallback.items()}
            standing = ApiAnswers(columns, self.api.answers.structs)
        body = ask.write(standing, 0, count)
        ask.answer(body, number, Notes(fallback=outcome.NAMES[code]))

    def _note(self) -> None:
        """Log and count what the fallback answered in this turn of the loop; what is durable is answered then."""
        noted, self._instead = self._instead, []
        assert self._fallback is not None
        requests = [ask for ask, _, _ in noted]
        taken = self.api.take([row for ask in requests for row in ask.rows])
        counts = [len(ask.rows) for ask in requests]
        rows = sum(counts)
        told = record(
            self.api.name,
            requests,
            [number for _, number, _ in noted],
            taken.kept(),
            {name: column.repeat(rows) for name, column in self._fallback.items()},
            np.repeat(np.array([code for _, _, code in noted], dtype=np.uint8), counts),
            taken.defaults,
        )
        log = self._runtime.log
        if log is not None and self.api.durable:
            log.keep(told, lambda kept: self._answer_instead(told, noted) if kept else self._unkept(requests))
            return
        self._runtime.meter.batch(told)
        if log is not None:
            log.add(told)

    def _answer_instead(self, told: Record, noted: Sequence[tuple[AnswerRequest, int, int]]) -> None:
        self._runtime.meter.batch(told)
        for ask, number, code in noted:
            if not ask.done:
                self._stand_in(ask, number, code)

    # -- where the api's function runs

    def work(self, requests: list[AnswerRequest]) -> BatchResult | None:
        """The body of each request, in order; None where even errors could not be told apart."""
        try:
            rows = requests[0].rows if len(requests) == 1 else [row for ask in requests for row in ask.rows]
            taken = self.api.take(rows)
            kept = taken.kept()
            began = time.monotonic()
            found = spans(lambda start, stop: self._given(rows, taken, start, stop), len(rows))
            took_s = time.monotonic() - began
            given = found[0].given if len(found) == 1 else None
            if given is not None and not given.faults and given.guards is None and taken.defaults is None:
                return BatchResult(kept, None, given.columns, self._bodies(requests, given.columns), len(rows), took_s)
            self._tell(found)
            return self._told(requests, kept, taken.defaults, found)._replace(took_s=took_s)
        except BaseException as error:  # the answers cannot be written; nothing of this may end the lane
            self._runtime.events.failed(self.api.name, error)
            return None

    def _given(self, rows: Sequence[Any], taken: Batch, start: int, stop: int) -> Outcome:
        """The function's answers; some rows alone are read anew, for it may have written into the columns."""
        if stop - start < len(rows):
            taken = self.api.take(rows[start:stop])
        return self.api.give(taken.columns, stop - start)

    def _tell(self, found: Sequence[Span]) -> None:
        """The first thing that went wrong goes into the server's log."""
        for span in found:
            if span.error is not None:
                self._runtime.events.failed(self.api.name, span.error)
                return
            if span.given is not None and span.given.faults:
                row = min(span.given.faults)
                fault = span.given.faults[row]
                self._runtime.events.failed(self.api.name, AnswerError(f"api `{self.api.name}`: {fault.text}"))
                return

    def _bodies(self, requests: list[AnswerRequest], columns: Columns) -> list[Any]:
        answers, start, bodies = ApiAnswers(columns, self.api.answers.structs), 0, []
        for ask in requests:
            stop = start + len(ask.rows)
            bodies.append(ask.write(answers, start, stop))
            start = stop
        return bodies

    def _joined(self, found: Sequence[Span], rows: int) -> tuple[Columns, Codes, Masks | None]:
        """One set of answers for the whole batch: the fallback's where the function has none."""
        spoke = np.zeros(rows, dtype=np.uint8)
        guards: Masks = {}
        for span in found:
            if span.given is None:
                spoke[span.start : span.stop] = outcome.ERROR
                continue
            for row, fault in span.given.faults.items():
                spoke[span.start + row] = fault.code
            for label, mask in (span.given.guards or {}).items():
                guards.setdefault(label, np.zeros(rows, dtype=np.bool_))[span.start : span.stop] = mask
        return self._filled(found, spoke), spoke, guards or None

    def _filled(self, found: Sequence[Span], spoke: Codes) -> Columns:
        standing = self._fallback or self.api.answers.blank()
        own: dict[str, list[Any]] = {name: [] for name in standing}
        for span in found:
            for name, one in standing.items():
                given = span.given.columns[name] if span.given is not None else one.repeat(span.stop - span.start)
                own[name].append(given)
        columns: Columns = {}
        for name, pieces in own.items():
            kinds = {piece.dtype for piece in (*pieces, standing[name])}
            # A column of whole numbers with missing ones is float64; it stays so beside whole numbers.
            dtype = np.result_type(*kinds) if all(kind.kind in "if" for kind in kinds) else np.dtype(object)
            dtype = kinds.pop() if len(kinds) == 1 else dtype
            column = np.concatenate([piece.astype(dtype) for piece in pieces])
            column[spoke != outcome.OWN] = standing[name].astype(dtype)[0]
            columns[name] = column
        return columns

    def _told(
        self, requests: list[AnswerRequest], kept: FrozenRows, defaults: Masks | None, found: Sequence[Span]
    ) -> BatchResult:
        columns, spoke, guards = self._joined(found, sum([len(ask.rows) for ask in requests]))
        lacking = spoke == outcome.REFUSED if self._fallback is not None else spoke != outcome.OWN
        answers, start = ApiAnswers(columns, self.api.answers.structs), 0
        bodies: list[Any] = []
        saids: list[Notes] = []
        for ask in requests:
            stop = start + len(ask.rows)
            rows = np.flatnonzero(lacking[start:stop])
            if rows.size:
                first = int(rows[0])
                bodies.append(NoAnswer(first, bool(spoke[start + first] in (outcome.REFUSED, outcome.GUARD))))
                spoke[start:stop] = outcome.REFUSED
            else:
                bodies.append(ask.write(answers, start, stop))
            saids.append(said(spoke, guards, defaults, start, stop, single=ask.single))
            start = stop
        shown = spoke if spoke.any() else None
        return BatchResult(kept, defaults, columns, bodies, len(spoke), 0.0, shown, guards, saids)


def _still_open(
    requests: list[AnswerRequest], numbers: Sequence[int], worked: BatchResult
) -> tuple[list[AnswerRequest], list[int], BatchResult]:
    """Without the requests that need no answer any more."""
    keep = [index for index, ask in enumerate(requests) if not ask.done]
    rows = np.repeat([not ask.done for ask in requests], [len(ask.rows) for ask in requests])

    def cut(columns: Any) -> Any:
        return None if columns is None else {name: column[rows] for name, column in columns.items()}

    worked = worked._replace(
        kept=worked.kept.chosen(rows),
        defaults=cut(worked.defaults),
        answers=cut(worked.answers),
        bodies=[worked.bodies[i] for i in keep],
        spoke=None if worked.spoke is None else worked.spoke[rows],
        guards=cut(worked.guards),
        saids=None if worked.saids is None else [worked.saids[i] for i in keep],
    )
    return [requests[i] for i in keep], [numbers[i] for i in keep], worked


def fallback_json(api: Api) -> bytes | None:
    """The api's declared fallback as one JSON object, its fields in the contract's order."""
    if api.fallback is None:
        return None
    return api.answers.encode(api.answers.constant(api.fallback), 0, 1, single=True)
