"""The store in a folder of this machine: SQLite, and files beside it. ``sqlite:/absolute/folder``."""

from __future__ import annotations

from pathlib import Path

from funade.clock import Clock
from funade.errors import StoreError
from funade.predictions.folder import PredictionFolder
from funade.queue.queue import SqliteQueue
from funade.store.blobs import BlobFolder
from funade.store.queue_rules import QueueRules
from funade.store.sqlite.metadata import SqliteMetadata
from funade.store.store import Store


def open_store(address: str, clock: Clock) -> Store:
    """The store of a ``sqlite:`` address.

    Raises:
        StoreError: its folder is relative.
    """
    folder = Path(address.partition(":")[2])
    if not folder.is_absolute():
        raise StoreError(f"store expected an address like `sqlite:/absolute/folder`, got `{address}`")

    def queue(rules: QueueRules, seed: int) -> SqliteQueue:
        return SqliteQueue(folder / "queue.db", clock=clock, rules=rules, seed=seed)

    return Store(
        address,
        metadata=SqliteMetadata(folder / "records.db", clock=clock),
        blobs=BlobFolder(folder),
        predictions=PredictionFolder(folder / "log"),
        queue=queue,
        local=folder,
    )
