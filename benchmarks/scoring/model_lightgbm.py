"""The model as LightGBM itself runs it."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightgbm import Booster

import funade as fn
from scoring.data import NAMES, fitted, known


@fn.model(known=known.trust("a benchmark"))
def model(known: fn.Columns) -> Booster:
    return fitted(known)


def predicted(model: Booster, batch: Any) -> np.ndarray:
    """One number a row of a dict of columns or a frame."""
    x = np.column_stack([batch[name] for name in NAMES]) if isinstance(batch, dict) else batch[NAMES].to_numpy()
    return np.asarray(model.predict(x, num_threads=1))
