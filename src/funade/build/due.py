"""Which periods of a source are due, and what became of one."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from funade.declare.period import Period, chosen, due, span
from funade.declare.policy import Every, Revised
from funade.declare.spec import Spec
from funade.store.records import Revision
from funade.store.store import Store


class PeriodLoad(msgspec.Struct, frozen=True):
    """The result of loading one period: ``revision`` is None when its rows were those already kept."""

    period: str
    revision: Revision | None
    rows: int
    bad_rows: int


def periods_to_load(
    spec: Spec, store: Store, zone: ZoneInfo, now: datetime, *, first: str, last: str, again: bool
) -> list[Period]:
    """The periods from ``first`` to ``last``, both included; those that are due, if neither is said.

    Those that were loaded are among them only with ``again``, or while their origin may still revise them.
    """
    every = spec.policy(Every)
    assert every is not None  # declared: a source has its rhythm
    loaded = {r.period for r in store.metadata.revisions(spec.name)}
    periods = list(due(every, zone, now))
    if not first and not last and not again:
        revised = spec.policy(Revised)
        since = now - span(revised.within) if revised else None
        return [p for p in periods if p.name not in loaded or (since is not None and p.end > since)]
    if not last and not periods:
        return []
    named = chosen(every, zone, first, last or periods[-1].name, now=now)
    return named if again else [p for p in named if p.name not in loaded]
