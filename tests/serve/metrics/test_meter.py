"""What is counted of an entry."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import numpy as np
import pytest

from funade.contract.batch import FrozenRows
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.serve.metrics.counters import CALL_ROWS, TOOK_S
from funade.serve.metrics.meter import Meter
from funade.store.prediction_record import Record
from funade.store.prediction_record import record as made


class Asked:
    """One request of so many rows that came at a time."""

    def __init__(self, rows: int = 1, since: float = 0.0, door: str = "http") -> None:
        self.rows: list[Any] = [None] * rows
        self.since = since
        self.door = door
        self.single = False
        self.done = True
        self.timer: asyncio.TimerHandle | None = None

    def write(self, answers: ApiAnswers, start: int, stop: int) -> Any:
        return b""

    def answer(self, body: Any, number: int, said: Notes = PLAIN) -> None: ...

    def refuse(self, status: int, error: str, path: str = "") -> None: ...


def entry(requests: list[Asked], now: float = 0.0, **found: Any) -> Record:
    return made("eta", requests, range(len(requests)), FrozenRows((), {}), {}, **found)._replace(now=now)


class Spread(NamedTuple):
    """Buckets that hold something."""

    took: dict[float, int]
    calls: dict[float, int]


def spread(meter: Meter) -> Spread:
    counters = meter.counts.apis["eta"]
    return Spread(
        {bound: n for bound, n in zip((*TOOK_S, np.inf), counters.took, strict=True) if n},
        {bound: n for bound, n in zip((*CALL_ROWS, np.inf), counters.calls, strict=True) if n},
    )


@pytest.fixture
def meter() -> Meter:
    return Meter("0" * 12, "", ["eta"])


def test_a_call_counts_its_requests_rows_and_latencies(meter: Meter) -> None:
    meter.batch(entry([Asked(3, 1.0), Asked(1, 1.995), Asked(1, 1.9995, "grpc")], 2.0))
    counters = meter.counts.apis["eta"]
    assert counters.requests == {"http 200": 2, "grpc 200": 1}
    assert (counters.rows, counters.call_rows) == (5, 5)
    assert counters.took_s == pytest.approx(1.0 + 0.005 + 0.0005)
    assert spread(meter).calls == {8: 1}
    assert sum(spread(meter).took.values()) == 3
    assert spread(meter).took[1.0] == 1


@pytest.mark.parametrize(
    ("took", "bucket"), [(0.0, 0.0005), (0.0005, 0.0005), (0.25, 0.5), (10.0, 10.0), (10.5, np.inf)]
)
def test_a_latency_counts_in_the_smallest_bucket_that_holds_it(meter: Meter, took: float, bucket: float) -> None:
    meter.batch(entry([Asked(since=0.0), Asked(since=0.0)], took))
    assert spread(meter).took == {bucket: 2}


def test_latencies_of_one_call_count_each_in_its_own_bucket(meter: Meter) -> None:
    meter.batch(entry([Asked(since=since) for since in (0.0, 15.0, 19.9, 20.0)], 20.0))
    assert spread(meter).took == {np.inf: 1, 5.0: 1, 0.1 if 20.0 - 19.9 <= 0.1 else 0.2: 1, 0.0005: 1}


def test_a_call_of_more_rows_than_any_bucket_counts_in_the_last(meter: Meter) -> None:
    meter.batch(entry([Asked(2000)]))
    assert spread(meter).calls == {np.inf: 1}


def test_rows_of_the_fallback_count_by_reason(meter: Meter) -> None:
    meter.batch(entry([Asked(3), Asked(3)], spoke=np.array([0, 1, 1, 5, 4, 0], dtype=np.uint8)))
    counters = meter.counts.apis["eta"]
    assert counters.fallback == {"error": 2, "nan": 1, "guard": 1}
    assert (counters.rows, counters.requests, sum(counters.calls)) == (6, {"http 200": 2}, 1)


def test_requests_answered_without_a_call_count_none(meter: Meter) -> None:
    meter.batch(entry([Asked(2)], spoke=np.array([2, 2], dtype=np.uint8)))
    counters = meter.counts.apis["eta"]
    assert counters.fallback == {"busy": 2}
    assert (sum(counters.calls), counters.requests) == (0, {"http 200": 1})


def test_a_refused_request_of_a_call_is_not_counted_as_answered(meter: Meter) -> None:
    meter.batch(entry([Asked(2), Asked(1), Asked(1)], spoke=np.array([0, 255, 0, 255], dtype=np.uint8)))
    meter.refused("eta", 500, "http")
    meter.refused("eta", 500, "grpc")
    counters = meter.counts.apis["eta"]
    assert counters.requests == {"http 200": 1, "http 500": 1, "grpc 500": 1}
    assert (counters.rows, sum(counters.took)) == (2, 1)


def test_defaults_and_guards_count_rows(meter: Meter) -> None:
    yes, no = np.array([True, False, True]), np.array([False] * 3)
    meter.batch(entry([Asked(3)], defaults={"rides": yes, "km": no}, guards={"eta clamped": yes}))
    meter.batch(entry([Asked(3)], defaults={"rides": yes}))
    counters = meter.counts.apis["eta"]
    assert (counters.defaults, counters.guards) == ({"rides": 4}, {"eta clamped": 2})


def test_a_request_of_no_known_api_counts_under_no_name(meter: Meter) -> None:
    meter.refused("", 404, "http")
    meter.refused("other", 404, "http")
    assert meter.counts.apis[""].requests == {"http 404": 2}


def test_labels_are_bounded(meter: Meter) -> None:
    for number in range(1000):
        meter.refused("eta", number, "http")
    requests = meter.counts.apis["eta"].requests
    assert len(requests) == 201
    assert sum(requests.values()) == 1000
