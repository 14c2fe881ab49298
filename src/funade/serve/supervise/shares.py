"""Whether answers lean on defaults or on the fallback: looked at over a few seconds, told once until it is over."""

from __future__ import annotations

from typing import NamedTuple

from funade.serve.metrics.counters import ApiCounters, Counters

LOOK_S = 5.0
"""Seconds between two looks."""

LEAST_ROWS = 50
"""Rows that a look judges at least; fewer wait for the next look."""

MOST_DEFAULTS, MOST_FALLBACK = 0.9, 0.5
"""Shares of rows that are told of; below half of it, it is over."""


class Lean(NamedTuple):
    """Which share of an api's last rows leaned on what: a field's default, or the fallback for a reason."""

    what: str
    api: str
    name: str
    share: float
    rows: int


class Shares:
    """Looks at what a server counted since the look before."""

    def __init__(self) -> None:
        self._before: dict[str, ApiCounters] = {}
        self._known: set[tuple[str, str, str]] = set()

    def look(self, counts: Counters) -> list[Lean]:
        """What is to be told now; ``counts`` are all workers' since the server began."""
        return [lean for api, counters in counts.apis.items() for lean in self._api(api, counters)]

    def _api(self, api: str, counters: ApiCounters) -> list[Lean]:
        before = self._before.get(api, ApiCounters())
        rows = counters.rows - before.rows
        if rows < LEAST_ROWS:
            return []
        self._before[api] = counters
        leans = [
            Lean(what, api, name, (many - earlier.get(name, 0)) / rows, rows)
            for what, now, earlier in (
                ("defaults stand for a feature", counters.defaults, before.defaults),
                ("the fallback answers", counters.fallback, before.fallback),
            )
            for name, many in now.items()
        ]
        return [lean for lean in leans if self._is_news(lean)]

    def _is_news(self, lean: Lean) -> bool:
        most = MOST_FALLBACK if lean.what == "the fallback answers" else MOST_DEFAULTS
        if lean.share < most / 2:
            self._known.discard(lean[:3])
        if lean.share < most or lean[:3] in self._known:
            return False
        self._known.add(lean[:3])
        return True
