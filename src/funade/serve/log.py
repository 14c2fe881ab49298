"""The prediction log's part in a worker: answers are noted in memory and written by a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from funade import points
from funade.serve.entry import Entry
from funade.serve.journal import Journal
from funade.store import segments, wal
from funade.store.predictions import DOORS

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

MOST_ROWS = 200_000
"""Rows that may wait to be written; beyond, they are lost and counted."""

MOST_SIZE = 256 << 20
"""Bytes of values that may wait to be written; of text, characters."""

FLUSH_S = 0.25
FILE_BYTES = 64 << 20
_TOLD_S = 5.0
_AT_ONCE = 512


class _Noted(NamedTuple):
    """An entry without its requests: per request only what the log tells."""

    entry: Entry
    rows: int
    size: int
    counts: list[int] | None
    singles: list[bool]
    latencies: list[float]
    doors: list[str]
    then: Callable[[bool], None] | None


class Log:
    """Notes answers and writes them as frames to ``<folder>/open/<mark>.<n>.wal``; ``lost`` and ``logged`` count rows.

    The file is locked while this process writes to it.

    Args:
        folder: the store's folder of logged predictions; made if absent.
        mark: what this worker's prediction ids begin with.
        release: the release that answers.
        without: api → fields that are not kept.
        loop: on which ``keep`` calls back.
        journal: told when rows are lost.
    """

    def __init__(
        self,
        folder: Path,
        mark: str,
        release: int,
        without: Mapping[str, frozenset[str]],
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
    ) -> None:
        self._folder = folder / "open"
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            segments.sync(folder)
            segments.sync(folder.parent)
        self._mark = mark
        self._release = release
        self._without = without
        self._loop = loop
        self._journal = journal
        self._noted: deque[_Noted] = deque()
        self._came = [0, 0]  # rows and size, counted on the loop; those done with, on the writing thread
        self._went = [0, 0]
        self._wake = threading.Event()
        self._closed = False
        self._told = -_TOLD_S
        self._failing = False
        self._file = -1
        self._number = 0
        self._size = 0
        self._dropped = 0
        self._unwritten = 0
        self.logged = 0
        self._thread = threading.Thread(target=self._write_on, daemon=True, name="funade-log")
        self._thread.start()

    def add(self, entry: Entry) -> None:
        """Note answers; on the loop."""
        noted = _note(entry, None)
        if self._full(noted):
            self._dropped += noted.rows
            self._tell("predictions lost", why="more than can be written")
        else:
            self._take(noted)

    def keep(self, entry: Entry, then: Callable[[bool], None]) -> None:
        """Write answers before they are sent: ``then`` is called on the loop with whether they are on the disk.

        Those that are not count as refused, not as lost.
        """
        noted = _note(entry, then)
        if self._full(noted):
            self._loop.call_soon(then, False)
        else:
            self._take(noted)
            self._wake.set()

    @property
    def lost(self) -> int:
        """Rows that were answered and are not in the log."""
        return self._dropped + self._unwritten

    def _full(self, noted: _Noted) -> bool:
        rows, size = (came - went for came, went in zip(self._came, self._went, strict=True))
        return rows + noted.rows > MOST_ROWS or size + noted.size > MOST_SIZE

    def _take(self, noted: _Noted) -> None:
        self._came[0] += noted.rows
        self._came[1] += noted.size
        self._noted.append(noted)

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
        synced = self._synced() if any(kept and group[0].then for group, kept in written) else True
        thens = [(one.then, kept and synced) for group, kept in written for one in group if one.then is not None]
        for group, kept in written:
            self._count(group, kept=kept and (synced or group[0].then is None))
        if thens:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_call, thens)

    def _count(self, group: Sequence[_Noted], *, kept: bool) -> None:
        rows = sum([one.rows for one in group])
        self._went[0] += rows
        self._went[1] += sum([one.size for one in group])
        if kept:
            self.logged += rows
            if self._failing:
                self._failing = False
                self._journal.event("predictions logged again", lost=self.lost)
        elif group[0].then is None:
            self._unwritten += rows

    def _written(self, group: Sequence[_Noted]) -> bool:
        """Whether one frame is in the file whole; what is torn is taken back, for it would hide what follows."""
        try:
            pieces = self._frame(group)
            if self._file < 0:
                self._open_file()
            points.passing("log.before")
            try:
                self._size += _written(self._file, pieces)
            except OSError:
                self._take_back()
                raise
            points.passing("log.after")
        except Exception as error:  # a full disk, most of all; nothing of the log may stop the server
            self._tell("predictions cannot be written", why=f"{type(error).__name__}: {error}")
            return False
        return True

    def _synced(self) -> bool:
        try:
            os.fdatasync(self._file)
        except OSError as error:
            self._tell("predictions cannot be written", why=f"{type(error).__name__}: {error}")
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
        fresh = path.with_suffix(".fresh")
        self._number += 1
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # before the keeper sees the file, and takes it for a dead worker's
            fresh.replace(path)
            segments.sync(self._folder)
        except OSError:
            os.close(file)
            raise
        self._file, self._size = file, 0

    def _close_file(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _frame(self, group: Sequence[_Noted]) -> list[wal.Piece]:
        entry = group[0].entry
        rows = sum([one.rows for one in group])
        without = self._without.get(entry.api, frozenset())
        columns = _facts(group)
        for side, letter in (("request", "q:"), ("answers", "a:")):
            for name in getattr(entry, side):
                if name not in without:
                    columns[letter + name] = _joined([getattr(one.entry, side)[name] for one in group])
        for side, letter in (("defaults", "d:"), ("guards", "g:")):
            columns |= _masks(group, side, letter)
        return wal.framed(entry.api, self._release, rows, columns)

    def _tell(self, what: str, **facts: Any) -> None:
        now = time.monotonic()
        if now - self._told > _TOLD_S:
            self._failing = True  # only what was told is taken back: a disk that is all but full fails now and then
            self._told = now
            self._journal.event("alert", what=what, lost=self.lost, **facts)


def _call(thens: Sequence[tuple[Callable[[bool], None], bool]]) -> None:
    for then, kept in thens:
        then(kept)


def _note(entry: Entry, then: Callable[[bool], None] | None) -> _Noted:
    asks, now = entry.asks, entry.now
    counts = [len(ask.rows) for ask in asks]
    rows = sum(counts)
    columns = [*entry.request.values(), *entry.answers.values()]
    return _Noted(
        entry._replace(asks=()),
        rows,
        rows * len(columns) * 8 + sum([_text(column) for column in columns if column.dtype == object]),
        None if counts.count(1) == len(counts) else counts,
        [ask.single for ask in asks],
        [now - ask.since for ask in asks],
        [ask.door for ask in asks],
        then,
    )


def _text(column: Array) -> int:
    return sum(len(value) for value in column if isinstance(value, str))


def _groups(noted: Sequence[_Noted]) -> list[list[_Noted]]:
    """Those that fit into one frame: of one api, with columns of the same kinds, all waited for or none."""
    found: dict[tuple[Any, ...], list[_Noted]] = {}
    for one in noted:
        entry = one.entry
        found.setdefault((entry.api, one.then is None, *entry.request, *entry.answers), []).append(one)
    return list(found.values())


def _joined(arrays: Sequence[Array]) -> Array:
    import numpy as np

    if len(arrays) == 1:
        return np.ascontiguousarray(arrays[0])
    kinds = {array.dtype for array in arrays}
    if len(kinds) > 1:  # whole numbers once with, once without missing ones
        arrays = [array.astype(object) for array in arrays]
    return np.concatenate(arrays)


def _facts(group: Sequence[_Noted]) -> dict[str, Array]:
    """What the log tells of each row besides its values."""
    import numpy as np

    rows = [one.rows for one in group]
    counts = None
    if not all(one.counts is None for one in group):
        counts = [count for one in group for count in (one.counts or [1] * one.rows)]

    def each(values: Array) -> Array:
        return values if counts is None else np.repeat(values, counts)

    spoke = [np.zeros(one.rows, "u1") if one.entry.spoke is None else one.entry.spoke for one in group]
    return {
        "number": each(np.concatenate([_numbers(one.entry.numbers) for one in group])),
        "row": _rows(group, counts),
        "call": np.repeat(np.array([one.entry.numbers[0] for one in group], dtype="i8"), rows),
        "at": np.repeat(np.array([int(one.entry.at * 1e6) for one in group], dtype="i8"), rows),
        "latency_ms": each(np.array([s for one in group for s in one.latencies], dtype="f4") * np.float32(1e3)),
        "door": each(np.concatenate([_doors(one.doors) for one in group])),
        "spoke": np.concatenate(spoke),
    }


def _numbers(numbers: Sequence[int]) -> Array:
    import numpy as np

    if isinstance(numbers, range):
        return np.arange(numbers.start, numbers.stop, dtype="i8")
    return np.array(numbers, dtype="i8")


def _doors(doors: Sequence[str]) -> Array:
    import numpy as np

    if doors.count(doors[0]) == len(doors):
        return np.full(len(doors), DOORS.index(doors[0]), dtype="u1")
    return np.array([DOORS.index(door) for door in doors], dtype="u1")


def _rows(group: Sequence[_Noted], counts: Sequence[int] | None) -> Array:
    """Each row's place in its request; -1 where the request was one object."""
    import numpy as np

    if counts is None and all(all(one.singles) for one in group):
        return np.full(sum([one.rows for one in group]), -1, dtype="i4")
    counts = counts or [1] * sum([one.rows for one in group])
    singles = np.repeat([single for one in group for single in one.singles], counts)
    first = np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    return np.where(singles, -1, np.arange(len(singles)) - first).astype("i4")


def _masks(group: Sequence[_Noted], side: str, letter: str) -> dict[str, Array]:
    import numpy as np

    names = dict.fromkeys(name for one in group for name in getattr(one.entry, side) or ())
    return {
        letter + name: np.concatenate(
            [(getattr(one.entry, side) or {}).get(name, np.zeros(one.rows, dtype=np.bool_)) for one in group]
        )
        for name in names
    }


def _written(file: int, pieces: Sequence[wal.Piece]) -> int:
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
