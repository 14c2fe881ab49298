"""The one clock: whoever needs the time is given one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present moment, aware, in UTC."""


def system() -> datetime:
    """The machine's own time, in UTC."""
    return datetime.now(UTC)


def frozen(moment: datetime) -> Clock:
    """A clock that stands still at ``moment`` (naive is taken as UTC).

    >>> frozen(datetime(2022, 3, 1))().isoformat()
    '2022-03-01T00:00:00+00:00'
    """
    at = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return lambda: at


def to_minute(moment: datetime) -> str:
    """A moment as people read it: ``2022-04-01 03:00 UTC``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
