"""What one worker counts of its answers."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from funade.contract import outcome
from funade.contract.arrays import Masks
from funade.serve.metrics.counters import CALL_ROWS, TOOK_S, ApiCounters, Counters, bump
from funade.serve.metrics.file import MetricsFile
from funade.store.prediction_record import Record


class Meter:
    """Counts what one worker answers; every method on the loop's thread.

    ``queue``, where there is a queue of asynchronous requests, says what it holds: "waiting", "dead" and
    "oldest_age_seconds". It is called on a thread of its own.

    The counts are kept in ``folder``, the server's own, or nowhere if it is "". Requests of other apis than ``apis``
    count under "".
    """

    def __init__(self, mark: str, folder: str | Path, apis: Iterable[str]) -> None:
        self.counts = Counters(apis={name: ApiCounters() for name in ("", *apis)}, pids=(os.getpid(),))
        self.folder = Path(folder) if folder else None
        self.queue: Callable[[], Mapping[str, float]] | None = None
        self._file = MetricsFile(self.folder, mark) if self.folder is not None else None
        self.tick({})

    def batch(self, record: Record) -> None:
        """Count a record's answered requests and rows; its refused ones are counted by ``refused``."""
        counters = self.counts.apis.get(record.api) or self.counts.apis[""]
        if record.spoke is None:
            _called(counters, record.rows)
            _answered(counters, record.since, record.doors, record.now)
        elif answered := _spoken(counters, record):
            _answered(counters, [record.since[i] for i in answered], [record.doors[i] for i in answered], record.now)
        if record.defaults is not None:
            _marked(counters.defaults, record.defaults)
        if record.guards is not None:
            _marked(counters.guards, record.guards)

    def refused(self, api: str, status: int, door: str) -> None:
        """Count one request that got an error instead of answers; ``status`` as HTTP has it, ``api`` "" for none."""
        counters = self.counts.apis.get(api) or self.counts.apis[""]
        bump(counters.requests, f"{door} {status}", 1)

    def tick(self, waiting: Mapping[str, int], *, logged: int = 0, lost: int = 0) -> None:
        """About once a second: note what is held now, and keep the counts.

        ``waiting``: api → rows that wait for it. ``logged`` and ``lost``: rows that the prediction log has taken, and
        lost, since the worker began.
        """
        counts = self.counts
        for name, rows in waiting.items():
            counts.apis[name].waiting = rows
        counts.logged, counts.lost = logged, lost
        self.keep()

    def close(self) -> None:
        """Keep the counts a last time: the worker ends."""
        self.keep()
        if self._file is not None:
            self._file.close()
            self._file = None

    def keep(self) -> None:
        """Write the counts where a scrape of any worker finds them."""
        if self._file is not None:
            self.counts.cpu_s = time.process_time()
            self._file.write(self.counts)


def _called(counters: ApiCounters, rows: int) -> None:
    counters.rows += rows
    counters.calls[bisect_left(CALL_ROWS, rows)] += 1
    counters.call_rows += rows


def _spoken(counters: ApiCounters, record: Record) -> Sequence[int]:
    """Count rows by who spoke; gives the places of the requests that were answered."""
    spoke = record.spoke
    assert spoke is not None
    rows_by = {int(code): int((spoke == code).sum()) for code in set(spoke.tolist())}
    if not rows_by.keys() <= {outcome.BUSY, outcome.LATE, outcome.REFUSED}:
        counters.calls[bisect_left(CALL_ROWS, len(spoke))] += 1
        counters.call_rows += len(spoke)
    refused = rows_by.pop(outcome.REFUSED, 0)
    counters.rows += len(spoke) - refused
    for code, rows in rows_by.items():
        if code != outcome.OWN:
            bump(counters.fallback, outcome.NAMES.get(code, str(code)), rows)
    if not refused:
        return range(len(record.counts))
    answered, start = [], 0
    for place, count in enumerate(record.counts):
        if not (spoke[start : start + count] == outcome.REFUSED).any():
            answered.append(place)
        start += count
    return answered


def _answered(counters: ApiCounters, since: Sequence[float], doors: Sequence[str], now: float) -> None:
    number = len(since)
    counters.took_s += number * now - sum(since)
    first = bisect_left(TOOK_S, now - max(since))
    if first == len(TOOK_S) or now - min(since) <= TOOK_S[first]:
        counters.took[first] += number
    else:
        for then in since:
            counters.took[bisect_left(TOOK_S, now - then)] += 1
    for door in {*doors}:
        bump(counters.requests, door + " 200", doors.count(door))


def _marked(counts: dict[str, int], masks: Masks) -> None:
    for label, mask in masks.items():
        if rows := int(mask.sum()):
            bump(counts, label, rows)
