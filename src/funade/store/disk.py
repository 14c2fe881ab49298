"""The disk as files need it: names and bytes that outlast a power cut, names that appear whole, files held locked.

What is named ``unsynced`` reaches every reader at once, but a power cut may take it back. All else lasts when the call
returns. Every function may raise ``OSError``.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

# -- names and bytes that last


def sync(path: Path) -> None:
    """Bring a file's bytes, or the names in a folder, to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync_data(file: int) -> None:
    """Bring the bytes of an open file to the disk, and of its facts only the length."""
    os.fdatasync(file)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it that are missing."""
    if folder.is_dir():
        return
    if folder.parent != folder:
        make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync(folder.parent)


def link(file: Path, path: Path) -> None:
    """Give a file a second name.

    Raises:
        FileExistsError: the name is taken.
    """
    os.link(file, path)
    sync(path.parent)


def replace(file: Path, path: Path) -> None:
    """Have a whole file take the name ``path`` and lose its own; readers see the old file or this one."""
    sync(file)
    file.replace(path)
    sync(path.parent)


def write(path: Path, data: bytes, *, fresh: Path | None = None, mode: int = 0o666) -> None:
    """Have a file hold these bytes: readers and a crash find all of them, or what it was before.

    They are written to ``fresh`` first, ``path`` with ``.new`` unless given; two writers at once need one each.
    """
    making = _written(path, data, fresh, mode)
    replace(making, path)


# -- what fails


def is_full(error: OSError) -> bool:
    """Whether an error says that there is no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


# -- changes

Stamp = tuple[int, int, int]
"""When a file was last written (ns), its number on the disk and its size: another one after every change."""


def stamp(path: Path) -> Stamp | None:
    """The stamp of a file now; None where there is none."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino, facts.st_size


# -- names that appear whole


def replace_unsynced(path: Path, into: Path) -> None:
    """Have a whole file or folder take the name ``into``.

    Raises:
        OSError: ``into`` is a folder that holds something.
    """
    path.replace(into)


def write_unsynced(path: Path, data: bytes, *, fresh: Path | None = None) -> None:
    """Have a file hold these bytes, all of them for every reader; as ``write`` with less work."""
    replace_unsynced(_written(path, data, fresh, 0o666), path)


def _written(path: Path, data: bytes, fresh: Path | None, mode: int) -> Path:
    making = fresh or path.with_name(f"{path.name}.new")
    making.unlink(missing_ok=True)  # of a writer that was killed, maybe with another mode
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
    return making


# -- locks: let go when the file is closed, or its process ends however it ends


def lock(file: int, *, wait: bool = True) -> None:
    """Hold an open file for oneself.

    Raises:
        BlockingIOError: another holds it, and ``wait`` is False.
    """
    fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


def locked(file: int) -> bool:
    """Whether another holds an open file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def is_locked(path: Path) -> bool:
    """Whether another holds the file."""
    file = os.open(path, os.O_RDONLY)
    try:
        return locked(file)
    finally:
        os.close(file)


@contextlib.contextmanager
def alone(path: Path, *, wait: bool = True, mode: int = 0o666) -> Iterator[None]:
    """The block that one process at a time is in; the lock file stays.

    Raises:
        BlockingIOError: another is in it, and ``wait`` is False.
    """
    file = os.open(path, os.O_RDWR | os.O_CREAT, mode)
    try:
        lock(file, wait=wait)
        yield
    finally:
        os.close(file)


def open_locked_unsynced(path: Path, fresh: Path, flags: int) -> int:
    """An open file that is locked before it bears the name ``path``, so that nobody ever sees it without its holder."""
    file = os.open(fresh, flags | os.O_CREAT, 0o644)
    try:
        lock(file)
        replace_unsynced(fresh, path)
    except OSError:
        os.close(file)
        raise
    return file
