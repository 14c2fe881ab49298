"""Blobs in memory; what must be a file is written to a folder when somebody asks for its path."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from funade.digest import of_bytes
from funade.errors import StoreError
from funade.store import disk
from funade.store.blobs import missing, refuse_no_digest


class MemoryBlobs:
    """Digest → bytes.

    Args:
        folder: where files in the making, and files of blobs, lie.
    """

    def __init__(self, folder: Path) -> None:
        self._bytes: dict[str, bytes] = {}
        self._files = folder / "blobs"
        self.tmp = folder / "tmp"

    def put_bytes(self, data: bytes) -> str:
        """The digest of ``data``, which is now a blob."""
        digest = of_bytes(data)
        self._bytes.setdefault(digest, bytes(data))
        return digest

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A path in ``tmp`` to write to, then ``adopt``; whatever is there at the end of the block is removed."""
        self.tmp.mkdir(parents=True, exist_ok=True)
        making = self.tmp / uuid.uuid4().hex
        try:
            yield making
        finally:
            making.unlink(missing_ok=True)

    def adopt(self, tmp: Path) -> str:
        """The digest of a file that ``writing`` gave a path for, now a blob and gone from that path."""
        if tmp.parent != self.tmp:
            raise StoreError(f"store expected to adopt a file of {self.tmp}, got {tmp}")
        digest = self.put_bytes(tmp.read_bytes())
        tmp.unlink()
        return digest

    def path(self, digest: str) -> Path:
        """A file with a blob's bytes."""
        path, data = self._files / digest[:2] / digest[2:], self.read(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.writing() as making:
                making.write_bytes(data)
                making.chmod(0o444)
                disk.replace_unsynced(making, path)
        return path

    def read(self, digest: str) -> bytes:
        """A blob's bytes."""
        refuse_no_digest(digest)
        if digest not in self._bytes:
            raise missing(digest)
        return self._bytes[digest]

    def sound(self, digest: str) -> bool:
        """Whether there is such a blob: nothing can alter it."""
        return bool(self.read(digest) is not None)

    def foreign(self) -> Iterator[str]:
        """Nothing: only blobs are kept."""
        return iter(())

    def sweep(self, older_than_s: float) -> int:
        """How many leftovers in ``tmp`` are now removed: those unchanged for so long."""
        before = time.time() - older_than_s
        old = [path for path in (self.tmp.iterdir() if self.tmp.is_dir() else ()) if path.lstat().st_mtime <= before]
        for path in old:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        return len(old)
