"""What is known of answered requests: the log and the counts are made of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from funade.declare.taken import Kept
from funade.serve.ask import Ask

if TYPE_CHECKING:
    import numpy as np

    Columns = dict[str, np.ndarray[Any, Any]]
    Masks = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]


class Entry(NamedTuple):
    """The answers of one call, or of requests answered without one; n rows in all.

    ``request`` is what the function took, defaults filled in; ``answers`` what was said, the fallback's values where
    it spoke. The requests, in order, bear the prediction numbers ``numbers``, have ``counts`` rows each, were one
    object or an array (``singles``), came at ``since`` (``time.monotonic()``) and by ``doors``. ``at`` is
    ``time.time()``, ``now`` ``time.monotonic()``. ``spoke`` has a code of ``declare.reason`` a row, None where the
    function spoke for all. ``defaults``: field → bool[n]; ``guards``: label → bool[n]. Nobody changes the arrays.
    """

    api: str
    at: float
    now: float
    rows: int
    request: Kept
    answers: Columns
    numbers: Sequence[int]
    counts: Sequence[int]
    singles: Sequence[bool]
    since: Sequence[float]
    doors: Sequence[str]
    spoke: np.ndarray[Any, np.dtype[np.uint8]] | None = None
    defaults: Masks | None = None
    guards: Masks | None = None


def entry(
    api: str,
    asks: Sequence[Ask],
    numbers: Sequence[int],
    request: Kept,
    answers: Columns,
    spoke: np.ndarray[Any, np.dtype[np.uint8]] | None = None,
    defaults: Masks | None = None,
    guards: Masks | None = None,
) -> Entry:
    """What is known of these requests now that they are answered.

    Everything is read of a request once: at saturation a worker makes a thousand entries a second, of 64 requests each.
    """
    counts = [len(ask.rows) for ask in asks]
    return Entry(
        api,
        time.time(),
        time.monotonic(),
        sum(counts),
        request,
        answers,
        numbers,
        counts,
        [ask.single for ask in asks],
        [ask.since for ask in asks],
        [ask.door for ask in asks],
        spoke,
        defaults,
        guards,
    )
