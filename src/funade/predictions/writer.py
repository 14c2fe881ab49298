"""The prediction log's part in a worker: answers are noted in memory and written by a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from funade import points
from funade.contract.arrays import Array
from funade.events import EventLog
from funade.predictions import wal
from funade.predictions.framing import framed
from funade.store import disk
from funade.store.prediction_record import Record

MOST_ROWS = 200_000
"""Rows that may wait to be written; beyond, they are lost and counted."""

MOST_SIZE = 256 << 20
"""Bytes of values that may wait to be written; of text, characters."""

FLUSH_S = 0.25
FILE_BYTES = 64 << 20
_ALERT_S = 5.0
_AT_ONCE = 512


class _Waiting(NamedTuple):
    """A record and who waits until it is written."""

    record: Record
    size: int
    then: Callable[[bool], None] | None


class LogWriter:
    """Notes answers and writes them as frames to ``<folder>/open/<mark>.<n>.wal``; ``lost`` and ``logged`` count rows.

    The file is locked while this process writes to it.

    The folder is made if absent. ``without``: api → fields that are not kept. ``keep`` calls back on the loop.
    """

    def __init__(
        self,
        folder: Path,
        mark: str,
        release: int,
        without: Mapping[str, frozenset[str]],
        loop: asyncio.AbstractEventLoop,
        events: EventLog,
    ) -> None:
        self._folder = folder / "open"
        disk.make_folder(self._folder)
        self._mark = mark
        self._release = release
        self._without = without
        self._loop = loop
        self._events = events
        self._noted: deque[_Waiting] = deque()
        self._came_rows = self._came_size = 0  # counted on the loop
        self._went_rows = self._went_size = 0  # on the writing thread
        self._weighed: dict[str, Callable[[Record], int]] = {}
        self._wake = threading.Event()
        self._closed = False
        self._alerted_at = -_ALERT_S
        self._failing = False
        self._file = -1
        self._number = 0
        self._size = 0
        self._dropped = 0
        self._unwritten = 0
        self.logged = 0
        self._thread = threading.Thread(target=self._write_on, daemon=True, name="funade-log")
        self._thread.start()

    def add(self, record: Record) -> None:
        """Note answers; on the loop."""
        size = self._size_of(record)
        if self._full(record.rows, size):
            self._dropped += record.rows
            self._alert("predictions lost", why="more than can be written")
        else:
            self._take(record, size, None)

    def keep(self, record: Record, then: Callable[[bool], None]) -> None:
        """Write answers before they are sent: ``then`` is called on the loop with whether they are on the disk.

        Those that are not count as refused, not as lost.
        """
        size = self._size_of(record)
        if self._full(record.rows, size):
            self._loop.call_soon(then, False)
        else:
            self._take(record, size, then)
            self._wake.set()

    @property
    def lost(self) -> int:
        """Rows that were answered and are not in the log."""
        return self._dropped + self._unwritten

    def _size_of(self, record: Record) -> int:
        weigh = self._weighed.get(record.api)
        if weigh is None:
            weigh = self._weighed[record.api] = _weighing(record)
        return weigh(record)

    def _full(self, rows: int, size: int) -> bool:
        waiting, held = self._came_rows - self._went_rows, self._came_size - self._went_size
        return waiting + rows > MOST_ROWS or held + size > MOST_SIZE

    def _take(self, record: Record, size: int, then: Callable[[bool], None] | None) -> None:
        self._came_rows += record.rows
        self._came_size += size
        self._noted.append(_Waiting(record, size, then))

    def close(self) -> None:
        """Write what is noted and end; from any thread but the writing one."""
        self._closed = True
        self._wake.set()
        self._thread.join(5.0)

    def _write_on(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            self._flush()
        self._flush()
        self._close_file()

    def _flush(self) -> None:
        if self._size > FILE_BYTES:  # between two flushes: what is waited for is in one file
            self._close_file()
        noted = [self._noted.popleft() for _ in range(len(self._noted))]
        written = [(group, self._written(group)) for group in _groups(noted)]
        synced = self._synced() if any(whole and group[0].then for group, whole in written) else True
        thens = [
            (waiting.then, whole and synced)
            for group, whole in written
            for waiting in group
            if waiting.then is not None
        ]
        for group, whole in written:
            self._count(group, whole=whole and (synced or group[0].then is None))
        if thens:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_call, thens)

    def _count(self, group: Sequence[_Waiting], *, whole: bool) -> None:
        rows = sum([waiting.record.rows for waiting in group])
        self._went_rows += rows
        self._went_size += sum([waiting.size for waiting in group])
        if whole:
            self.logged += rows
            if self._failing:
                self._failing = False
                self._events.event("predictions logged again", lost=self.lost)
        elif group[0].then is None:
            self._unwritten += rows

    def _written(self, group: Sequence[_Waiting]) -> bool:
        """Whether one frame is in the file whole; what is torn is taken back, for it would hide what follows."""
        try:
            pieces = framed([waiting.record for waiting in group], self._release, self._without)
            if self._file < 0:
                self._open_file()
            points.passing("log.before")
            try:
                self._size += _write_all(self._file, pieces)
            except OSError:
                self._take_back()
                raise
            points.passing("log.after")
        except Exception as error:  # a full disk, most of all; nothing of the log may stop the server
            self._alert("predictions cannot be written", why=f"{type(error).__name__}: {error}")
            return False
        return True

    def _synced(self) -> bool:
        try:
            disk.sync_data(self._file)
        except OSError as error:
            self._alert("predictions cannot be written", why=f"{type(error).__name__}: {error}")
            return False
        return True

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._close_file()  # what comes next goes into another
            raise

    def _open_file(self) -> None:
        path = self._folder / f"{self._mark}.{self._number}.wal"
        self._number += 1
        # Locked before the compactor sees the file, and takes it for a dead worker's.
        file = disk.open_locked_unsynced(path, path.with_suffix(".fresh"), os.O_WRONLY | os.O_APPEND)
        try:
            disk.sync(self._folder)
        except OSError:
            os.close(file)
            raise
        self._file, self._size = file, 0

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _alert(self, what: str, **facts: Any) -> None:
        now = time.monotonic()
        if now - self._alerted_at > _ALERT_S:
            self._failing = True  # only what was told is taken back: a disk that is all but full fails now and then
            self._alerted_at = now
            self._events.event("alert", what=what, lost=self.lost, **facts)


def _call(thens: Sequence[tuple[Callable[[bool], None], bool]]) -> None:
    for then, whole in thens:
        then(whole)


def _weighing(first: Record) -> Callable[[Record], int]:
    """How many bytes an api's records are taken to have: eight a value, of text its characters.

    Which columns are text follows from the contract, so that one record shows it for all.
    """

    def texts(columns: Mapping[str, Array]) -> list[str]:
        return [name for name, column in columns.items() if column.dtype.kind == "O"]

    width = 8 * (len(first.request.names) + len(first.answers))
    request, answers = texts(first.request.columns), texts(first.answers)

    def weigh(record: Record) -> int:
        columns = [*[record.request.columns[name] for name in request], *[record.answers[name] for name in answers]]
        return record.rows * width + sum([_text(column) for column in columns])

    return weigh if request or answers else lambda record: record.rows * width


def _text(column: Array) -> int:
    return sum([len(value) for value in column.tolist() if isinstance(value, str)])


def _groups(noted: Sequence[_Waiting]) -> list[list[_Waiting]]:
    """Those that fit into one frame: of one api, with the same columns, all waited for or none."""
    groups: dict[tuple[Any, ...], list[_Waiting]] = {}
    for waiting in noted:
        record = waiting.record
        request = record.request
        packed = tuple([part.names for part in request.packed])
        key = (record.api, waiting.then is None, packed, request.names, tuple(request.columns), tuple(record.answers))
        groups.setdefault(key, []).append(waiting)
    return list(groups.values())


def _write_all(file: int, pieces: Sequence[wal.Piece]) -> int:
    """Write all of it; returns how many bytes."""
    done = 0
    for first in range(0, len(pieces), _AT_ONCE):
        some = pieces[first : first + _AT_ONCE]
        size = sum(map(len, some))
        wrote = os.writev(file, some)
        done += size
        if wrote < size:
            rest = memoryview(b"".join(some))
            while wrote < size:
                wrote += os.write(file, rest[wrote:])
    return done
