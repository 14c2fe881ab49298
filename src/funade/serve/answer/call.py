"""One api's function called for a batch of requests: the body of each answer, or which row has none."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from funade.bind.api import BoundApi
from funade.bind.halves import Span, spans
from funade.contract import outcome
from funade.contract.arrays import Codes, Columns, Mask, Masks
from funade.contract.batch import Batch, FrozenRows
from funade.contract.outcome import Outcome
from funade.errors import AnswerError
from funade.events import EventLog
from funade.serve.answer.notes import notes
from funade.serve.answer.request import AnswerRequest, ApiAnswers, Notes


class NoAnswer(NamedTuple):
    """In place of a body: this row of the request has no answer; ``rejected`` says that a guard left it none."""

    row: int
    rejected: bool


class BatchResult(NamedTuple):
    """What a call gave for its requests: the body of each, or which of its rows has no answer.

    ``request`` and ``answers`` have ``rows`` rows each, those of all requests in order. ``spoke``, ``guards`` and
    ``notes`` are None where the function answered every row and nothing is to be said.
    """

    request: FrozenRows
    defaults: Masks | None
    answers: Columns
    bodies: list[Any]
    rows: int
    took_s: float
    spoke: Codes | None = None
    guards: Masks | None = None
    notes: list[Notes] | None = None

    def of(self, requests: Sequence[int], rows: Mask) -> BatchResult:
        """The part that is of some of the requests, by their places; ``rows`` marks theirs (bool[rows])."""
        return self._replace(
            request=self.request.chosen(rows),
            defaults=_chosen(self.defaults, rows),
            answers={name: column[rows] for name, column in self.answers.items()},
            bodies=[self.bodies[i] for i in requests],
            spoke=None if self.spoke is None else self.spoke[rows],
            guards=_chosen(self.guards, rows),
            notes=None if self.notes is None else [self.notes[i] for i in requests],
        )


def _chosen(masks: Masks | None, rows: Mask) -> Masks | None:
    return None if masks is None else {label: mask[rows] for label, mask in masks.items()}


class BatchCall:
    """Answers batches of one api; where the function has no answer for a row, the fallback's stands.

    The fallback is one row of columns; None where none is declared.
    """

    def __init__(self, api: BoundApi, fallback: Columns | None, events: EventLog) -> None:
        self._api = api
        self._fallback = fallback
        self._events = events

    def answer(self, requests: Sequence[AnswerRequest]) -> BatchResult | None:
        """The body of each request, in order; None where even errors could not be told apart."""
        try:
            rows = requests[0].rows if len(requests) == 1 else [row for request in requests for row in request.rows]
            batch = self._api.take(rows)
            frozen = batch.frozen()
            began = time.monotonic()
            pieces = spans(lambda start, stop: self._outcome(rows, batch, start, stop), len(rows))
            took_s = time.monotonic() - began
            whole = pieces[0].outcome if len(pieces) == 1 else None
            if whole is not None and not whole.faults and whole.guards is None and batch.defaults is None:
                bodies = self._bodies(requests, whole.columns)
                return BatchResult(frozen, None, whole.columns, bodies, len(rows), took_s)
            self._log(pieces)
            return self._mended(requests, frozen, batch.defaults, pieces)._replace(took_s=took_s)
        except BaseException as error:  # the answers cannot be written; nothing of this may end the executor
            self._events.failed(self._api.name, error)
            return None

    def _outcome(self, rows: Sequence[Any], batch: Batch, start: int, stop: int) -> Outcome:
        """The function's answers; some rows alone are read anew, for it may have written into the columns."""
        if stop - start < len(rows):
            batch = self._api.take(rows[start:stop])
        return self._api.give(batch.columns, stop - start)

    def _bodies(self, requests: Sequence[AnswerRequest], columns: Columns) -> list[Any]:
        answers, start, bodies = ApiAnswers(columns, self._api.answers.structs), 0, []
        for request in requests:
            stop = start + len(request.rows)
            bodies.append(request.write(answers, start, stop))
            start = stop
        return bodies

    def _log(self, pieces: Sequence[Span]) -> None:
        """The first thing that went wrong goes into the server's log."""
        for piece in pieces:
            if piece.error is not None:
                self._events.failed(self._api.name, piece.error)
                return
            if piece.outcome is not None and piece.outcome.faults:
                fault = piece.outcome.faults[min(piece.outcome.faults)]
                self._events.failed(self._api.name, AnswerError(f"api `{self._api.name}`: {fault.text}"))
                return

    def _mended(
        self, requests: Sequence[AnswerRequest], frozen: FrozenRows, defaults: Masks | None, pieces: Sequence[Span]
    ) -> BatchResult:
        """Bodies with the fallback's values where the function has none; a row without either has no answer."""
        columns, spoke, guards = self._joined(pieces, sum([len(request.rows) for request in requests]))
        lacking = spoke == outcome.REFUSED if self._fallback is not None else spoke != outcome.OWN
        answers, start = ApiAnswers(columns, self._api.answers.structs), 0
        bodies: list[Any] = []
        texts: list[Notes] = []
        for request in requests:
            stop = start + len(request.rows)
            rows = np.flatnonzero(lacking[start:stop])
            if rows.size:
                first = int(rows[0])
                bodies.append(NoAnswer(first, bool(spoke[start + first] in (outcome.REFUSED, outcome.GUARD))))
                spoke[start:stop] = outcome.REFUSED
            else:
                bodies.append(request.write(answers, start, stop))
            texts.append(notes(spoke, guards, defaults, start, stop, single=request.single))
            start = stop
        shown = spoke if spoke.any() else None
        return BatchResult(frozen, defaults, columns, bodies, len(spoke), 0.0, shown, guards, texts)

    def _joined(self, pieces: Sequence[Span], rows: int) -> tuple[Columns, Codes, Masks | None]:
        """One set of answers for the whole batch, who spoke for each row, and what guards changed."""
        spoke = np.zeros(rows, dtype=np.uint8)
        guards: Masks = {}
        for piece in pieces:
            if piece.outcome is None:
                spoke[piece.start : piece.stop] = outcome.ERROR
                continue
            for row, fault in piece.outcome.faults.items():
                spoke[piece.start + row] = fault.code
            for label, mask in (piece.outcome.guards or {}).items():
                guards.setdefault(label, np.zeros(rows, dtype=np.bool_))[piece.start : piece.stop] = mask
        return self._filled(pieces, spoke), spoke, guards or None

    def _filled(self, pieces: Sequence[Span], spoke: Codes) -> Columns:
        """The answers of all pieces, the fallback's value in every row that the function did not speak for."""
        standing = self._fallback or self._api.answers.blank()
        columns: Columns = {}
        for name, value in standing.items():
            parts = [
                piece.outcome.columns[name] if piece.outcome is not None else value.repeat(piece.stop - piece.start)
                for piece in pieces
            ]
            kinds = {part.dtype for part in (*parts, value)}
            # A column of whole numbers with missing ones is float64; it stays so beside whole numbers.
            dtype = np.result_type(*kinds) if all(kind.kind in "if" for kind in kinds) else np.dtype(object)
            dtype = kinds.pop() if len(kinds) == 1 else dtype
            column = np.concatenate([part.astype(dtype) for part in parts])
            column[spoke != outcome.OWN] = value.astype(dtype)[0]
            columns[name] = column
        return columns
