"""The prediction store: what a worker logged can be read by SQL, found by its id, and read call by call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from funade import clock
from funade.events import EventLog
from funade.predictions import table
from funade.predictions.compactor import Compactor
from funade.store.ports.predictions import PredictionStore, PredictionWriter
from funade.store.store import Store
from funade.store.warehouse.query import sql
from support.predictions import Asked, entry, numbered

MARK = "ab" * 6


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def predictions(store: Store) -> PredictionStore:
    return store.predictions


Log = Callable[..., PredictionWriter]


@pytest.fixture
def writer(predictions: PredictionStore, loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Log:
    def open_writer(mark: str = MARK, **hidden: frozenset[str]) -> PredictionWriter:
        return predictions.writer(mark, 7, hidden, loop, EventLog(clock.system, str(tmp_path / "events")))

    return open_writer


@pytest.fixture
def readable(engine: str, tmp_path: Path) -> Callable[[], None]:
    """Does once what the store's compactor does beside a server."""

    def compact() -> None:
        if engine == "sqlite":
            Compactor(tmp_path / "store" / "log").look()

    return compact


def test_a_log_that_nobody_wrote_is_an_empty_table(predictions: PredictionStore) -> None:
    assert sql("SELECT * FROM predictions", {"predictions": predictions.select()}).num_rows == 0
    assert list(predictions.calls(["aaaaaaaaaaaa-1"])) == []


def test_what_was_logged_is_read_whole_and_by_worker(
    predictions: PredictionStore, writer: Log, readable: Callable[[], None]
) -> None:
    for mark, api in ((MARK, "eta"), ("cd" * 6, "fare")):
        log = writer(mark)
        log.add(numbered(1, 3, api=api))
        log.close()
        assert (log.logged, log.lost) == (3, 0)
    readable()

    def numbers(mark: str = "") -> list[tuple[str, float, float, int]]:
        query = "SELECT api, request.x AS x, answer.y AS y, release FROM predictions ORDER BY api, x"
        rows = sql(query, {"predictions": predictions.select(mark=mark)}).to_pylist()
        return [(row["api"], row["x"], row["y"], row["release"]) for row in rows]

    eta, fare = ([(api, float(n), n * 2.0, 7) for n in (1, 2, 3)] for api in ("eta", "fare"))
    assert numbers() == [*eta, *fare]
    assert not predictions.select(mark="ef" * 6).paths
    assert numbers(mark="cd" * 6) == fare


def test_a_row_is_found_by_its_id_and_a_call_has_all_its_rows(
    predictions: PredictionStore, writer: Log, readable: Callable[[], None]
) -> None:
    log = writer()
    log.add(entry(5, {"x": np.arange(4.0)}, {"y": np.zeros(4)}, asks=[Asked(4, single=False)]))
    log.close()
    readable()
    row = table.find(predictions, f"{MARK}-5.2", wait_s=0.0)
    assert row is not None and (row["request"], row["call"]) == ({"x": 2.0}, f"{MARK}-5")
    ((call, rows),) = predictions.calls([f"{MARK}-5", f"{MARK}-6"])
    assert (call, rows["row"].to_pylist()) == (f"{MARK}-5", [0, 1, 2, 3])


def test_a_field_that_is_not_kept_is_not_in_the_log(
    predictions: PredictionStore, writer: Log, readable: Callable[[], None]
) -> None:
    log = writer(eta=frozenset(["x"]))
    log.add(entry(1, {"x": np.ones(1), "z": np.ones(1)}, {"y": np.ones(1)}))
    log.close()
    readable()
    (row,) = sql("SELECT request FROM predictions", {"predictions": predictions.select()}).to_pylist()
    assert row["request"] == {"z": 1.0}


def test_whoever_waits_for_the_log_is_told_on_the_loop(writer: Log, loop: asyncio.AbstractEventLoop) -> None:
    log, told = writer(), loop.create_future()
    loop.call_soon(log.keep, numbered(1, 2), told.set_result)
    assert loop.run_until_complete(asyncio.wait_for(told, 120)) is True
    log.close()
    assert log.logged == 2
