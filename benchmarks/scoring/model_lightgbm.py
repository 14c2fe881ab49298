"""The model as LightGBM itself runs it."""

from __future__ import annotations

import numpy as np
from lightgbm import Booster

import funade as fn
from scoring.data import NAMES, fitted, known


@fn.model(known=known.trust("a benchmark"))
def model(known: fn.Columns) -> Booster:
    return fitted(np.column_stack([known[name] for name in NAMES]))


def predicted(model: Booster, x: np.ndarray) -> np.ndarray:
    return np.asarray(model.predict(x, num_threads=1))
