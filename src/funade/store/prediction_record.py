"""What is known of answered requests: the log and the counts are made of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from funade.contract.arrays import Codes, Columns, Masks
from funade.contract.batch import FrozenRows

DOORS = ("http", "grpc", "oip", "queue")
"""By which a request comes; the log keeps a door's place here, so that new ones come last."""


class Record(NamedTuple):
    """The answers of one call, or of requests answered without one; n rows in all.

    ``request`` is what the function took, defaults filled in; ``answers`` what was said, the fallback's values where
    it spoke. The requests, in order, bear the prediction numbers ``numbers``, have ``counts`` rows each, were one
    object or an array (``singles``), came at ``since`` (``time.monotonic()``) and by ``doors``. ``at`` is
    ``time.time()``, ``now`` ``time.monotonic()``. ``spoke`` has a code of ``contract.outcome`` a row, None where the
    function spoke for all. ``defaults``: field → bool[n]; ``guards``: label → bool[n]. Nobody changes the arrays.
    """

    api: str
    at: float
    now: float
    rows: int
    request: FrozenRows
    answers: Columns
    numbers: Sequence[int]
    counts: Sequence[int]
    singles: Sequence[bool]
    since: Sequence[float]
    doors: Sequence[str]
    spoke: Codes | None = None
    defaults: Masks | None = None
    guards: Masks | None = None


class Answered(Protocol):
    """One answered request: its rows, whether it was one object, when it came and by which door."""

    rows: list[Any]
    single: bool
    since: float

    @property
    def door(self) -> str:
        """One of ``DOORS``."""


def record(
    api: str,
    requests: Sequence[Answered],
    numbers: Sequence[int],
    request: FrozenRows,
    answers: Columns,
    spoke: Codes | None = None,
    defaults: Masks | None = None,
    guards: Masks | None = None,
) -> Record:
    """What is known of these requests now that they are answered.

    Everything is read of a request once: at saturation a worker makes a thousand records a second, of 64 requests each.
    """
    counts = [len(answered.rows) for answered in requests]
    return Record(
        api,
        time.time(),
        time.monotonic(),
        sum(counts),
        request,
        answers,
        numbers,
        counts,
        [answered.single for answered in requests],
        [answered.since for answered in requests],
        [answered.door for answered in requests],
        spoke,
        defaults,
        guards,
    )
