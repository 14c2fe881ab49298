"""The prediction log as a worker has it: entries as a batcher makes them, written and read."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from funade import clock
from funade.contract.batch import FrozenRows
from funade.events import EventLog
from funade.predictions import table as predictions
from funade.predictions.compactor import Compactor
from funade.predictions.folder import PredictionFolder
from funade.predictions.writer import LogWriter
from funade.store.prediction_record import Record
from funade.store.prediction_record import record as made
from funade.store.warehouse.query import sql
from support.server import noted


class Asked:
    """One answered request."""

    timer = None
    done = True

    def __init__(self, rows: int = 1, *, single: bool = True, door: str = "http", took_s: float = 0.002) -> None:
        self.rows: list[Any] = [None] * rows
        self.single = single
        self.door = door
        self.since = time.monotonic() - took_s

    def write(self, answers: Any, start: int, stop: int) -> Any: ...

    def answer(self, body: Any, number: int, said: Any = None) -> None: ...

    def refuse(self, status: int, error: str, path: str = "") -> None: ...


def texts(*values: object) -> Any:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def entry(first: int, request: dict[str, Any], answers: dict[str, Any], **given: Any) -> Record:
    """Answers of one call to single requests, unless ``asks`` says otherwise."""
    rows = len(next(iter(request.values())))
    requests: Sequence[Any] = given.pop("asks", [Asked() for _ in range(rows)])
    api, at = given.pop("api", "eta"), given.pop("at", None)
    kept = FrozenRows((*request,), request)
    found = made(api, requests, range(first, first + len(requests)), kept, answers, **given)
    return found if at is None else found._replace(at=at)


def numbered(first: int, rows: int, *, api: str = "eta") -> Record:
    """Rows whose ``x`` is their own number."""
    x = np.arange(first, first + rows, dtype="f8")
    return entry(first, {"x": x}, {"y": x * 2}, api=api)


MARK = "0123456789ab"


class Worker:
    """A log on a loop of its own, as a worker has it."""

    def __init__(self, root: Path, mark: str = MARK, release: int = 1, **without: set[str]) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.journal = root / "journal"
        hidden = {api: frozenset(fields) for api, fields in without.items()}
        self.log = LogWriter(root / "log", mark, release, hidden, self.loop, EventLog(clock.system, str(self.journal)))

    def has_logged(self, rows: int) -> bool:
        """Whether so many rows are in its file."""
        return self.log.logged == rows

    def on_loop(self, act: Callable[..., Any], *given: Any) -> None:
        self.loop.call_soon_threadsafe(act, *given)

    def kept(self, some: Any) -> bool:
        """Whether answers were on the disk before they were sent."""
        told: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.on_loop(self.log.keep, some, told.put)
        return told.get(timeout=120)

    def close(self) -> None:
        self.log.close()
        self.on_loop(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in noted(self.journal) if line["event"] == name]


@contextmanager
def worker(root: Path, **given: Any) -> Iterator[Worker]:
    one = Worker(root, **given)
    try:
        yield one
    finally:
        one.close()


def read(root: Path, query: str = "SELECT * FROM predictions ORDER BY length(prediction), prediction") -> list[Any]:
    rows: list[Any] = sql(query, {predictions.TABLE: PredictionFolder(root / "log").select()}).to_pylist()
    return rows


def keep(root: Path) -> int:
    return Compactor(root / "log").look()
