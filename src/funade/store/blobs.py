"""Bytes by their digest, in a local folder: written once, never overwritten."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from funade import points
from funade.digest import of_bytes, of_file
from funade.errors import BlobDamaged, DiskFull, StoreError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Blobs:
    """``root/blobs/ab/cdef…``, filled through ``root/tmp``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs"
        self._tmp = root / "tmp"

    def put_bytes(self, data: bytes) -> str:
        """Keep bytes; gives their digest."""
        digest = of_bytes(data)
        if self.has(digest):
            return digest
        with self.writing() as path:
            path.write_bytes(data)
            return self.adopt(path)

    def put_file(self, source: Path) -> str:
        """Keep a copy of a file's bytes; gives their digest."""
        with self.writing() as path:
            shutil.copyfile(source, path)
            return self.adopt(path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Path]:
        """A path to write to and then ``adopt``; whatever is left there is removed."""
        with _plain_errors(self._tmp):
            self._tmp.mkdir(parents=True, exist_ok=True)
            path = self._tmp / uuid.uuid4().hex
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)

    def adopt(self, path: Path) -> str:
        """Link a written file into place under its digest, on disk before it returns."""
        with _plain_errors(path):
            _sync(path)
            points.passing("blob.written")
            digest = of_file(path)
            place = self._place(digest)
            place.parent.mkdir(parents=True, exist_ok=True)
            path.chmod(0o444)
            with contextlib.suppress(FileExistsError):
                os.link(path, place)
            _sync(place.parent)
            points.passing("blob.linked")
            return digest

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return self._place(digest).is_file()

    def path(self, digest: str) -> Path:
        """The blob's file, to be read only.

        Raises:
            StoreError: it is not there.
        """
        place = self._place(digest)
        if not place.is_file():
            raise StoreError(f"blob {digest[:12]} expected in the store, got none", at=str(self._blobs), do="run: funade fsck")
        return place

    def read(self, digest: str) -> bytes:
        """The blob's bytes.

        Raises:
            BlobDamaged: they do not have the digest they are named by.
        """
        data = self.path(digest).read_bytes()
        if of_bytes(data) != digest:
            raise BlobDamaged(
                f"blob {digest[:12]} expected bytes of that digest, got {of_bytes(data)[:12]}",
                at=str(self.path(digest)),
                do="restore it from a backup; funade fsck names what needs it",
            )
        return data

    def all(self) -> Iterator[str]:
        """Every blob's digest."""
        for path in sorted(self._blobs.glob("??/*")):
            yield path.parent.name + path.name

    def sweep(self, older_than_s: float) -> int:
        """Remove what crashed writers left in ``tmp``; gives how many files."""
        if not self._tmp.is_dir():
            return 0
        old = [p for p in self._tmp.iterdir() if p.is_file() and time.time() - p.stat().st_mtime > older_than_s]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            raise StoreError(f"blob expected a digest of 64 hex digits, got {digest!r}")
        return self._blobs / digest[:2] / digest[2:]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _plain_errors(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("store expected room to write, got a full disk", at=str(place), do="make room and run the command again") from error
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StoreError(f"store expected a folder to write to, got {os.strerror(error.errno)}", at=str(place)) from error
        raise
