"""Alerts that answers lean on defaults or on the fallback."""

from __future__ import annotations

from funade.serve.metrics.counters import ApiCounters, Counters
from funade.serve.supervise.shares import Lean, Shares


def counts(rows: int, *, defaults: int = 0, late: int = 0) -> Counters:
    return Counters(apis={"eta": ApiCounters(rows=rows, defaults={"demand": defaults}, fallback={"late": late})})


def test_a_feature_that_is_nearly_always_missing_is_told_once() -> None:
    shares = Shares()

    assert shares.look(counts(100, defaults=80)) == []
    assert shares.look(counts(200, defaults=175)) == [Lean("defaults stand for a feature", "eta", "demand", 0.95, 100)]
    assert shares.look(counts(300, defaults=275)) == []


def test_it_is_told_again_after_it_was_over() -> None:
    shares = Shares()

    told = [len(shares.look(counts(100 * (n + 1), late=late))) for n, late in enumerate([60, 120, 150, 160, 250])]

    assert told == [1, 0, 0, 0, 1]  # shares of 60, 60, 30, 10 and 90 %


def test_few_rows_wait_until_there_are_enough() -> None:
    shares = Shares()

    assert [shares.look(counts(n, late=n)) for n in (10, 30, 49)] == [[], [], []]
    assert shares.look(counts(50, late=50)) == [Lean("the fallback answers", "eta", "late", 1.0, 50)]
