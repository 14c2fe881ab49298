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
    def halves(self) -> bool:
        """Whether these rows failed together and can be asked again by halves."""
        return self.error is not None and self.stop - self.start > 1


def attempts(
    give: Give, rows: int, *, toward: int | None = None, catch: type[BaseException] = Exception
) -> Iterator[Span]:
    """Every call of ``give``: for all rows, and after each that fails for its two halves, in the rows' order.

    Args:
        give: answers some rows.
        rows: how many there are.
        toward: the one row that is looked for, where only halves with it are to be asked.
        catch: the errors that count as a failure; another ends the search.
    """
    waiting = [(0, rows)]
    while waiting:
        start, stop = waiting.pop()
        try:
            span = Span(start, stop, give(start, stop), None)
        except catch as error:
            span = Span(start, stop, None, error)
        if span.halves:
            middle = (start + stop) // 2
            halves = [(middle, stop), (start, middle)]
            waiting += [half for half in halves if toward is None or half[0] <= toward < half[1]]
        yield span


def spans(give: Give, rows: int) -> list[Span]:
    """The batch as spans in order: one span where ``give`` answers the batch whole.

    Every row of a failed span fails alone too, unless ``MOST_CALLS`` or ``MOST_S`` ended the search.
    """
    parts: list[Span] = []
    reached, ends = 0, 0.0
    error: BaseException | None = None
    # The user's function may raise anything, SystemExit too.
    for calls, span in enumerate(attempts(give, rows, catch=BaseException)):
        if not span.halves:
            parts.append(span)
            reached = span.stop
        if reached == rows:
            break
        ends = ends or time.monotonic() + MOST_S
        error = span.error if span.error is not None else error
        if calls == MOST_CALLS or time.monotonic() > ends:
            parts.append(Span(reached, rows, None, error))
            break
    return parts
