"""The api on polars. ``scoring.model`` says which model."""

from __future__ import annotations

from typing import Any

import polars as pl

import funade as fn
from scoring.data import Row, Score
from scoring.model import model, predicted


@fn.api(fn.takes(Row), fn.gives(Score), fn.owner("benchmarks"), fn.fallback(y=0.0), model=model)
def score(batch: pl.DataFrame, model: Any) -> pl.DataFrame:
    return pl.DataFrame({"y": predicted(model, batch)})
