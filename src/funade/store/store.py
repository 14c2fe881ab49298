"""The store as a process opens it, by its address: metadata and blobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from funade import clock as clocks
from funade.clock import Clock
from funade.errors import NotBuilt
from funade.store.address import folder_of
from funade.store.blobs import Blobs
from funade.store.records import Version
from funade.store.sqlite.metadata import Metadata


class Store:
    """Records and bytes; nothing is read or made before it is needed.

    ``address`` names the store to every process. ``local`` is a folder of this machine, for what only this machine's
    processes need: unpacked code, the remembered graph, what a running server says of itself.
    """

    def __init__(self, address: str, metadata: Metadata, blobs: Blobs, local: Path) -> None:
        self.address = address
        self.local = local
        self.metadata = metadata
        self.blobs = blobs

    @classmethod
    def open(cls, address: str, clock: Clock = clocks.system) -> Store:
        """The store of an address, made on first use.

        Raises:
            StoreError: no store can have that address.
        """
        folder = folder_of(address)
        return cls(address, Metadata(folder / "records.db", clock=clock), Blobs(folder), folder)

    @property
    def code_folder(self) -> Path:
        """Where this machine unpacks code snapshots."""
        return self.local / "code"

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
