"""The bounds of a queue: how much it holds, how often a request is tried, how long an answer is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

SWEPT = 1000
"""Requests that one sweep forgets at most, so that it keeps no other writer waiting."""


class QueueRules(msgspec.Struct, frozen=True):
    """Times in seconds.

    ``most`` requests wait or are being answered at once; ``most_bytes`` of requests and answers are kept in all, done
    and dead ones too. A request is tried ``tries`` times, its callback ``call_tries`` times; between two tries passes
    about ``first_s``, doubled each time up to ``longest_s``. A claim lasts ``lease_s``. Answers are kept ``keep_s``,
    dead letters ``keep_dead_s``. A callback's URL must begin with one of ``callbacks``; ``private`` lets their names
    lead to private addresses.
    """

    most: int = 100_000
    most_bytes: int = 4096 * 1024 * 1024
    tries: int = 5
    call_tries: int = 8
    first_s: float = 1.0
    longest_s: float = 600.0
    lease_s: float = 60.0
    keep_s: float = 86_400.0
    keep_dead_s: float = 30 * 86_400.0
    callbacks: tuple[str, ...] = ()
    private: bool = False

    def backoff_s(self, attempt: int, chance: Callable[[], float]) -> float:
        """How long to wait after attempt 1, 2, …: between half of it and all, as chance in [0, 1) says.

        >>> QueueRules().backoff_s(3, lambda: 0.0)
        2.0
        """
        whole: float = min(self.first_s * 2.0 ** min(attempt - 1, 60), self.longest_s)
        return whole * (0.5 + 0.5 * chance())

    def refusal(self, waiting: int, size: int) -> str:
        """Why there is no room for one request more, "" where there is.

        Args:
            waiting: requests that wait or are being answered now.
            size: bytes that would be kept with it.
        """
        if waiting >= self.most:
            return f"queue expected at most {self.most} requests waiting; try again later"
        if size > self.most_bytes:
            return f"queue expected at most {self.most_bytes} bytes kept; try again later"
        return ""


def together(due: Sequence[tuple[str, int, int]], rows: int) -> list[str]:
    """Which of the due (id, rows, alone) are claimed together: the first alone, or those that need not be.

    >>> together([("a", 60, False), ("b", 1, True), ("c", 60, False)], 100)
    ['a']
    """
    chosen: list[str] = []
    for id, count, alone in due:
        if alone and not chosen:
            return [id]
        if alone:
            continue
        if chosen and count > rows:
            break
        chosen.append(id)
        rows -= count
    return chosen
