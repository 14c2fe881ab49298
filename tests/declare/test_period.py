"""Periods tile time from `since`: no gap, no overlap, each under one name, and names sort as times do."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from funade.declare.period import LENGTHS, Period, check_every, chosen, due
from funade.declare.policy import Every
from funade.errors import DeclarationError, Misuse

TOKYO, NEW_YORK = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
ZONES = st.sampled_from([TOKYO, NEW_YORK, ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu"), ZoneInfo("America/Havana")])
STARTS = st.datetimes(datetime(2018, 1, 1), datetime(2030, 12, 31)).map(
    lambda d: d.replace(minute=0, second=0, microsecond=0)
)
FAR = datetime(2100, 1, 1, tzinfo=UTC)


def periods(every: Every, zone: ZoneInfo, count: int) -> list[Period]:
    return list(islice(due(every, zone, FAR), count))


@st.composite
def rhythms(draw: st.DrawFn) -> Every:
    length = draw(st.sampled_from(LENGTHS))
    start = draw(STARTS)
    return Every(length, start.isoformat() if length == "1 hour" else start.date().isoformat())


@given(rhythms(), ZONES, st.integers(1, 400))
def test_periods_tile_time(every: Every, zone: ZoneInfo, count: int) -> None:
    found = periods(every, zone, count)

    assert found[0].start == datetime.fromisoformat(every.since).replace(tzinfo=zone).astimezone(UTC)
    assert all(period.start < period.end for period in found)
    assert all(one.end == other.start for one, other in pairwise(found))


@given(rhythms(), ZONES, st.integers(1, 400))
def test_names_are_unique_and_sort_as_times_do(every: Every, zone: ZoneInfo, count: int) -> None:
    names = [period.name for period in periods(every, zone, count)]

    assert names == sorted(set(names))


@given(rhythms(), ZONES, st.integers(1, 100), st.integers(1, 100))
def test_the_periods_between_two_names_are_those_from_one_to_the_other(
    every: Every, zone: ZoneInfo, first: int, more: int
) -> None:
    found = periods(every, zone, first + more)

    assert chosen(every, zone, found[first - 1].name, found[-1].name, now=FAR) == found[first - 1 :]
    assert chosen(every, zone, "", found[-1].name, now=FAR) == found


@given(rhythms(), ZONES, st.integers(1, 100), st.times().map(lambda t: t.strftime("%H:%M")))
def test_what_is_due_has_ended_and_waited(every: Every, zone: ZoneInfo, count: int, at: str) -> None:
    wait = datetime.combine(date(2000, 1, 1), time.fromisoformat(at)) - datetime(2000, 1, 1)
    ends = [p.end for p in periods(every, zone, count)]
    now = (ends[-1].astimezone(zone).replace(tzinfo=None) + wait).replace(tzinfo=zone).astimezone(UTC)

    found = list(due(Every(every.period, every.since, at), zone, now))

    # Clocks that change while a period waits may let its neighbour be due too, or not yet.
    assume(len({end.astimezone(zone).utcoffset() for end in [*ends[-3:], now, now + timedelta(hours=2)]}) == 1)
    assert [p.end for p in found] == ends
    assert list(due(Every(every.period, every.since, at), zone, now - timedelta(seconds=1))) == found[:-1]


def test_a_day_is_due_at_its_hour_in_the_projects_zone() -> None:
    every = Every("1 day", "2022-01-01", at="03:00")
    before_three, three = (datetime(2022, 1, 1, 17, 59, 59, tzinfo=UTC), datetime(2022, 1, 1, 18, tzinfo=UTC))

    assert list(due(every, TOKYO, before_three)) == []
    assert [p.name for p in due(every, TOKYO, three)] == ["2022-01-01"]


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2022-03-13", 23), ("2022-11-06", 25), ("2022-11-07", 24)],
    ids=["shorter", "longer", "ordinary"],
)
def test_a_day_of_new_york_is_as_long_as_it_is(day: str, hours: int) -> None:
    (found,) = chosen(Every("1 day", "2022-01-01"), NEW_YORK, day, day, now=FAR)

    assert found.end - found.start == timedelta(hours=hours)


def test_the_hour_that_clocks_skip_is_no_period_and_the_one_they_repeat_is_one_of_two_hours() -> None:
    every = Every("1 hour", "2022-01-01")
    spring = chosen(every, NEW_YORK, "2022-03-13T01", "2022-03-13T03", now=FAR)
    autumn = chosen(every, NEW_YORK, "2022-11-06T01", "2022-11-06T02", now=FAR)

    assert [p.name for p in spring] == ["2022-03-13T01", "2022-03-13T03"]
    assert [(p.name, p.end - p.start) for p in autumn] == [
        ("2022-11-06T01", timedelta(hours=2)),
        ("2022-11-06T02", timedelta(hours=1)),
    ]


def test_weeks_go_on_over_week_53_and_the_turn_of_the_year() -> None:
    # S5: 2020 has 53 ISO weeks; the last begins on Monday 28 December and ends in January.
    every = Every("1 week", "2020-01-06")
    found = chosen(every, TOKYO, "2020-12-21", "2021-01-11", now=FAR)

    assert [p.name for p in found] == ["2020-12-21", "2020-12-28", "2021-01-04", "2021-01-11"]
    assert [date.fromisoformat(p.name).isocalendar()[:2] for p in found] == [
        (2020, 52),
        (2020, 53),
        (2021, 1),
        (2021, 2),
    ]
    assert all(p.end - p.start == timedelta(days=7) for p in found)


def test_a_first_month_that_begins_late_ends_with_its_month() -> None:
    every = Every("1 month", "2022-01-15")
    found = chosen(every, TOKYO, "", "2022-03", now=FAR)

    assert [(p.name, p.start.astimezone(TOKYO).day) for p in found] == [("2022-01", 15), ("2022-02", 1), ("2022-03", 1)]
    assert chosen(every, TOKYO, "2022-01", "2022-01", now=FAR) == found[:1]


def test_hours_can_be_chosen_up_to_one_when_since_is_a_date() -> None:
    found = chosen(Every("1 hour", "2022-01-01"), TOKYO, "", "2022-01-01T02", now=FAR)

    assert [p.name for p in found] == ["2022-01-01T00", "2022-01-01T01", "2022-01-01T02"]


def test_names_may_be_given_without_their_zeros() -> None:
    found = chosen(Every("1 day", "2022-01-01"), TOKYO, "2022-1-9", "2022-1-10", now=FAR)

    assert [p.name for p in found] == ["2022-01-09", "2022-01-10"]


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (
            "2022-01-31",
            "2022-01-31",
            "periods expected an end before 2022-01-31 12:00 UTC, got --to 2022-01-31; load it when it has ended",
        ),
        (
            "2022-01-01",
            "2999-01-01",
            "periods expected an end before 2022-01-31 12:00 UTC, got --to 2999-01-01; load it when it has ended",
        ),
        ("2022-01-05", "2022-01-02", "periods expected the earlier first, got --from 2022-01-05 --to 2022-01-02"),
        ("", "2021-12-31", "periods expected the earlier first, got --from 2022-01-01 (the first) --to 2021-12-31"),
        ("2021-01-01", "2021-01-02", "periods expected one since 2022-01-01, got --from 2021-01-01 --to 2021-01-02"),
        ("2022-01", "2022-01-02", "period of 1 day expected a name like 2022-03-01, got '2022-01'"),
        ("2022-01-01", "2022-02-30", "period of 1 day expected a name like 2022-03-01, got '2022-02-30'"),
    ],
)
def test_periods_that_are_not_there_are_refused(first: str, last: str, told: str) -> None:
    with pytest.raises(Misuse) as refusal:
        chosen(Every("1 day", "2022-01-01"), TOKYO, first, last, now=datetime(2022, 1, 31, 12, tzinfo=UTC))

    assert str(refusal.value) == told


@pytest.mark.parametrize(
    ("every", "told"),
    [
        (Every("2 days", "2022-01-01"), "policy `every` expected one of 1 hour, 1 day, 1 week, 1 month, got '2 days'"),
        (Every("1 day", "1 January"), "policy `every` expected since= an ISO date like '2022-01-01', got '1 January'"),
        (Every("1 day", 2022), "policy `every` expected since= an ISO date like '2022-01-01', got 2022"),  # type: ignore[arg-type]
        (
            Every("1 day", "2022-01-01T00:00+09:00"),
            "policy `every` expected since= an ISO date like '2022-01-01', got '2022-01-01T00:00+09:00'",
        ),
        (
            Every("1 day", "2022-01-01", at="25:00"),
            "policy `every` expected at= a time of day like '03:00', got '25:00'",
        ),
        (
            Every("1 day", "2022-01-01", at="three"),
            "policy `every` expected at= a time of day like '03:00', got 'three'",
        ),
    ],
)
def test_a_rhythm_that_cannot_be_kept_is_refused(every: Every, told: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        check_every(every)

    assert str(refusal.value) == told
