"""What is scored: synthetic rows of 20 numbers with three decimals, and the LightGBM model fitted to them."""

from __future__ import annotations

from typing import Annotated

import msgspec
import numpy as np
from lightgbm import Booster, Dataset, train

import funade as fn

NAMES = [f"x{i}" for i in range(20)]
Number = Annotated[float, msgspec.Meta(ge=-1000, le=1000)]


class Row(msgspec.Struct):
    x0: Number
    x1: Number
    x2: Number
    x3: Number
    x4: Number
    x5: Number
    x6: Number
    x7: Number
    x8: Number
    x9: Number
    x10: Number
    x11: Number
    x12: Number
    x13: Number
    x14: Number
    x15: Number
    x16: Number
    x17: Number
    x18: Number
    x19: Number


class Score(msgspec.Struct):
    y: float


def table(rows: int, seed: int) -> np.ndarray:
    """Rows × 20 features. Three decimals: splits fall between values, so that float32 and float64 agree."""
    return np.round(np.random.default_rng(seed).normal(size=(rows, 20)), 3)


def columns(rows: int, seed: int) -> fn.Columns:
    """The same by name."""
    return dict(zip(NAMES, table(rows, seed).T, strict=True))


def fitted(known: fn.Columns) -> Booster:
    """100 trees of 31 leaves."""
    x = np.column_stack([known[name] for name in NAMES])
    noise = np.random.default_rng(7).normal(size=len(x))
    y = 3 * x[:, 0] + np.sin(3 * x[:, 1]) * x[:, 2] + x[:, 3:].sum(axis=1) / 4 + noise / 10
    settings = {
        "objective": "regression",
        "num_leaves": 31,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": 7,
        "verbose": -1,
    }
    return train(settings, Dataset(x, y, feature_name=NAMES), 100)


@fn.dataset()
def known() -> fn.Columns:
    return columns(20_000, seed=1)
