"""The implementations of each port; every test of these suites runs on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from funade.clock import frozen
from funade.queue.queue import SqliteQueue
from funade.store.address import of_folder
from funade.store.ports.blobs import Blobs
from funade.store.ports.metadata import Metadata
from funade.store.ports.queue import Queue
from funade.store.queue_rules import QueueRules
from funade.store.store import Store
from funade.testing import memory_store
from funade.testing.queue import MemoryQueue, QueueContents
from support.records import NOW

ENGINES = ("sqlite", "memory")


class Watch:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def go(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(engine: str, tmp_path: Path) -> Iterator[Store]:
    if engine == "memory":
        with memory_store("contract", frozen(NOW)) as store:
            yield store
    else:
        yield Store.open(of_folder(tmp_path / "store"), frozen(NOW))


@pytest.fixture
def metadata(store: Store) -> Iterator[Metadata]:
    yield store.metadata
    store.metadata.close()


@pytest.fixture
def blobs(store: Store) -> Blobs:
    return store.blobs


@pytest.fixture
def watch() -> Watch:
    return Watch()


Open = Callable[..., Queue]


@pytest.fixture
def opened(engine: str, tmp_path: Path, watch: Watch) -> Open:
    """Opens the queue as one worker sees it; names of workers that never lived are of no process here."""
    contents, path = QueueContents(), tmp_path / "store" / "queue.db"

    def open_queue(worker: str = ".1.1", **bounds: float) -> Queue:
        rules = QueueRules(**bounds)  # type: ignore[arg-type]
        if engine == "memory":
            return MemoryQueue(contents, watch, rules, worker=worker)
        return SqliteQueue(path, clock=watch, rules=rules, worker=worker)

    return open_queue


@pytest.fixture
def queue(opened: Open) -> Queue:
    return opened()
