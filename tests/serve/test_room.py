"""A queue's bounds follow from how long calls take."""

from __future__ import annotations

import pytest

from funade.serve.limits import Limits
from funade.serve.room import Room

LIMITS = Limits(batch_rows=1024, waiting_rows=65_536)


@pytest.mark.parametrize(("fixed", "a_row", "promise"), [(0.0, 0.0002, 0.1), (0.005, 0.0005, 0.1), (0.001, 0.01, 0.5)])
def test_a_call_comes_to_take_a_third_of_the_promise(fixed: float, a_row: float, promise: float) -> None:
    room = Room(LIMITS, promise)
    for rows in (1, 2, 1):
        room.took(rows, fixed + a_row * rows)
    for _ in range(100):
        room.took(room.call, fixed + a_row * room.call)
    fits = (promise / 3 - fixed) / a_row
    assert 0.7 * fits <= room.call <= max(1.3 * fits, 21)
    assert room.waiting == room.call


def test_a_function_whose_time_does_not_depend_on_the_rows_is_given_as_many_as_before() -> None:
    room = Room(LIMITS, 0.05)
    for rows in (1, 8, 1024, 1024):
        room.took(rows, 0.1)
    assert (room.call, room.waiting) == (1024, 2048)


def test_a_quick_function_keeps_the_limits() -> None:
    room = Room(LIMITS, None)
    assert (room.call, room.waiting) == (1024, 8192)
    for rows in (1, 64, 1024):
        room.took(rows, 4e-6 * rows)
    assert (room.call, room.waiting) == (1024, 65_536)


@pytest.mark.parametrize(("a_row", "fits"), [(0.0002, 1666), (0.00005, 6666), (0.0, 65_536)])
def test_no_more_wait_than_are_answered_in_a_third_of_the_promise(a_row: float, fits: int) -> None:
    room = Room(LIMITS, None)
    for _ in range(100):
        room.took(1024, a_row * 1024)
    assert (room.call, room.waiting) == (1024, fits)


def test_room_grows_again_when_calls_are_quick_again() -> None:
    room = Room(LIMITS, 0.1)
    for _ in range(50):
        room.took(room.call, 1.0)
    assert room.call == 16
    for _ in range(100):
        room.took(room.call, 0.001)
    assert room.call == 1024
    assert 33_000 < room.waiting <= 34_133


def test_few_rows_that_are_quick_do_not_open_a_room_they_do_not_fill() -> None:
    room = Room(LIMITS, 0.1)
    for _ in range(50):
        room.took(room.call, 1.0)
    for _ in range(50):
        room.took(2, 0.001)
    assert room.call == 16


def test_a_few_rows_that_were_held_up_once_leave_the_room_as_it_was() -> None:
    room = Room(LIMITS, 0.3)
    for seconds in (0.002, 5.0, 0.002):
        room.took(1, seconds)
    assert (room.call, room.waiting) == (LIMITS.batch_rows, 8192)
