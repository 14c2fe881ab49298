"""The port of blobs: bytes named by their digest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Blobs(Protocol):
    """Bytes named by their own digest (SHA-256, 64 hex digits): kept once, never changed.

    A digest is returned once its bytes are there for good, so that a record may name them. Of two that keep the same
    bytes at once both get the digest. Every writing method may raise ``DiskFull`` or ``StoreError``, and then leaves
    nothing.
    """

    @property
    def tmp(self) -> Path:
        """A folder of this machine for files in the making; not there before the first."""

    def put_bytes(self, data: bytes) -> str:
        """The digest of ``data``, which is now a blob.

        Raises:
            BlobDamaged: there is a blob of that digest with other bytes; it stays as it is.
        """

    def writing(self) -> AbstractContextManager[Path]:
        """A path on this machine to write to, then ``adopt``; whatever is there at the end of the block is removed."""

    def adopt(self, tmp: Path) -> str:
        """The digest of a file that ``writing`` gave a path for, now a blob and gone from that path.

        Raises:
            StoreError: the path is of somebody else's.
        """

    def path(self, digest: str) -> Path:
        """A file of this machine with a blob's bytes, which nobody may change.

        Raises:
            BlobMissing: there is none.
        """

    def read(self, digest: str) -> bytes:
        """A blob's bytes.

        Raises:
            BlobMissing: there is none.
            BlobDamaged: they are not the bytes that were kept.
        """

    def sound(self, digest: str) -> bool:
        """Whether a blob's bytes have the digest they are named by.

        Raises:
            BlobMissing: there is none.
        """

    def foreign(self) -> Iterator[str]:
        """The names of all that lies among the blobs and can be none."""

    def sweep(self, older_than_s: float) -> int:
        """How many leftovers of writers that were killed are now removed: those unchanged for so long."""
