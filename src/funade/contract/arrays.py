"""Arrays as they pass between an api's function and everything round it."""

from __future__ import annotations

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
