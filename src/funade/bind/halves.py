"""Answers of a batch of which some rows fail: the failing rows are found by halving, the others are answered."""

from __future__ import annotations

import time
from collections.abc import Callable
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
    given: Outcome | None
    error: BaseException | None


def spans(give: Give, rows: int) -> list[Span]:
    """The batch as spans in order: one span where ``give`` answers the batch whole.

    Every row of a failed span fails alone too, unless ``MOST_CALLS`` or ``MOST_S`` ended the search.
    """
    try:
        return [Span(0, rows, give(0, rows), None)]
    except BaseException as error:  # the user's function may raise anything, SystemExit too
        if rows == 1:
            return [Span(0, 1, None, error)]
        return _halves(give, rows, error)


def _halves(give: Give, rows: int, error: BaseException) -> list[Span]:
    ends = time.monotonic() + MOST_S
    middle = rows // 2
    open_ = [(middle, rows), (0, middle)]
    found: list[Span] = []
    calls = 0
    while open_:
        start, stop = open_.pop()
        if calls >= MOST_CALLS or time.monotonic() > ends:
            found.append(Span(start, stop, None, error))
            continue
        calls += 1
        try:
            found.append(Span(start, stop, give(start, stop), None))
        except BaseException as again:
            error = again
            if stop - start == 1:
                found.append(Span(start, stop, None, again))
            else:
                middle = (start + stop) // 2
                open_ += [(middle, stop), (start, middle)]
    return found
