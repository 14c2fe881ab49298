"""Predictions in memory: a frame is readable once it is logged, by way of a file that DuckDB reads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from funade.events import EventLog
from funade.predictions import segments, table, wal
from funade.predictions.framing import framed
from funade.store.prediction_record import Record
from funade.store.warehouse.query import Select


class MemoryPredictions:
    """The segments of what was logged.

    Args:
        folder: where the files lie that are read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._segments: list[segments.Segment] = []
        self._lock = threading.Lock()

    def writer(
        self,
        mark: str,
        release: int,
        without: Mapping[str, frozenset[str]],
        loop: asyncio.AbstractEventLoop,
        events: EventLog,
    ) -> MemoryWriter:
        """Logs the answers of one worker."""
        return MemoryWriter(self, mark, release, without, loop)

    def compaction(self, days: int, events: EventLog) -> None:
        """Nothing has to run: what is logged can be read, until the store is gone."""

    def select(self, *, mark: str = "", number: int | None = None) -> Select:
        """Reads the log: all of it, or what one worker answered, and of that one number."""
        return table.select(self._live(), mark, number)

    def calls(self, ids: Collection[str]) -> Iterator[tuple[str, pa.Table]]:
        """Calls of an api's function, by what stands in the column ``call``."""
        return table.calls(self._live(), ids)

    def add(self, mark: str, frame: wal.Frame) -> None:
        """Make a frame's rows readable."""
        api, release = frame.header.api, frame.header.release
        rows = table.table(mark, api, release, frame.columns)
        with self._lock:
            path = self._folder / f"{len(self._segments)}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, path)
            shape = segments.shape_of(rows.schema)
            self._segments.append(segments.Segment(api, "", path, frozenset([mark]), shape))

    def _live(self) -> list[segments.Segment]:
        with self._lock:
            return list(self._segments)


class MemoryWriter:
    """Logs one worker's answers at once: none is lost."""

    lost = 0

    def __init__(
        self,
        predictions: MemoryPredictions,
        mark: str,
        release: int,
        without: Mapping[str, frozenset[str]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._predictions = predictions
        self._mark = mark
        self._release = release
        self._without = without
        self._loop = loop
        self.logged = 0

    def add(self, record: Record) -> None:
        """Log answers."""
        (frame,) = wal.frames(b"".join(framed([record], self._release, self._without)))
        self._predictions.add(self._mark, frame)
        self.logged += record.rows

    def keep(self, record: Record, then: Callable[[bool], None]) -> None:
        """Log answers, and say so on the loop."""
        self.add(record)
        self._loop.call_soon(then, True)

    def close(self) -> None:
        """Nothing is left to log."""
