"""Lengths of time as users write them: ``45 days``, ``1 hour``."""

from __future__ import annotations

import re
from datetime import timedelta

from funade.errors import DeclarationError

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
