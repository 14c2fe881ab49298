"""The model as ONNX: everybody gets the conversion, run by onnxruntime on one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
from lightgbm import Booster

import funade as fn
from scoring.data import fitted, known


@fn.model(fn.onnx(), known=known.trust("a benchmark"))
def model(known: fn.Columns) -> Booster:
    return fitted(known)


def predicted(model: Any, batch: Any) -> np.ndarray:
    """One number a row of a dict of columns or a frame."""
    return model.predict(batch)
