"""The log's compactor: turns what workers write into segments that can be read.

Killed at any point and started again, it makes the same segments of the same frames: what it is about to make is
written down before.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from funade import points
from funade.predictions import segments, wal
from funade.predictions import table as predictions
from funade.store import disk

_JOIN_S = 60.0
_SWEEP_S = 60.0
_MANY = 16
_FEW = 2
_SOUGHT = ["number", "answered_at", "release"]
_JOINED_BYTES = 256 << 20
_SMALL_BYTES = 64 << 20
_GROUP_ROWS = 1 << 17
_BUFFER_BYTES = 16 << 20
_RUN_ROWS = 1 << 13


class _Progress(msgspec.Struct):
    """How far a file has been read, and what is being made of the bytes after it."""

    done: int = 0
    until: int = 0


class _Segment(msgspec.Struct):
    """A file in the making."""

    api: str
    day: str
    shape: str
    path: Path
    rows: int = 0


class Compactor:
    """Reads ``<folder>/open/*.wal``, writes segments, joins small ones, lets go of old days.

    A day is let go of after ``days`` of them; never where that is 0.
    """

    def __init__(self, folder: Path, days: int = 0) -> None:
        self._folder = folder
        self._days = days
        self._open = folder / "open"
        self._joined_at = time.monotonic()
        self._reported: dict[str, str] = {}
        self._buffer = bytearray()
        self._settled: dict[Path, tuple[int, bool]] = {}

    def look(self) -> int:
        """One round; returns how many rows became readable."""
        rows = sum([self._attempt(path.name, self._read, path) for path in sorted(self._open.glob("*.wal"))])
        if time.monotonic() - self._joined_at > _JOIN_S:
            self._joined_at = time.monotonic()
            self.tidy(time.time())
        return rows

    def tidy(self, now: float) -> None:
        """Join small segments, remove what is joined, let go of old days."""
        for folder in sorted(self._folder.glob("api=*/day=*")):
            if self._days and folder.name[4:] < _day(now, self._days):
                _remove(folder)
                self._settled.pop(folder, None)
            else:
                self._attempt(f"{folder.parent.name}/{folder.name}", self._tidy, folder, now)
        for path in [*self._open.glob("*.fresh"), *self._open.glob("*.new")]:
            if path.stat().st_mtime < now - _SWEEP_S and not disk.is_locked(path):
                path.unlink()  # whoever made it died over it
        for path in self._open.glob("*.unread"):
            if self._days and path.stat().st_mtime < now - self._days * 86_400:
                path.unlink()

    def _attempt(self, what: str, act: Callable[..., int], *arguments: Any) -> int:
        """What cannot be done now holds up nothing else, is told once, and is tried again at the next look."""
        try:
            done = act(*arguments)
        except Exception as error:  # a full disk, most of all
            self._report(what, f"{type(error).__name__}: {error}")
            return 0
        self._reported.pop(what, None)
        return done

    def _report(self, what: str, why: str) -> None:
        if self._reported.get(what) != why:
            self._reported[what] = why
            sys.stderr.write(f"keeper: {what}: {why}\n")

    def _read(self, path: Path) -> int:
        """Make segments of a file's whole frames; remove the file when nobody writes to it any more."""
        ended = not disk.is_locked(path)  # looked at before reading: what is there now is then all there will be
        place = path.with_suffix(".read")
        read = _progress(place)
        data = self._bytes(path, read)
        frames = list(wal.frames(data))
        rows = 0
        if frames:
            read.until = read.done + frames[-1].end
            disk.write(place, msgspec.json.encode(read))
            points.passing("log.planned")
            begun = f"{path.stem}.{read.done:012}"
            for number, segment in enumerate(self._segments(begun, self._tables(path, read.done, data, frames))):
                rows += segment.rows
                name = f"{begun}-{number}.{segment.shape}.parquet"
                segments.put(segments.folder_of(self._folder, segment.api, segment.day), name, segment.path)
            points.passing("log.made")
            disk.write(place, msgspec.json.encode(_Progress(read.until)))
        if ended and (not frames or read.done + len(data) >= path.stat().st_size):
            points.passing("log.removing")
            path.unlink()
            place.unlink(missing_ok=True)
        return rows

    def _segments(self, begun: str, tables: Iterable[tuple[str, str, pa.Table]]) -> list[_Segment]:
        """Files of tables: one for those of one api, day and shape."""
        made: dict[tuple[str, str, str], tuple[_Segment, pq.ParquetWriter]] = {}
        with contextlib.ExitStack() as open_:
            for api, day, table in tables:
                shape = segments.shape_of(table.schema)
                if (api, day, shape) not in made:
                    path = self._open / f"{begun}-{len(made)}.new"
                    writer = open_.enter_context(
                        pq.ParquetWriter(path, table.schema, **_packing(table.schema, last=False))
                    )
                    made[api, day, shape] = _Segment(api, day, shape, path), writer
                segment, writer = made[api, day, shape]
                writer.write_table(table)
                segment.rows += table.num_rows
        return [segment for segment, _ in made.values()]

    def _bytes(self, path: Path, read: _Progress) -> memoryview:
        """What is to be read of a file; good until the next one is read."""
        with path.open("rb") as file:
            size = (read.until or os.fstat(file.fileno()).st_size) - read.done
            if not size <= len(self._buffer) <= _BUFFER_BYTES:
                self._buffer = bytearray(max(size, 0))  # memory that was in use before is ready at once
            file.seek(read.done)
            data = memoryview(self._buffer)[: max(size, 0)]
            return data[: file.readinto(data)]

    def _tables(
        self, path: Path, start: int, data: memoryview, whole: Sequence[wal.Frame]
    ) -> Iterator[tuple[str, str, pa.Table]]:
        """Api, day and rows; frames with the same columns together. One that is no table is set aside."""
        wrong = (pa.ArrowException, ArithmeticError, LookupError, TypeError, ValueError)
        same: dict[tuple[Any, ...], list[wal.Frame]] = {}
        for frame in whole:
            columns = tuple([(column.name, column.kind) for column in frame.header.columns])
            same.setdefault((frame.header.api, frame.header.release, columns), []).append(frame)
        begins = dict(zip([frame.end for frame in whole], [0, *[frame.end for frame in whole]], strict=False))
        mark = path.name.partition(".")[0]
        for run in [run for frames in same.values() for run in _runs(frames)]:
            try:
                yield from _days(mark, run)
            except wrong:
                for frame in run:
                    try:
                        yield from _days(mark, [frame])
                    except wrong as error:
                        begin = begins[frame.end]
                        aside = self._open / f"{path.stem}.{start + begin:012}.unread"
                        aside.write_bytes(data[begin : frame.end])
                        why = f"{type(error).__name__}: {error}"
                        self._report(aside.name, f"{frame.header.rows} rows are in no table, {why}")

    def _tidy(self, folder: Path, now: float) -> int:
        """Sweep and join one api's day; one that is over is left with as few files as can be."""
        past = folder.name[4:] < _day(now, 1)
        segments.swept(folder, now - _SWEEP_S)
        state = (folder.stat().st_mtime_ns, past)
        if self._settled.get(folder) == state or self._unfinished():
            return 0
        count = self._join(folder, now, past=past)
        if not count:
            self._settled[folder] = state
        return count

    def _unfinished(self) -> bool:
        """Whether segments are still to be made of frames that were read: those made already may be made again."""
        return any(_progress(path).until for path in self._open.glob("*.read"))

    def _join(self, folder: Path, now: float, *, past: bool) -> int:
        """Make one file of many small ones with the same columns; today joined ones are joined among themselves."""
        same: dict[tuple[str, bool], list[segments.Segment]] = {}
        for segment in segments.of_folder(folder):
            if segment.path.stat().st_size < _SMALL_BYTES:
                same.setdefault((segment.shape, not past and segments.is_joined(segment)), []).append(segment)
        count = 0
        for small in same.values():
            chosen = list(_within(sorted(small, key=lambda part: part.path.stat().st_mtime_ns)))
            if len(chosen) >= (_FEW if past else _MANY):
                made = self._open / f"{folder.parent.name}-{folder.name}.joined.new"
                _concatenated([part.path for part in chosen], made)
                segments.join(folder, chosen, made, now)
                count += 1
        return count


