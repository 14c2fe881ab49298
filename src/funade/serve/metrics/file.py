"""Counts of a server's workers in its folder: none is lost or added twice when a worker ends, however it ends.

A worker holds its file locked while it lives. A file that nobody locks is a dead worker's: whoever sees it first adds
it to ``ended`` and removes it, all under one lock.
"""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path

import msgspec

from funade.serve.metrics.counters import Counters, decode, encode
from funade.store import disk

_HEAD = struct.Struct("<QII")
_PLACE = 4 << 20
_ENDING = ".counts"
_BEGUN = "begun"
_LOCK = "counts.lock"
_TRIES = 100


class MetricsFile:
    """One worker's file: two places that are written in turn, so that one of them is whole at any moment.

    Written in place, not replaced: a rename may wait for a busy disk, and the event loop with it.

    ``folder`` is the server's own, made if absent; ``mark`` names the worker.
    """

    def __init__(self, folder: Path, mark: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(BlockingIOError):  # somebody does it just now
            total(folder, wait=False)  # so that dead workers' files do not pile up where nobody scrapes
        path, fresh = folder / f"{mark}{_ENDING}", folder / f"{mark}.new"
        self._file = disk.open_locked_unsynced(path, fresh, os.O_RDWR | os.O_TRUNC)
        self._turn = 0

    def write(self, counts: Counters) -> None:
        """Keep the counts; a full disk never stops the server."""
        body = encode(counts)
        self._turn += 1
        with contextlib.suppress(OSError):
            os.pwrite(self._file, _HEAD.pack(self._turn, len(body), zlib.crc32(body)) + body, self._turn % 2 * _PLACE)

    def close(self) -> None:
        """Let go: the counts are now a dead worker's."""
        os.close(self._file)


class _Ended(msgspec.Struct):
    """What dead workers counted; ``marks`` are those that are in it and whose files may still be there."""

    counts: Counters
    marks: tuple[str, ...] = ()


def total(folder: Path, *, wait: bool = True) -> Counters:
    """What all workers of the server counted, living and dead.

    Raises:
        BlockingIOError: somebody else looks just now, and ``wait`` is not wanted.
    """
    with disk.alone(folder / _LOCK, wait=wait):
        living, dead = [], {}
        for path in sorted(folder.glob(f"*{_ENDING}")):
            worker, alive = _look(path)
            if alive:
                living.append(worker)
            else:
                dead[path] = worker
        counts = _bury(folder / "ended", dead)
    for worker in living:
        counts.add(worker)
    return counts


def clear(folder: Path) -> None:
    """Forget everything: a new supervisor counts from zero. What workers of a dead one still count is not seen."""
    folder.mkdir(parents=True, exist_ok=True)
    with disk.alone(folder / _LOCK):
        for path in [*folder.glob(f"*{_ENDING}"), *folder.glob("*.new"), folder / "ended"]:
            path.unlink(missing_ok=True)
        (folder / _BEGUN).touch()


def begun(folder: Path) -> float:
    """When counting began, in seconds since the epoch; 0 where it is not known."""
    try:
        return (folder / _BEGUN).stat().st_mtime
    except OSError:
        return 0.0


def _look(path: Path) -> tuple[Counters, bool]:
    """What a worker kept last, and whether it lives."""
    file = os.open(path, os.O_RDONLY)
    try:
        alive = disk.locked(file)
        for _ in range(_TRIES):
            places = [_place(file, place) for place in (0, 1)]
            if not alive or all(body is not None for _, body in places):
                break  # else it was written while it was read, and what is whole may be the older
        _, body = max(((turn, body) for turn, body in places if body is not None), default=(0, b""))
        return decode(body) if body else Counters(), alive
    finally:
        os.close(file)


def _place(file: int, place: int) -> tuple[int, bytes | None]:
    """What one of the two places holds: its turn and bytes; (0, b"") if nothing, no bytes if half of something."""
    head = os.pread(file, _HEAD.size, place * _PLACE).ljust(_HEAD.size, b"\0")
    turn, size, check = _HEAD.unpack(head)
    body = os.pread(file, size, place * _PLACE + _HEAD.size)
    return turn, body if len(body) == size and zlib.crc32(body) == check else None


def _bury(path: Path, dead: dict[Path, Counters]) -> Counters:
    """Add the dead to what is known of them; a file is removed only after what replaces it is there."""
    try:
        ended = msgspec.msgpack.decode(path.read_bytes(), type=_Ended)
    except (FileNotFoundError, msgspec.DecodeError):
        ended = _Ended(Counters())
    fresh = [counts for file, counts in dead.items() if file.stem not in ended.marks]
    for counts in fresh:
        ended.counts.add(counts.buried())
    with contextlib.suppress(OSError):  # on a full disk they stay, and are added again at the next look
        if fresh:
            ended.marks = tuple(file.stem for file in dead)
            disk.write_unsynced(path, msgspec.msgpack.encode(ended))
        for file in dead:
            file.unlink()
    return ended.counts
