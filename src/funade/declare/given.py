"""Answers as columns, with the rows that have none and those that a guard changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Columns = dict[str, np.ndarray[Any, Any]]
    Masks = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]


class Fault(NamedTuple):
    """Why a row has no answer of its own: a code of ``declare.reason`` and what is wrong."""

    code: int
    text: str


class Given(NamedTuple):
    """What an api's function gave, in the contract's order and types; n rows.

    ``faults``: row → why its values are of no meaning. ``guards``: label → bool[n], True where that guard changed the
    answer; None where none did.
    """

    columns: Columns
    faults: Mapping[int, Fault] = {}
    guards: Masks | None = None
