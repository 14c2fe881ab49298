"""Windows are half-open, count calendar days of the project's zone, and meet without a gap or an overlap."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from funade.declare.window import Interval, Window, before, between, day_start, days_before, last
from funade.errors import DeclarationError

TOKYO, NEW_YORK = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
ZONES = st.sampled_from([TOKYO, NEW_YORK, ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/Havana")])
DAYS = st.dates(date(2000, 1, 1), date(2035, 12, 31))
COUNTS = st.integers(1, 800)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    return day_start(day.isoformat(), zone)


def ends(interval: Interval) -> tuple[datetime, datetime]:
    assert interval.start is not None
    assert interval.end is not None
    return interval.start, interval.end


def test_the_last_days_end_where_the_data_ends() -> None:
    interval = last(days=7).interval(midnight(date(2022, 2, 1), TOKYO), TOKYO)

    assert interval == Interval(datetime(2022, 1, 24, 15, tzinfo=UTC), datetime(2022, 1, 31, 15, tzinfo=UTC))


@given(DAYS, COUNTS, ZONES)
def test_a_window_of_days_runs_from_midnight_to_midnight(end: date, days: int, zone: ZoneInfo) -> None:
    start, stop = ends(last(days=days).interval(midnight(end, zone), zone))

    assert start == midnight(end - timedelta(days=days), zone)
    assert stop == midnight(end, zone)


@given(DAYS, COUNTS, COUNTS, ZONES)
def test_adjacent_windows_meet_and_do_not_overlap(end: date, near: int, more: int, zone: ZoneInfo) -> None:
    moment = midnight(end, zone)
    newest = last(days=near).interval(moment, zone)
    older = between(days=(near + more, near)).interval(moment, zone)
    oldest = before(days=near + more).interval(moment, zone)

    assert oldest.start is None
    assert (oldest.end, older.end) == (older.start, newest.start)
    for one, other in [(oldest, older), (older, newest), (oldest, newest)]:
        assert not one.overlaps(other)
        assert not other.overlaps(one)


@given(DAYS, st.lists(COUNTS, min_size=4, max_size=4), ZONES)
def test_two_windows_overlap_exactly_when_they_share_a_day(end: date, counts: list[int], zone: ZoneInfo) -> None:
    (a, b), (c, d) = ((far + near, near) for far, near in (counts[:2], counts[2:]))
    moment = midnight(end, zone)
    one, other = (between(days=pair).interval(moment, zone) for pair in ((a, b), (c, d)))

    assert one.overlaps(other) == bool(set(range(b, a)) & set(range(d, c)))


@given(DAYS, COUNTS, ZONES)
def test_dates_name_days_of_the_zone_whatever_the_end(first: date, days: int, zone: ZoneInfo) -> None:
    second = first + timedelta(days=days)
    window = between(first.isoformat(), second.isoformat())

    assert ends(window.interval(datetime(1999, 1, 1, tzinfo=UTC), zone)) == (
        midnight(first, zone),
        midnight(second, zone),
    )


@pytest.mark.parametrize(
    ("end", "hours"),
    [("2022-03-14", 23), ("2022-11-07", 25), ("2022-06-01", 24)],
    ids=["clocks go forward", "clocks go back", "an ordinary day"],
)
def test_a_day_in_new_york_has_the_hours_it_has(end: str, hours: int) -> None:
    start, stop = ends(last(days=1).interval(day_start(end, NEW_YORK), NEW_YORK))

    assert stop - start == timedelta(hours=hours)


@given(DAYS, COUNTS)
def test_every_day_in_tokyo_has_24_hours(end: date, days: int) -> None:
    start, stop = ends(last(days=days).interval(midnight(end, TOKYO), TOKYO))

    assert stop - start == timedelta(days=days)


def test_where_clocks_go_forward_at_midnight_no_hour_of_a_day_is_lost() -> None:
    havana = ZoneInfo("America/Havana")
    end = day_start("2022-03-13", havana)  # 00:00 does not exist on that day, it starts at 01:00

    assert ends(last(days=1).interval(end, havana)) == (day_start("2022-03-12", havana), end)
    assert ends(last(days=1).interval(day_start("2022-03-14", havana), havana))[0] == end


def test_an_end_within_the_hour_that_clocks_repeat_stays_where_it_is() -> None:
    end = datetime(2022, 11, 6, 6, 30, tzinfo=UTC)  # the second 01:30 of that night

    assert before(days=0).interval(end, NEW_YORK) == Interval(None, end)


def test_a_wall_clock_time_that_a_day_skips_is_the_moment_after_the_gap() -> None:
    # 02:30 of 13 March 2022 does not exist in New York: clocks jump from 02:00 to 03:00.
    moment = datetime(2022, 3, 14, 2, 30, tzinfo=NEW_YORK)

    assert days_before(moment, 1, NEW_YORK) == datetime(2022, 3, 13, 7, 30, tzinfo=UTC)


def test_the_edge_belongs_to_the_later_window() -> None:
    edge = datetime(2022, 1, 1, tzinfo=UTC)
    earlier, later = Interval(None, edge), Interval(edge, None)

    assert not earlier.overlaps(later)
    assert earlier.overlaps(Interval(None, None))
    assert later.overlaps(Interval(edge, edge + timedelta(microseconds=1)))


@pytest.mark.parametrize(
    ("window", "text"),
    [
        (last(days=7), "last 7 days"),
        (before(days=14), "before the last 14 days"),
        (between(days=(14, 7)), "last 14 days but the last 7"),
        (between("2022-01-01", "2022-03-01"), "between 2022-01-01 and 2022-03-01"),
    ],
)
def test_a_window_reads_as_it_was_written(window: Window, text: str) -> None:
    assert str(window) == text


@pytest.mark.parametrize("days", [0, -1, 1.5, True, "7", None])
def test_days_are_whole_and_at_least_one(days: object) -> None:
    with pytest.raises(DeclarationError) as refusal:
        last(days=days)  # type: ignore[arg-type]

    assert str(refusal.value) == f"window expected whole days of at least 1, got {days!r}"


@pytest.mark.parametrize(
    ("first", "second", "days", "told"),
    [
        (None, None, (7, 14), "window `between` expected days=(further back, nearer), got (7, 14); write days=(14, 7)"),
        (None, None, (7, 7), "window `between` expected days=(further back, nearer), got (7, 7)"),
        (None, None, (7,), "window `between` expected days=(further back, nearer), got (7,)"),
        (None, None, 7, "window `between` expected days=(further back, nearer), got 7"),
        (None, None, None, "window `between` expected two dates or days=(…, …), got fewer"),
        ("2022-01-01", None, None, "window `between` expected two dates or days=(…, …), got fewer"),
        ("2022-01-01", None, (2, 1), "window `between` expected two dates or days=(…, …), got both"),
        (
            "2022-01-02",
            "2022-01-01",
            None,
            "window `between` expected the earlier date first, got '2022-01-02', '2022-01-01'",
        ),
        (
            "2022-01-01",
            "2022-01-01",
            None,
            "window `between` expected the earlier date first, got '2022-01-01', '2022-01-01'",
        ),
        ("2022-02-30", "2022-03-01", None, "window expected an ISO date like '2022-03-01', got '2022-02-30'"),
        (20220101, "2022-03-01", None, "window expected an ISO date like '2022-03-01', got 20220101"),
        ("20220101", "2022-03-01", None, "window expected an ISO date like '2022-03-01', got '20220101'"),
    ],
)
def test_a_window_that_means_nothing_is_refused(first: object, second: object, days: object, told: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        between(first, second, days=days)  # type: ignore[arg-type]

    assert str(refusal.value) == told
