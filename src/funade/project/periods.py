"""Which periods of a source a load brings in."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

from funade.build.due import unloaded, wanted
from funade.declare.period import Period, chosen, due
from funade.declare.policy import Every
from funade.declare.spec import Spec
from funade.store.store import Store


def periods_to_load(
    spec: Spec, store: Store, zone: ZoneInfo, now: datetime, *, first: str, last: str, again: bool
) -> list[Period]:
    """The periods from ``first`` to ``last``, both included; those that are due, if neither is said.

    Those that were loaded are among them only with ``again``, or while their origin may still revise them.
    """
    every = cast(Every, spec.policy(Every))
    if not first and not last and not again:
        return wanted(spec, store, zone, now)
    newest = [period.name for period in due(every, zone, now)][-1:]
    if not last and not newest:
        return []
    named = chosen(every, zone, first, last or newest[0], now=now)
    return named if again else unloaded(spec, store, named)