def _runs(frames: Sequence[wal.Frame]) -> Iterator[list[wal.Frame]]:
    """Frames whose rows are made a table together: few, for they then stay in the processor's cache."""
    run: list[wal.Frame] = []
    rows = 0
    for frame in frames:
        run.append(frame)
        rows += frame.header.rows
        if rows >= _RUN_ROWS:
            yield run
            run, rows = [], 0
    if run:
        yield run


def _days(mark: str, frames: Sequence[wal.Frame]) -> list[tuple[str, str, pa.Table]]:
    """Api, day and rows of frames with the same columns."""
    api, columns = frames[0].header.api, predictions.joined(frames)
    table = predictions.table(mark, api, frames[0].header.release, columns)
    return [
        (api, day, table if isinstance(rows, slice) else table.take(pa.array(rows)))
        for day, rows in predictions.days(columns["at"])
    ]


def _within(small: Sequence[segments.Segment]) -> Iterator[segments.Segment]:
    """As many of them as make a file of ``_JOINED_BYTES``."""
    size = 0
    for segment in small:
        size += segment.path.stat().st_size
        if size > _JOINED_BYTES:
            return
        yield segment


def _concatenated(paths: Sequence[Path], made: Path) -> None:
    """One file with the rows of several, of which few are in memory at a time."""
    schema = pq.read_schema(paths[0])
    with pq.ParquetWriter(made, schema, **_packing(schema, last=True)) as writer:
        waiting: list[pa.Table] = []
        for path in paths:
            waiting.append(pq.read_table(path, partitioning=None))
            if path == paths[-1] or sum(table.num_rows for table in waiting) >= _GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []


def _packing(schema: pa.Schema, *, last: bool) -> dict[str, Any]:
    """How rows are packed: at first as fast as can be, which leaves numbers as they are, zstd when they are joined."""
    repeating = [field.name for field in schema if str(field.type).startswith("dictionary")]
    compression = "zstd" if last else dict.fromkeys(_texts(schema), "lz4") or "none"
    return {"compression": compression, "use_dictionary": repeating, "write_statistics": _SOUGHT}


def _texts(schema: pa.Schema) -> Iterator[str]:
    """The paths of columns of text."""
    for field in schema:
        children = (
            {f"{field.name}.{child.name}": child.type for child in field.type} if pa.types.is_struct(field.type) else {}
        )
        for path, kind in (children or {field.name: field.type}).items():
            if pa.types.is_string(kind):
                yield path


def _progress(path: Path) -> _Progress:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Progress)
    except FileNotFoundError:
        return _Progress()


def _day(now: float, days: int) -> str:
    return (datetime.fromtimestamp(now, UTC) - timedelta(days=days)).strftime("%Y-%m-%d")


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
