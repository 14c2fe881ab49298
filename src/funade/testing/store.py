"""A store kept in memory: the four ports without a disk, for tests in one process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from funade import clock as clocks
from funade.clock import Clock
from funade.errors import Misuse, StoreError
from funade.store.queue_rules import QueueRules
from funade.store.store import Store
from funade.testing.blobs import MemoryBlobs
from funade.testing.metadata import MemoryMetadata
from funade.testing.predictions import MemoryPredictions
from funade.testing.queue import MemoryQueue, QueueContents

_STORES: dict[str, Store] = {}


@contextmanager
def memory_store(name: str = "test", clock: Clock = clocks.system) -> Iterator[Store]:
    """A store with the address ``memory:name`` while the block lasts; then nothing of it is left.

    A project in this process uses it by ``[store] path = "memory:name"`` in ``funade.toml``. It loads, builds, stages,
    holds and answers as with any other store. What processes of their own do cannot be done: ``funade release`` judges
    a candidate in one, and servers, batches and ``explain`` answer in others. Those fail, and say that the address is
    of no process but the one that made it.

    Files that libraries must read, such as Parquet, lie in a temporary folder.

    >>> with memory_store("readme") as store:
    ...     digest = store.blobs.put_bytes(b"hello")
    ...     Store.open("memory:readme").blobs.read(digest)
    b'hello'

    Raises:
        Misuse: there is one of that name.
    """
    address = f"memory:{name}"
    if address in _STORES:
        raise Misuse(f"memory_store expected a name of its own, got `{name}`")
    with tempfile.TemporaryDirectory(prefix="funade-memory-") as folder:
        _STORES[address] = _made(address, Path(folder), clock)
        try:
            yield _STORES[address]
        finally:
            del _STORES[address]


def open_store(address: str, clock: Clock) -> Store:
    """The store of a ``memory:`` address; it goes on by the clock it was made with.

    Raises:
        StoreError: this process has none.
    """
    if address not in _STORES:
        raise StoreError(f"store expected `{address}` to be of this process, got none", do="see funade.testing")
    return _STORES[address]


def _made(address: str, folder: Path, clock: Clock) -> Store:
    contents = QueueContents()

    def queue(rules: QueueRules, seed: int) -> MemoryQueue:
        return MemoryQueue(contents, clock, rules, seed=seed)

    return Store(
        address,
        metadata=MemoryMetadata(clock),
        blobs=MemoryBlobs(folder),
        predictions=MemoryPredictions(folder / "log"),
        queue=queue,
        local=folder,
    )
