"""The store as a process opens it, by its address."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from funade import clock as clocks
from funade.clock import Clock
from funade.errors import NotBuilt
from funade.store import address as addresses
from funade.store.naming import short
from funade.store.ports.blobs import Blobs
from funade.store.ports.metadata import Metadata
from funade.store.ports.predictions import PredictionStore
from funade.store.ports.queue import Queue
from funade.store.queue_rules import QueueRules
from funade.store.records import Version


class Store:
    """Records, bytes, requests and answers, each behind its port; nothing is read or made before it is needed.

    Args:
        address: names the store to every process.
        metadata: its records.
        blobs: its bytes.
        predictions: the answers that servers gave.
        queue: opens its queue under rules, with what the spread of waits is drawn from.
        local: a folder of this machine, for what only this machine's processes need: unpacked code, the
            cached graph, what a running server says of itself, tables of answers.
    """

    def __init__(
        self,
        address: str,
        *,
        metadata: Metadata,
        blobs: Blobs,
        predictions: PredictionStore,
        queue: Callable[[QueueRules, int], Queue],
        local: Path,
    ) -> None:
        self.address = address
        self.metadata = metadata
        self.blobs = blobs
        self.predictions = predictions
        self.local = local
        self._queue = queue

    @classmethod
    def open(cls, address: str, clock: Clock = clocks.system) -> Store:
        """The store of an address, made on first use.

        Raises:
            StoreError: no store can have that address.
        """
        engine = importlib.import_module(addresses.engine(address))
        return cast(Store, engine.open_store(address, clock))

    def queue(self, rules: QueueRules | None = None, *, seed: int = 0) -> Queue:
        """The queue of asynchronous requests; ``seed``: what the spread of the waits between tries is drawn from."""
        return self._queue(rules or QueueRules(), seed)

    @property
    def code_folder(self) -> Path:
        """Where this machine unpacks code snapshots."""
        return self.local / "code"

    def version(self, id: str) -> Version:
        """The record of a version.

        Raises:
            NotBuilt: no such version.
        """
        version = self.metadata.version(id)
        if version is None:
            raise NotBuilt(f"store expected version {id[:6]}, got none")
        return version

    def load(self, id: str, *, project_types: Sequence[str] = (), native: bool = False) -> Any:
        """What the codec loads for a model's or threshold's version; ``native``: as it was before any conversion."""
        from funade.store import codecs

        version = self.version(id)
        if version.artifact is None:
            raise NotBuilt(
                f"{version.kind} `{version.node}` expected an artifact, got none", at=short(version.node, id)
            )
        artifact = codecs.original(version.artifact) if native else version.artifact
        return codecs.decode(artifact, self.blobs, project_types=tuple(project_types))
