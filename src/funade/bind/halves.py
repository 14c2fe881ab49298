"""Answers of a batch of which some rows fail: the failing rows are found by halving, the others are answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from funade.contract.outcome import Outcome

Give = Callable[[int, int], Outcome]
"""The answers for rows [start, stop)."""

MOST_CALLS = 64
"""Calls spent on one batch; what is still unknown then counts as failed."""

MOST_S = 1.0
"""Seconds spent on one batch, looked at between calls."""


class Span(NamedTuple):
    """Rows [start, stop) of a batch and their answers, or the error that stands for them."""

    start: int
    stop: int
    outcome: Outcome | None
    error: BaseException | None

    @property
    def halves(self) -> list[tuple[int, int]]:
        """Which rows to ask for next, the later ones first; none where these were answered, or are one."""
        if self.error is None or self.stop - self.start < 2:
            return []
        middle = (self.start + self.stop) // 2
        return [(middle, self.stop), (self.start, middle)]


def attempts(give: Give, rows: int, *, toward: int | None = None) -> Iterator[Span]:
    """Every call of ``give``: for all rows, and after each that fails for its two halves, in the rows' order.

    With ``toward``, the one row that is looked for, only halves with it are asked.
    """
    return _search(give, [(0, rows)], toward, Exception)


def spans(give: Give, rows: int) -> list[Span]:
    """The batch as spans in order: one span where ``give`` answers the batch whole.

    Every row of a failed span fails alone too, unless ``MOST_CALLS`` or ``MOST_S`` ended the search.
    """
    try:  # nearly always all there is to do
        return [Span(0, rows, give(0, rows), None)]
    except BaseException as error:  # the user's function may raise anything, SystemExit too
        failed = Span(0, rows, None, error)
    return _pieces(give, failed) if failed.halves else [failed]


def _search(
    give: Give, waiting: list[tuple[int, int]], toward: int | None, catch: type[BaseException]
) -> Iterator[Span]:
    while waiting:
        start, stop = waiting.pop()
        if toward is None or start <= toward < stop:
            try:
                span = Span(start, stop, give(start, stop), None)
            except catch as error:
                span = Span(start, stop, None, error)
            waiting += span.halves
            yield span


def _pieces(give: Give, failed: Span) -> list[Span]:
    """What became of each part of a batch that failed as a whole, as far as the search may go."""
    pieces: list[Span] = []
    reached, error = 0, failed.error
    ends = time.monotonic() + MOST_S
    for calls, span in enumerate(_search(give, failed.halves, None, BaseException), start=1):
        if not span.halves:
            pieces.append(span)
            reached = span.stop
        if reached == failed.stop:
            break
        error = error if span.error is None else span.error
        if calls == MOST_CALLS or time.monotonic() > ends:
            pieces.append(Span(reached, failed.stop, None, error))
            break
    return pieces
