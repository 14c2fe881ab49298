"""Arrays as they pass between an api's function and everything round it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

Mask = np.ndarray[Any, np.dtype[np.bool_]]

Columns = dict[str, Array]
"""Field → one value a row: ``float64`` (missing is NaN), ``int64``, ``bool_``, ``datetime64[us]`` meaning UTC,
``datetime64[D]``, else ``object`` with None for missing. All arrays have one length."""

Masks = dict[str, Mask]
"""Label → True for each row that it is said of."""

Codes = np.ndarray[Any, np.dtype[np.uint8]]
"""Who spoke for each row: a code of ``contract.outcome``."""

DTYPES = {
    "bool": "bool", "int": "int64", "float": "float64", "str": "object",
    "datetime": "datetime64[us]", "date": "datetime64[D]",
}  # fmt: skip
"""Type of a contract's field → type of its column where no value is missing."""


def as_objects(values: Collection[Any]) -> Array:
    """Values as they are, one an element: lists among them do not become a second dimension."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or pandas' NA, which is neither equal nor unequal to itself."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)
