"""Requests as columns, with the values that a declared default filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    Columns = dict[str, np.ndarray[Any, Any]]
    Masks = dict[str, np.ndarray[Any, np.dtype[np.bool_]]]


class Taken(NamedTuple):
    """Rows as an api's function takes them.

    ``defaults``: field → bool[n], True where its declared default stands for a missing value; None where none does.
    """

    columns: Columns
    defaults: Masks | None = None
