"""How many rows go into one call and how many may wait, learned from how long calls take."""

from __future__ import annotations

from funade.serve.limits import Limits

PROMISE_S = 1.0
"""What is aimed at for an api that promises nothing: an answer within a second."""

_SHARE = 1 / 3
_SMALL_ROWS = 8
_LEAST_ROWS = 16
_FIRST_ROWS = 8192  # wait until it is known how fast a large call is


class Admission:
    """The bounds of one api's queue, kept so that what is accepted is answered as the api promises.

    A request may meet a call that has just begun, wait for those before it, and be answered by the next: each of the
    three may take a third of the promise, or twice what a call of a few rows takes where that is more. ``call`` rows go
    into one call, a quarter more when that many fit, a quarter less when they did not; ``waiting`` may wait besides:
    one call's rows, or where calls are as large as they may be, what is answered in a third of the promise.

    Args:
        limits: the greatest both may be.
        promise_s: the api's own promise, in seconds; None for none.
    """

    def __init__(self, limits: Limits, promise_s: float | None) -> None:
        self._limits = limits
        self._share_s = (promise_s or PROMISE_S) * _SHARE
        self._small_s = self._row_s = 0.0
        self.call = limits.batch_rows
        self.waiting = min(_FIRST_ROWS, limits.waiting_rows)

    def took(self, rows: int, seconds: float) -> None:
        """Learn from one call."""
        if rows <= _SMALL_ROWS:
            self._small_s += 0.1 * (seconds - self._small_s) if self._small_s else seconds
            return  # a slow one was held up by something else: fewer rows would not have helped
        most_s = max(self._share_s, 2 * self._small_s)
        if seconds > most_s:
            self.call = max(min(self.call, rows) * 3 // 4, _LEAST_ROWS)
            self.waiting = min(self.call, self._limits.waiting_rows)
        elif rows * 4 >= self.call * 3:
            self._row_s += 0.1 * (seconds / rows - self._row_s) if self._row_s else seconds / rows
            self.call = min(self.call * 5 // 4 + 1, self._limits.batch_rows)
            fit = int(most_s / max(self._row_s, 1e-9)) if self.call == self._limits.batch_rows else 0
            self.waiting = min(max(self.call, fit), self._limits.waiting_rows)
