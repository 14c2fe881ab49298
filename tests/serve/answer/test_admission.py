"""A queue's bounds follow from how long calls take."""

from __future__ import annotations

import pytest

from funade.serve.answer.admission import Admission
from funade.serve.limits import Limits

LIMITS = Limits(batch_rows=1024, waiting_rows=65_536)


@pytest.mark.parametrize(("fixed", "a_row", "promise"), [(0.0, 0.0002, 0.1), (0.005, 0.0005, 0.1), (0.001, 0.01, 0.5)])
def test_a_call_comes_to_take_a_third_of_the_promise(fixed: float, a_row: float, promise: float) -> None:
    admission = Admission(LIMITS, promise)
    for rows in (1, 2, 1):
        admission.took(rows, fixed + a_row * rows)
    for _ in range(100):
        admission.took(admission.call, fixed + a_row * admission.call)
    fits = (promise / 3 - fixed) / a_row
    assert 0.7 * fits <= admission.call <= max(1.3 * fits, 21)
    assert admission.waiting == admission.call


def test_a_function_whose_time_does_not_depend_on_the_rows_is_given_as_many_as_before() -> None:
    admission = Admission(LIMITS, 0.05)
    for rows in (1, 8, 1024, 1024):
        admission.took(rows, 0.1)
    assert (admission.call, admission.waiting) == (1024, 2048)


def test_a_quick_function_keeps_the_limits() -> None:
    admission = Admission(LIMITS, None)
    assert (admission.call, admission.waiting) == (1024, 8192)
    for rows in (1, 64, 1024):
        admission.took(rows, 4e-6 * rows)
    assert (admission.call, admission.waiting) == (1024, 65_536)


@pytest.mark.parametrize(("a_row", "fits"), [(0.0002, 1666), (0.00005, 6666), (0.0, 65_536)])
def test_no_more_wait_than_are_answered_in_a_third_of_the_promise(a_row: float, fits: int) -> None:
    admission = Admission(LIMITS, None)
    for _ in range(100):
        admission.took(1024, a_row * 1024)
    assert (admission.call, admission.waiting) == (1024, fits)


def test_room_grows_again_when_calls_are_quick_again() -> None:
    admission = Admission(LIMITS, 0.1)
    for _ in range(50):
        admission.took(admission.call, 1.0)
    assert admission.call == 16
    for _ in range(100):
        admission.took(admission.call, 0.001)
    assert admission.call == 1024
    assert 33_000 < admission.waiting <= 34_133


def test_few_rows_that_are_quick_do_not_open_a_room_they_do_not_fill() -> None:
    admission = Admission(LIMITS, 0.1)
    for _ in range(50):
        admission.took(admission.call, 1.0)
    for _ in range(50):
        admission.took(2, 0.001)
    assert admission.call == 16


def test_a_few_rows_that_were_held_up_once_leave_the_room_as_it_was() -> None:
    admission = Admission(LIMITS, 0.3)
    for seconds in (0.002, 5.0, 0.002):
        admission.took(1, seconds)
    assert (admission.call, admission.waiting) == (LIMITS.batch_rows, 8192)
