"""The outcome of one call: answers as columns, the rows that have none and why, and those that a guard changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from funade.contract.arrays import Columns, Masks

OWN, ERROR, BUSY, LATE, GUARD, NAN = range(6)
"""Who spoke for a row: the function; or the fallback because the function failed, too many requests waited, the time
asked for was over, a guard held the answer back, or it was no finite number."""


REFUSED = 255
"""Nobody: the request was answered with an error."""


NAMES = {ERROR: "error", BUSY: "busy", LATE: "late", GUARD: "guard", NAN: "nan", REFUSED: "refused"}
"""Code → the word that headers, the log and metrics say."""


class Fault(NamedTuple):
    """Why a row has no answer of its own: a code of ``contract.outcome`` and what is wrong."""

    code: int
    text: str


class Outcome(NamedTuple):
    """What an api's function gave, in the contract's order and types; n rows.

    ``faults``: row → why its values are of no meaning. ``guards``: label → bool[n], True where that guard changed the
    answer; None where none did.
    """

    columns: Columns
    faults: Mapping[int, Fault] = {}
    guards: Masks | None = None
