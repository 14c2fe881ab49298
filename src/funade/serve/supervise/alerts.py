"""What the people who run a server are told of at once: alerts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from funade.events import EventLog

Alert = Callable[[str, dict[str, Any]], None]
"""Called with what happened and its facts."""


class Alerts:
    """Writes alerts to the log and passes them on.

    Args:
        events: the log.
        on_alert: called with each; that it fails is logged too.
    """

    def __init__(self, events: EventLog, on_alert: Alert | None) -> None:
        self._events = events
        self._on_alert = on_alert

    def alert(self, what: str, **facts: Any) -> None:
        """Tell what happened."""
        self._events.event("alert", what=what, **facts)
        if self._on_alert is not None:
            try:
                self._on_alert(what, facts)
            except Exception as error:
                self._events.event("alert not told", error=f"{type(error).__name__}: {error}")
