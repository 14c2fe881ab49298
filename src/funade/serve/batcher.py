"""One api's queue: requests that wait now are answered by one call of the api's function."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from funade.declare import reason
from funade.declare.taken import Taken
from funade.serve.ask import PLAIN, Answered, Ask, Said
from funade.serve.entry import Entry
from funade.serve.isolate import spans
from funade.serve.said import said
from funade.serve.served import Api

if TYPE_CHECKING:
    import numpy as np

    from funade.serve.desk import Desk

    Columns = dict[str, np.ndarray[Any, Any]]
    Codes = np.ndarray[Any, np.dtype[np.uint8]]
    Masks = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]


class Unanswered(NamedTuple):
    """In place of a body: this row of the request has no answer."""

    row: int


class Worked(NamedTuple):
    """What the lane made for a batch: the body of each request, or which of its rows has no answer.

    ``spoke``, ``guards`` and ``saids`` are None where the function answered every row and nothing is to be said.
    """

    taken: Taken
    answers: Columns
    bodies: list[Any]
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
        self._limits = desk.limits
        self._waiting: deque[tuple[Ask, int]] = deque()
        self.waiting_rows = 0
        self._queued = False
        self._instead: list[tuple[Ask, int, int]] = []
        self._fallback = None if api.fallback is None else api.answers.constant(api.fallback)

    # -- on the loop

    def add(self, ask: Ask, within_s: float | None = None) -> None:
        """Take a request in; past the bound, or ``within_s`` seconds later, the fallback or an error answers it."""
        count = len(ask.rows)
        if not count:
            body = ask.write(Answered(self.api.answers.empty(), self.api.answers.structs), 0, 0)
            ask.answer(body, self._desk.numbers(1)[0])
        elif self.waiting_rows and self.waiting_rows + count > self._limits.waiting_rows:
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
        waiting, most = self._waiting, self._limits.batch_rows
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
        entry = self._entry(asks, worked)
        if any(ask.done for ask in asks):  # answered by the clock meanwhile, or nobody waits any more
            entry, worked = _still_open(entry, worked)
            if not entry.asks:
                return
        log = self._desk.log
        if log is not None and self.api.durable:
            log.keep(entry, lambda kept: self._send(entry, worked) if kept else self._unkept(entry))
            return
        if log is not None:
            log.add(entry)
        self._send(entry, worked)

    def _entry(self, asks: list[Ask], worked: Worked) -> Entry:
        taken = worked.taken
        return Entry(
            self.api.name,
            time.time(),
            taken.columns,
            worked.answers,
            asks,
            self._desk.numbers(len(asks)),
            time.monotonic(),
            worked.spoke,
            taken.defaults,
            worked.guards,
        )

    def _send(self, entry: Entry, worked: Worked) -> None:
        self._desk.meter.batch(entry)
        saids = worked.saids
        for index, ask in enumerate(entry.asks):
            if ask.done:
                continue
            try:
                body = worked.bodies[index]
                if isinstance(body, Unanswered):
                    self._refuse(ask, reason.ERROR, "" if ask.single else f"$[{body.row}]")
                else:
                    ask.answer(body, entry.numbers[index], PLAIN if saids is None else saids[index])
            except Exception as error:  # one connection's trouble is not its neighbours'
                self._desk.journal.event("defect", error=f"{type(error).__name__}: {error}")

    def _unkept(self, entry: Entry) -> None:
        for ask in entry.asks:
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
        count = len(ask.rows)
        if not self._instead:
            self._desk.loop.call_soon(self._note)
        self._instead.append((ask, number, code))
        columns = {name: column.repeat(count) for name, column in self._fallback.items()}
        body = ask.write(Answered(columns, self.api.answers.structs), 0, count)
        ask.answer(body, number, Said(fallback=reason.NAMES[code]))

    def _note(self) -> None:
        """Log and count what the fallback answered in this turn of the loop."""
        import numpy as np

        noted, self._instead = self._instead, []
        assert self._fallback is not None
        asks = [ask for ask, _, _ in noted]
        taken = self.api.take([row for ask in asks for row in ask.rows])
        counts = [len(ask.rows) for ask in asks]
        rows = sum(counts)
        entry = Entry(
            self.api.name,
            time.time(),
            taken.columns,
            {name: column.repeat(rows) for name, column in self._fallback.items()},
            asks,
            [number for _, number, _ in noted],
            time.monotonic(),
            np.repeat(np.array([code for _, _, code in noted], dtype=np.uint8), counts),
            taken.defaults,
        )
        self._desk.meter.batch(entry)
        if self._desk.log is not None:
            self._desk.log.add(entry)

    # -- where the api's function runs

    def work(self, asks: list[Ask]) -> Worked | None:
        """The body of each request, in order; None where even errors could not be told apart."""
        try:
            rows = asks[0].rows if len(asks) == 1 else [row for ask in asks for row in ask.rows]
            taken = self.api.take(rows)
            found = spans(self.api.give, taken.columns, len(rows))
            if len(found) == 1 and (given := found[0].given) is not None:
                if not given.faults and given.guards is None and taken.defaults is None:
                    return Worked(taken, given.columns, self._bodies(asks, given.columns))
            else:
                self._desk.journal.failed(self.api.name, next(s.error for s in found if s.error is not None))
            columns, spoke, guards = self._joined(found, len(rows))
            return self._told(asks, taken, columns, spoke, guards)
        except BaseException as error:  # the answers cannot be written; nothing of this may end the lane
            self._desk.journal.failed(self.api.name, error)
            return None

    def _bodies(self, asks: list[Ask], columns: Columns) -> list[Any]:
        answers, start, bodies = Answered(columns, self.api.answers.structs), 0, []
        for ask in asks:
            stop = start + len(ask.rows)
            bodies.append(ask.write(answers, start, stop))
            start = stop
        return bodies

    def _joined(self, found: Sequence[Any], rows: int) -> tuple[Columns, Codes, Masks | None]:
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
        columns = self._filled(found, spoke)
        if self._fallback is None:
            spoke[spoke != reason.OWN] = reason.REFUSED
        return columns, spoke, guards or None

    def _filled(self, found: Sequence[Any], spoke: Codes) -> Columns:
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
            dtype = kinds.pop() if len(kinds) == 1 else np.dtype(object)
            column = np.concatenate([piece.astype(dtype) for piece in pieces])
            column[spoke != reason.OWN] = standing[name].astype(dtype)[0]
            columns[name] = column
        return columns

    def _told(self, asks: list[Ask], taken: Taken, columns: Columns, spoke: Codes, guards: Masks | None) -> Worked:
        import numpy as np

        answers, start = Answered(columns, self.api.answers.structs), 0
        bodies: list[Any] = []
        saids: list[Said] = []
        for ask in asks:
            stop = start + len(ask.rows)
            lacking = np.flatnonzero(spoke[start:stop] == reason.REFUSED)
            if lacking.size:
                spoke[start:stop] = reason.REFUSED
                bodies.append(Unanswered(int(lacking[0])))
            else:
                bodies.append(ask.write(answers, start, stop))
            saids.append(said(spoke, guards, taken.defaults, start, stop, single=ask.single))
            start = stop
        return Worked(taken, columns, bodies, spoke if spoke.any() else None, guards, saids)


def _still_open(entry: Entry, worked: Worked) -> tuple[Entry, Worked]:
    """Without the requests that need no answer any more."""
    import numpy as np

    keep = [index for index, ask in enumerate(entry.asks) if not ask.done]
    rows = np.repeat([not ask.done for ask in entry.asks], [len(ask.rows) for ask in entry.asks])

    def cut(columns: Any) -> Any:
        return None if columns is None else {name: column[rows] for name, column in columns.items()}

    entry = entry._replace(
        request=cut(entry.request),
        answers=cut(entry.answers),
        asks=[entry.asks[i] for i in keep],
        numbers=[entry.numbers[i] for i in keep],
        spoke=None if entry.spoke is None else entry.spoke[rows],
        defaults=cut(entry.defaults),
        guards=cut(entry.guards),
    )
    saids = worked.saids
    return entry, worked._replace(
        bodies=[worked.bodies[i] for i in keep], saids=None if saids is None else [saids[i] for i in keep]
    )


def fallback_json(api: Api) -> bytes | None:
    """The api's declared fallback as one JSON object, its fields in the contract's order."""
    if api.fallback is None:
        return None
    return api.answers.encode(api.answers.constant(api.fallback), 0, 1, single=True)
