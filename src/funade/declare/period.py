"""A source's periods: the stretches of time that are loaded one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import msgspec

from funade.declare.policy import Every
from funade.errors import DeclarationError, Misuse

_FORMATS = {"1 hour": "%Y-%m-%dT%H", "1 day": "%Y-%m-%d", "1 week": "%Y-%m-%d", "1 month": "%Y-%m"}
LENGTHS = tuple(_FORMATS)


class Period(msgspec.Struct, frozen=True):
    """One period: its name (``2022-03-01``; of a week, its first day), and [start, end) in UTC."""

    name: str
    start: datetime
    end: datetime


def check_every(every: Every) -> None:
    """Refuse a rhythm that cannot be kept.

    Raises:
        DeclarationError: an unknown length, a ``since`` that is no date, an ``at`` that is no time of day.
    """
    if every.period not in LENGTHS:
        raise DeclarationError(f"policy `every` expected one of {', '.join(LENGTHS)}, got {every.period!r}")
    try:
        offset = datetime.fromisoformat(every.since).tzinfo
    except (TypeError, ValueError):
        offset = UTC
    if offset is not None:
        raise DeclarationError(f"policy `every` expected since= an ISO date like '2022-01-01', got {every.since!r}")
    try:
        datetime.strptime(every.at, "%H:%M")
    except (TypeError, ValueError):
        raise DeclarationError(f"policy `every` expected at= a time of day like '03:00', got {every.at!r}") from None


def due(every: Every, zone: ZoneInfo, now: datetime) -> Iterator[Period]:
    """Every period since the first whose end, plus the time of day ``at``, has passed by ``now``."""
    at = datetime.strptime(every.at, "%H:%M")
    wait = timedelta(hours=at.hour, minutes=at.minute)
    for period in _from(every, zone):
        local_end = period.end.astimezone(zone).replace(tzinfo=None)
        if (local_end + wait).replace(tzinfo=zone).astimezone(UTC) > now:
            return
        yield period


def chosen(every: Every, zone: ZoneInfo, first: str, last: str, *, now: datetime) -> list[Period]:
    """The periods from the one named ``first`` (or the very first) to the one named ``last``, both included.

    Raises:
        Misuse: a name that no period bears, ``last`` before ``first``, or one that has not ended by ``now``.
    """
    since = _name(every, datetime.fromisoformat(every.since))
    start, stop = _name(every, _named(every, first)) if first else since, _name(every, _named(every, last))
    if stop < start:
        earliest = first or f"{since} (the first)"
        raise Misuse(f"periods expected the earlier first, got --from {earliest} --to {last}")
    periods = [p for p in takewhile(lambda p: p.name <= stop and p.start < now, _from(every, zone)) if p.name >= start]
    if _utc(_named(every, last), zone) >= now or (periods and periods[-1].end > now):
        raise Misuse(
            f"periods expected an end before {now:%Y-%m-%d %H:%M} UTC, got --to {last}", do="load it when it has ended"
        )
    if not periods:
        raise Misuse(f"periods expected one since {since}, got --from {first or since} --to {last}")
    return periods


def _from(every: Every, zone: ZoneInfo) -> Iterator[Period]:
    start = datetime.fromisoformat(every.since)
    while True:
        stop = _next(every.period, start)
        period = Period(_name(every, start), _utc(start, zone), _utc(stop, zone))
        if period.start < period.end:  # not the hour that a clock put forward skips
            yield period
        start = stop


def _next(period: str, start: datetime) -> datetime:
    if period == "1 month":
        return (start.replace(day=1) + timedelta(days=32)).replace(day=1)
    return start + {"1 hour": timedelta(hours=1), "1 day": timedelta(days=1), "1 week": timedelta(days=7)}[period]


def _name(every: Every, start: datetime) -> str:
    return start.strftime(_FORMATS[every.period])


def _named(every: Every, name: str) -> datetime:
    try:
        return datetime.strptime(name, _FORMATS[every.period])
    except ValueError:
        example = datetime(2022, 3, 1).strftime(_FORMATS[every.period])
        raise Misuse(f"period of {every.period} expected a name like {example}, got {name!r}") from None


def _utc(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone).astimezone(UTC)


_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 7 * 86400}


def span(text: str) -> timedelta:
    """The length of time that ``text`` names; a day is 24 hours.

    >>> span("45 days").days
    45
    """
    match = re.fullmatch(
        r"\s*(\d+(?:\.\d+)?)\s+(second|minute|hour|day|week)s?\s*", text if isinstance(text, str) else ""
    )
    if match is None:
        raise DeclarationError(f"length of time expected like '45 days' or '1 hour', got {text!r}")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])
