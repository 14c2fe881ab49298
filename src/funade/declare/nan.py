"""Where a column of floats is NaN, found at little cost where it is nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def nans(values: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """The mask of NaN among floats; None where there is none."""
    import numpy as np

    # A sum is NaN where one value is, or infinities of both signs are: cheaper than a mask of a column without.
    with np.errstate(invalid="ignore", over="ignore"):
        total = values.sum()
    if total == total:
        return None
    found = np.isnan(values)
    return found if found.any() else None
