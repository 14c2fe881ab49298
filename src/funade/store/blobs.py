"""Bytes named by their own digest: kept once, never overwritten, safe against a kill at any moment."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from funade import points
from funade.digest import SHORT, of_bytes, of_file
from funade.errors import BlobDamaged, BlobMissing, DiskFull, StoreError
from funade.store import disk

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
_DIGEST = re.compile("[0-9a-f]{64}")


class BlobFolder:
    """A ``ports.blobs.Blobs`` in ``root/blobs/ab/cdef…`` and ``root/tmp``, made when first written to.

    A blob is written into ``tmp``, synced, and linked into place; whoever finds it there finds all of it. Every
    writing method may raise ``DiskFull`` or ``StoreError`` (read-only, no permission, no hard links), and then
    leaves nothing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "blobs"
        self.tmp = root / "tmp"

    def put_bytes(self, data: bytes) -> str:
        """The digest of ``data``, which is now a blob."""
        digest = of_bytes(data)
        with _disk_errors(self.root):
            if self._there(digest, len(data)):
                return digest
            with self.writing() as making:
                making.write_bytes(data)
                self._settle(making, digest)
        return digest

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A path in ``tmp`` to write to, then ``adopt``; whatever is there at the end of the block is removed."""
        making = self.tmp / uuid.uuid4().hex
        with _disk_errors(self.root):
            disk.make_folder(self.tmp)
        try:
            with _full_disk(self.root):
                yield making
        finally:
            with suppress(OSError):
                making.unlink()

    def adopt(self, tmp: Path) -> str:
        """The digest of a file that ``writing`` gave a path for, now a blob and gone from that path."""
        if tmp.parent != self.tmp:
            raise StoreError(f"store expected to adopt a file of {self.tmp}, got {tmp}")
        with _disk_errors(self.root):
            digest = of_file(tmp)
            self._settle(tmp, digest)
        return digest

    def path(self, digest: str) -> Path:
        """Where a blob lies; its bytes are not looked at."""
        place = self._place(digest)
        if not place.is_file():
            raise missing(digest, str(place))
        return place

    def read(self, digest: str) -> bytes:
        """A blob's bytes, compared with their digest."""
        place = self._place(digest)
        try:
            data = place.read_bytes()
        except FileNotFoundError as error:
            raise missing(digest, str(place)) from error
        if of_bytes(data) != digest:
            raise _damaged(digest, place)
        return data

    def sound(self, digest: str) -> bool:
        """Whether a blob's bytes, read in pieces, have the digest they are named by."""
        return of_file(self.path(digest)) == digest

    def foreign(self) -> Iterator[str]:
        """Every file and folder below ``blobs`` that no blob could be, as its path below ``root``."""
        return (path.relative_to(self.root).as_posix() for path in self._files() if not self._named(path))

    def sweep(self, older_than_s: float) -> int:
        """How many leftovers of writers that were killed are now removed from ``tmp``: those unchanged for so long."""
        # Files carry the machine's own time, whatever the project's clock says.
        before, count = time.time() - older_than_s, 0
        for path in self.tmp.iterdir() if self.tmp.is_dir() else ():
            with suppress(OSError):
                if path.lstat().st_mtime <= before:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                    count += 1
        return count

    def _place(self, digest: str) -> Path:
        refuse_no_digest(digest)
        return self.folder / digest[:2] / digest[2:]

    def _files(self) -> Iterator[Path]:
        for folder in sorted(self.folder.iterdir()) if self.folder.is_dir() else ():
            if re.fullmatch("[0-9a-f]{2}", folder.name) and folder.is_dir() and not folder.is_symlink():
                yield from sorted(folder.iterdir())
            else:
                yield folder

    def _named(self, path: Path) -> bool:
        return path.parent != self.folder and bool(_DIGEST.fullmatch(path.parent.name + path.name)) and path.is_file()

    def _there(self, digest: str, size: int) -> bool:
        """Whether the blob is there for good: another process may have linked it a moment ago, unsynced."""
        place = self._place(digest)
        try:
            kept_size = place.stat().st_size
        except FileNotFoundError:
            return False
        if kept_size != size:
            raise _damaged(digest, place)
        disk.sync(place.parent)
        return True

    def _settle(self, making: Path, digest: str) -> None:
        making.chmod(0o444)
        disk.sync(making)
        points.passing("blob.written")
        place = self._place(digest)
        disk.make_folder(place.parent)
        try:
            disk.link(making, place)
        except FileExistsError:
            self._there(digest, making.stat().st_size)
        except OSError as error:
            if error.errno in _NO_LINKS:
                raise StoreError("store expected a file system with hard links, got none", at=str(self.root)) from error
            raise
        points.passing("blob.linked")
        making.unlink()


def refuse_no_digest(text: str) -> None:
    """Nothing for a digest: what is none never reaches an engine.

    Raises:
        StoreError: the text is none.
    """
    if not _DIGEST.fullmatch(text):
        raise StoreError(f"blob expected a digest of 64 hex digits, got {text[:80]!r}")


def missing(digest: str, place: str = "") -> BlobMissing:
    """There is no such blob where it should be."""
    what = f"blob `{digest[:SHORT]}` expected in the store, got no file"
    return BlobMissing(what, at=place, do="run: funade fsck")


def _damaged(digest: str, place: Path) -> BlobDamaged:
    what = f"blob `{digest[:SHORT]}` expected its own bytes, got others"
    return BlobDamaged(what, at=str(place), do="run: funade fsck")


@contextmanager
def _disk_errors(root: Path) -> Iterator[None]:
    """Failures of the disk as one line that says what to do."""
    try:
        with _full_disk(root):
            yield
    except FileNotFoundError:
        raise
    except OSError as error:
        what = f"store expected a folder it can write, got: {error.strerror or error}"
        raise StoreError(what, at=str(error.filename or root), do="make it writable") from error


@contextmanager
def _full_disk(root: Path) -> Iterator[None]:
    """A full disk as one line; what else fails may be the writer's own affair."""
    try:
        yield
    except OSError as error:
        if not disk.is_full(error):
            raise
        what = f"store expected room for a blob, got: {os.strerror(error.errno or 0)}"
        raise DiskFull(what, at=str(root), do="free some room, then run it again") from error
