"""Failing rows are found by halving."""

from __future__ import annotations

import numpy as np
from hypothesis import given as drawn
from hypothesis import strategies as st

from funade.bind.halves import MOST_CALLS, spans
from funade.contract.outcome import Outcome


class Picky:
    def __init__(self, bad: set[int]) -> None:
        self.bad = bad
        self.calls = 0

    def give(self, start: int, stop: int) -> Outcome:
        self.calls += 1
        if self.bad & set(range(start, stop)):
            raise ValueError
        return Outcome({"x": np.arange(start, stop)})


@drawn(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=4))
def test_exactly_the_bad_rows_fail_and_the_others_keep_their_place(count: int, bad: set[int]) -> None:
    found = spans(Picky(bad).give, count)
    assert [s.start for s in found] == [0, *[s.stop for s in found[:-1]]]
    assert found[-1].stop == count
    for span in found:
        if span.outcome is None:
            assert span.error is not None and span.start in bad and span.stop == span.start + 1
        else:
            assert span.outcome.columns["x"].tolist() == list(range(span.start, span.stop))


def test_a_function_that_always_fails_is_not_called_for_ever() -> None:
    api = Picky(set(range(100_000)))
    found = spans(api.give, 100_000)
    assert api.calls == MOST_CALLS + 1
    assert all(s.outcome is None for s in found)
    assert found[-1].stop == 100_000
