"""Snapshots of a project's code: a manifest of its files, unpacked where a process imports them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from funade import points
from funade.digest import canonical
from funade.errors import BlobDamaged
from funade.store import disk
from funade.store.ports.blobs import Blobs


def keep(blobs: Blobs, root: Path, files: Iterable[Path]) -> str:
    """Keep the files' bytes; gives the digest of the manifest (relative path → blob digest)."""
    manifest = {path.relative_to(root).as_posix(): blobs.put_bytes(path.read_bytes()) for path in sorted(files)}
    digest = blobs.put_bytes(canonical(manifest))
    points.passing("code.written")
    return digest


def manifest(blobs: Blobs, digest: str) -> dict[str, str]:
    """Relative path → blob digest of a code snapshot."""
    return msgspec.json.decode(blobs.read(digest), type=dict[str, str])


def unpack(blobs: Blobs, digest: str, into: Path) -> Path:
    """The folder ``into/<digest>`` with the snapshot's files; made whole or not at all, by one of many at once."""
    folder = into / digest
    if folder.is_dir():
        return folder
    making = into / f".{digest}.{uuid.uuid4().hex}"
    for name, blob in manifest(blobs, digest).items():
        path = making / _safe(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(blobs.read(blob))
        disk.sync(path)  # the folder's name says that its files are whole, after a power cut too
    try:
        disk.replace_unsynced(making, folder)
    except OSError:  # another process was first; its bytes are the same
        shutil.rmtree(making)
        if not folder.is_dir():
            raise
    return folder


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise BlobDamaged(f"code snapshot expected paths inside it, got {name!r}")
    return path
