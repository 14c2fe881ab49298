"""What is known of answered requests: the log and the counts are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from funade.serve.ask import Ask

if TYPE_CHECKING:
    import numpy as np

    Columns = dict[str, np.ndarray[Any, Any]]
    Masks = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]


class Entry(NamedTuple):
    """The answers of one call, or of requests answered without one; n rows in all.

    ``request`` holds what the function took, defaults filled in; ``answers`` what was said, the fallback's values where
    it spoke. ``asks`` cover ``len(ask.rows)`` rows each, in order, and have the prediction numbers ``numbers``.
    ``at`` is ``time.time()``, ``now`` ``time.monotonic()``. ``spoke`` has a code of ``declare.reason`` a row, None
    where the function spoke for all. ``defaults``: field → bool[n]; ``guards``: label → bool[n]. Nobody changes the
    arrays.
    """

    api: str
    at: float
    request: Columns
    answers: Columns
    asks: Sequence[Ask]
    numbers: Sequence[int]
    now: float
    spoke: np.ndarray[Any, np.dtype[np.uint8]] | None = None
    defaults: Masks | None = None
    guards: Masks | None = None
