"""One api's queue: requests that wait now are answered by one call of the api's function."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from funade.declare import reason
from funade.declare.given import Given
from funade.declare.taken import Kept, Taken
from funade.errors import AnswerError
from funade.serve.ask import PLAIN, Answered, Ask, Said
from funade.serve.entry import Entry, entry
from funade.serve.isolate import Span, spans
from funade.serve.room import Room
from funade.serve.said import said
from funade.serve.served import Api

if TYPE_CHECKING:
    import numpy as np

    from funade.serve.desk import Desk

    Columns = dict[str, np.ndarray[Any, Any]]
    Codes = np.ndarray[Any, np.dtype[np.uint8]]
    Masks = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]


class Unanswered(NamedTuple):
    """In place of a body: this row of the request has no answer; ``rejected`` says that a guard left it none."""

    row: int
    rejected: bool


class Worked(NamedTuple):
    """What the lane made for a batch: the body of each request, or which of its rows has no answer.

    ``spoke``, ``guards`` and ``saids`` are None where the function answered every row and nothing is to be said.
    """

    kept: Kept
    defaults: Masks | None
    answers: Columns
    bodies: list[Any]
    rows: int
    took_s: float
    spoke: Codes | None = None
    guards: Masks | None = None
    saids: list[Said] | None = None


class Batcher:
    """The queue of one api.

    Args:
        api: the api.
        desk: the worker's.
    """

    def __init__(self, api: Api, desk: Desk) -> None:
        self.api = api
        self._desk = desk
        self._room = Room(desk.limits, api.promise_s)
        self._waiting: deque[tuple[Ask, int]] = deque()
        self.waiting_rows = 0
        self._queued = False
        self._instead: list[tuple[Ask, int, int]] = []
        self._fallback = None if api.fallback is None else api.answers.constant(api.fallback)
        self._standing = Answered(self._fallback or {}, api.answers.structs)

    @property
    def spare_rows(self) -> int:
        """How many more rows the next call has room for."""
        return self._room.call - self.waiting_rows

    # -- on the loop

    def add(self, ask: Ask, within_s: float | None = None) -> None:
        """Take a request in; past the bound, or ``within_s`` seconds later, the fallback or an error answers it."""
        count = len(ask.rows)
        if not count:
            body = ask.write(Answered(self.api.answers.empty(), self.api.answers.structs), 0, 0)
            ask.answer(body, self._desk.numbers(1)[0])
        elif self.waiting_rows and self.waiting_rows + count > self._room.waiting:
            self._speak(ask, reason.BUSY)
        elif within_s is not None and within_s <= 0:
            self._speak(ask, reason.LATE)
        else:
            if within_s is not None:
                ask.timer = self._desk.loop.call_later(within_s, self._late, ask)
            self._waiting.append((ask, count))
            self.waiting_rows += count
            if not self._queued:
                self._queued = True
                self._desk.lane.want(self)

    def take(self) -> list[Ask]:
        """As many waiting requests as go into one call, oldest first, without those already answered or gone."""
        asks: list[Ask] = []
        rows = 0
        waiting, most = self._waiting, self._room.call
        while waiting:
            ask, count = waiting[0]
            if asks and rows + count > most:
                break
            waiting.popleft()
            self.waiting_rows -= count
            if not ask.done:
                asks.append(ask)
                rows += count
        self._queued = bool(waiting)
        if waiting:
            self._desk.lane.want(self)
        return asks

    def deliver(self, asks: list[Ask], worked: Worked | None) -> None:
        """Log, count and send what the lane found; None: it found nothing, its own defect."""
        if worked is None:
            for ask in asks:
                self._refuse(ask, reason.ERROR)
            return
        self._room.took(worked.rows, worked.took_s)
        numbers: Sequence[int] = self._desk.numbers(len(asks))
        if any(ask.done for ask in asks):  # answered by the clock meanwhile, or nobody waits any more
            asks, numbers, worked = _still_open(asks, numbers, worked)
            if not asks:
                return
        told = entry(
            self.api.name, asks, numbers, worked.kept, worked.answers, worked.spoke, worked.defaults, worked.guards
        )
        log = self._desk.log
        if log is not None and self.api.durable:
            log.keep(told, lambda kept: self._send(asks, told, worked) if kept else self._unkept(asks))
            return
        if log is not None:
            log.add(told)
        self._send(asks, told, worked)

    def _send(self, asks: Sequence[Ask], told: Entry, worked: Worked) -> None:
        self._desk.meter.batch(told)
        saids, numbers = worked.saids, told.numbers
        for index, ask in enumerate(asks):
            if ask.done:
                continue
            try:
                body = worked.bodies[index]
                if isinstance(body, Unanswered):
                    code = reason.GUARD if body.rejected else reason.ERROR
                    self._refuse(ask, code, "" if ask.single else f"$[{body.row}]")
                else:
                    ask.answer(body, numbers[index], PLAIN if saids is None else saids[index])
            except Exception as error:  # one connection's trouble is not its neighbours'
                self._desk.journal.event("defect", error=f"{type(error).__name__}: {error}")

    def _unkept(self, asks: Sequence[Ask]) -> None:
        for ask in asks:
            if not ask.done:
                self._desk.meter.refused(self.api.name, 503, ask.door)
                ask.refuse(503, f"api `{self.api.name}` cannot keep its answers just now; try again")

    def _late(self, ask: Ask) -> None:
        if not ask.done:
            self._speak(ask, reason.LATE)

    def _refuse(self, ask: Ask, code: int, path: str = "") -> None:
        name = self.api.name
        status, error = {
            reason.BUSY: (503, f"api `{name}` has too many requests waiting; try again"),
            reason.LATE: (504, f"api `{name}` did not answer within the time asked for"),
            reason.GUARD: (500, f"api `{name}` has no answer that its guard lets through"),
        }.get(code, (500, f"api `{name}` failed to answer; see the server's log"))
        if not ask.done:
            self._desk.meter.refused(name, status, ask.door)
            ask.refuse(status, error, path)

    def _speak(self, ask: Ask, code: int) -> None:
        """The fallback answers in the function's stead, or an error does."""
        if self._fallback is None:
            self._refuse(ask, code)
            return
        number = self._desk.numbers(1)[0]
        if not self._instead:
            self._desk.loop.call_soon(self._note)
        self._instead.append((ask, number, code))
        if self._desk.log is None or not self.api.durable:
            self._stand_in(ask, number, code)

    def _stand_in(self, ask: Ask, number: int, code: int) -> None:
        assert self._fallback is not None
        count, standing = len(ask.rows), self._standing
        if count > 1:
            columns = {name: column.repeat(count) for name, column in self._fallback.items()}
            standing = Answered(columns, self.api.answers.structs)
        body = ask.write(standing, 0, count)
        ask.answer(body, number, Said(fallback=reason.NAMES[code]))

    def _note(self) -> None:
        """Log and count what the fallback answered in this turn of the loop; what is durable is answered then."""
        import numpy as np

        noted, self._instead = self._instead, []
        assert self._fallback is not None
        asks = [ask for ask, _, _ in noted]
        taken = self.api.take([row for ask in asks for row in ask.rows])
        counts = [len(ask.rows) for ask in asks]
        rows = sum(counts)
        told = entry(
            self.api.name,
            asks,
            [number for _, number, _ in noted],
            taken.kept(),
            {name: column.repeat(rows) for name, column in self._fallback.items()},
            np.repeat(np.array([code for _, _, code in noted], dtype=np.uint8), counts),
            taken.defaults,
        )
        log = self._desk.log
        if log is not None and self.api.durable:
            log.keep(told, lambda kept: self._answer_instead(told, noted) if kept else self._unkept(asks))
            return
        self._desk.meter.batch(told)
        if log is not None:
            log.add(told)

    def _answer_instead(self, told: Entry, noted: Sequence[tuple[Ask, int, int]]) -> None:
        self._desk.meter.batch(told)
        for ask, number, code in noted:
            if not ask.done:
                self._stand_in(ask, number, code)

    # -- where the api's function runs

    def work(self, asks: list[Ask]) -> Worked | None:
        """The body of each request, in order; None where even errors could not be told apart."""
        try:
            rows = asks[0].rows if len(asks) == 1 else [row for ask in asks for row in ask.rows]
            taken = self.api.take(rows)
            kept = taken.kept()
            began = time.monotonic()
            found = spans(lambda start, stop: self._given(rows, taken, start, stop), len(rows))
            took_s = time.monotonic() - began
            given = found[0].given if len(found) == 1 else None
            if given is not None and not given.faults and given.guards is None and taken.defaults is None:
                return Worked(kept, None, given.columns, self._bodies(asks, given.columns), len(rows), took_s)
            self._tell(found)
            return self._told(asks, kept, taken.defaults, found)._replace(took_s=took_s)
        except BaseException as error:  # the answers cannot be written; nothing of this may end the lane
            self._desk.journal.failed(self.api.name, error)
            return None

    def _given(self, rows: Sequence[Any], taken: Taken, start: int, stop: int) -> Given:
        """The function's answers; some rows alone are read anew, for it may have written into the columns."""
        if stop - start < len(rows):
            taken = self.api.take(rows[start:stop])
        return self.api.give(taken.columns, stop - start)

    def _tell(self, found: Sequence[Span]) -> None:
        """The first thing that went wrong goes into the server's log."""
        for span in found:
            if span.error is not None:
                self._desk.journal.failed(self.api.name, span.error)
                return
            if span.given is not None and span.given.faults:
                row = min(span.given.faults)
                fault = span.given.faults[row]
                self._desk.journal.failed(self.api.name, AnswerError(f"api `{self.api.name}`: {fault.text}"))
                return

    def _bodies(self, asks: list[Ask], columns: Columns) -> list[Any]:
        answers, start, bodies = Answered(columns, self.api.answers.structs), 0, []
        for ask in asks:
            stop = start + len(ask.rows)
            bodies.append(ask.write(answers, start, stop))
            start = stop
        return bodies

    def _joined(self, found: Sequence[Span], rows: int) -> tuple[Columns, Codes, Masks | None]:
        """One set of answers for the whole batch: the fallback's where the function has none."""
        import numpy as np

        spoke = np.zeros(rows, dtype=np.uint8)
        guards: Masks = {}
        for span in found:
            if span.given is None:
                spoke[span.start : span.stop] = reason.ERROR
                continue
            for row, fault in span.given.faults.items():
                spoke[span.start + row] = fault.code
            for label, mask in (span.given.guards or {}).items():
                guards.setdefault(label, np.zeros(rows, dtype=np.bool_))[span.start : span.stop] = mask
        return self._filled(found, spoke), spoke, guards or None

    def _filled(self, found: Sequence[Span], spoke: Codes) -> Columns:
        import numpy as np

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
            column[spoke != reason.OWN] = standing[name].astype(dtype)[0]
            columns[name] = column
        return columns

    def _told(self, asks: list[Ask], kept: Kept, defaults: Masks | None, found: Sequence[Span]) -> Worked:
        import numpy as np

        columns, spoke, guards = self._joined(found, sum([len(ask.rows) for ask in asks]))
        lacking = spoke == reason.REFUSED if self._fallback is not None else spoke != reason.OWN
        answers, start = Answered(columns, self.api.answers.structs), 0
        bodies: list[Any] = []
        saids: list[Said] = []
        for ask in asks:
            stop = start + len(ask.rows)
            rows = np.flatnonzero(lacking[start:stop])
            if rows.size:
                first = int(rows[0])
                bodies.append(Unanswered(first, bool(spoke[start + first] in (reason.REFUSED, reason.GUARD))))
                spoke[start:stop] = reason.REFUSED
            else:
                bodies.append(ask.write(answers, start, stop))
            saids.append(said(spoke, guards, defaults, start, stop, single=ask.single))
            start = stop
        shown = spoke if spoke.any() else None
        return Worked(kept, defaults, columns, bodies, len(spoke), 0.0, shown, guards, saids)


def _still_open(asks: list[Ask], numbers: Sequence[int], worked: Worked) -> tuple[list[Ask], list[int], Worked]:
    """Without the requests that need no answer any more."""
    import numpy as np

    keep = [index for index, ask in enumerate(asks) if not ask.done]
    rows = np.repeat([not ask.done for ask in asks], [len(ask.rows) for ask in asks])

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
    return [asks[i] for i in keep], [numbers[i] for i in keep], worked


def fallback_json(api: Api) -> bytes | None:
    """The api's declared fallback as one JSON object, its fields in the contract's order."""
    if api.fallback is None:
        return None
    return api.answers.encode(api.answers.constant(api.fallback), 0, 1, single=True)
