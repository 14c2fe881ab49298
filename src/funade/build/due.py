"""Which periods of a source are due, and what became of one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from funade.declare.period import Period, due, span
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


def wanted(spec: Spec, store: Store, zone: ZoneInfo, now: datetime) -> list[Period]:
    """The periods that are due and not loaded, and those that may still be revised at their origin."""
    every = spec.policy(Every)
    assert every is not None  # declared: a source has its rhythm
    there = {r.period for r in store.metadata.revisions(spec.name)}
    revised = spec.policy(Revised)
    since = now - span(revised.within) if revised else None
    return [p for p in due(every, zone, now) if p.name not in there or (since is not None and p.end > since)]


def unloaded(spec: Spec, store: Store, periods: Iterable[Period]) -> list[Period]:
    """Those of the periods that were never loaded."""
    there = {r.period for r in store.metadata.revisions(spec.name)}
    return [p for p in periods if p.name not in there]
