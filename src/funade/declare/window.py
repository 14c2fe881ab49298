"""Which rows of a dataset an edge takes, chosen by time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from funade.errors import DeclarationError


class Interval(msgspec.Struct, frozen=True):
    """A half-open stretch of time in UTC: ``start`` is in it, ``end`` is not; None reaches without bound."""

    start: datetime | None
    end: datetime | None

    def overlaps(self, other: Interval) -> bool:
        """Whether some moment lies in both."""
        return _before(self.start, other.end) and _before(other.start, self.end)


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """Days counted back from a dataset's end, or two calendar dates; half-open either way.

    ``first_days``/``last_days``: the window is [end − first_days, end − last_days), in calendar days of the
    project's time zone; ``first_days`` None reaches back without bound.
    ``first_date``/``last_date``: ISO dates, [first, last).
    """

    first_days: int | None = None
    last_days: int = 0
    first_date: str = ""
    last_date: str = ""

    def interval(self, end: datetime, zone: ZoneInfo) -> Interval:
        """The stretch of time this window means for a dataset that ends at ``end`` (aware)."""
        if self.first_date:
            return Interval(day_start(self.first_date, zone), day_start(self.last_date, zone))
        start = None if self.first_days is None else days_before(end, self.first_days, zone)
        return Interval(start, days_before(end, self.last_days, zone))

    def __str__(self) -> str:
        if self.first_date:
            return f"between {self.first_date} and {self.last_date}"
        if self.first_days is None:
            return f"before the last {self.last_days} days"
        return f"last {self.first_days} days" + (f" but the last {self.last_days}" if self.last_days else "")


def last(*, days: int) -> Window:
    """[end − days, end)."""
    return Window(first_days=_days(days, least=1))


def before(*, days: int) -> Window:
    """(…, end − days)."""
    return Window(last_days=_days(days, least=0))


def between(first: str | None = None, second: str | None = None, *, days: tuple[int, int] | None = None) -> Window:
    """[end − days[0], end − days[1]), or [first, second) for two ISO dates."""
    if days is not None:
        if first is not None or second is not None:
            raise DeclarationError("window `between` expected two dates or days=(…, …), got both")
        if not isinstance(days, tuple | list) or len(days) != 2 or _days(days[0], least=0) <= _days(days[1], least=0):
            raise DeclarationError(
                f"window `between` expected days=(further back, nearer), got {days!r}", do=_turned(days)
            )
        return Window(first_days=days[0], last_days=days[1])
    if first is None or second is None:
        raise DeclarationError("window `between` expected two dates or days=(…, …), got fewer")
    if _date(first) >= _date(second):
        raise DeclarationError(f"window `between` expected the earlier date first, got {first!r}, {second!r}")
    return Window(first_date=first, last_date=second)


def day_start(day: str, zone: ZoneInfo) -> datetime:
    """Midnight of an ISO date in ``zone``, as UTC."""
    return datetime.combine(date.fromisoformat(day), time(), zone).astimezone(UTC)


def days_before(moment: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The same wall-clock time ``days`` calendar days earlier in ``zone``, as UTC; of a day's start, a day's start."""
    if not days:
        return moment.astimezone(UTC)
    local = moment.astimezone(zone)
    # Where clocks go forward at midnight, a day starts at one o'clock.
    starts = moment == day_start(local.date().isoformat(), zone)
    clock = time() if starts else local.time()
    return datetime.combine(local.date() - timedelta(days=days), clock, zone).astimezone(UTC)


def _before(start: datetime | None, end: datetime | None) -> bool:
    return start is None or end is None or start < end


def _days(days: object, *, least: int) -> int:
    if not isinstance(days, int) or isinstance(days, bool) or days < least:
        raise DeclarationError(f"window expected whole days of at least {least}, got {days!r}")
    return days


def _turned(days: object) -> str:
    match days:
        case (int(nearer), int(further)) if nearer < further:
            return f"write days={(further, nearer)}"
    return ""


def _date(day: str) -> date:
    try:
        parsed = date.fromisoformat(day)
        # One spelling only: a window's text is part of recipes.
        if parsed.isoformat() != day:
            raise ValueError(day)
        return parsed
    except (TypeError, ValueError):
        raise DeclarationError(f"window expected an ISO date like '2022-03-01', got {day!r}") from None
