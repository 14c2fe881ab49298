"""The store as a process opens it: metadata and blobs in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from funade import clock as clocks
from funade.clock import Clock
from funade.errors import NotBuilt
from funade.store.blobs import Blobs
from funade.store.records import Version
from funade.store.sqlite.metadata import Metadata


class Store:
    """``root/records.db`` and ``root/blobs``; nothing is read or made before it is needed."""

    def __init__(self, root: Path, metadata: Metadata, blobs: Blobs) -> None:
        self.root = root
        self.metadata = metadata
        self.blobs = blobs

    @classmethod
    def open(cls, root: Path, clock: Clock = clocks.system) -> Store:
        """The store in a folder, made on first use."""
        return cls(root, Metadata(root / "records.db", clock=clock), Blobs(root))

    def version(self, version: str) -> Version:
        """The record of a version.

        Raises:
            NotBuilt: no such version.
        """
        found = self.metadata.version(version)
        if found is None:
            raise NotBuilt(f"store expected version {version[:6]}, got none")
        return found

    def load(self, version: str, *, project_types: Sequence[str] = (), native: bool = False) -> Any:
        """What the codec loads for a model's or threshold's version; ``native``: as it was before any conversion."""
        from funade.store import codecs

        record = self.version(version)
        if record.artifact is None:
            raise NotBuilt(
                f"{record.kind} `{record.node}` expected an artifact, got none", at=f"{record.node}@{version[:6]}"
            )
        kept = codecs.original(record.artifact) if native else record.artifact
        return codecs.decode(kept, self.blobs, project_types=tuple(project_types))
