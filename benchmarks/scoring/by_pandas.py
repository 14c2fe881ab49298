"""The api on pandas. ``scoring.model`` says which model."""

from __future__ import annotations

from typing import Any

import pandas as pd

import funade as fn
from scoring.data import Row, Score
from scoring.model import model, predicted


@fn.api(fn.takes(Row), fn.gives(Score), fn.owner("benchmarks"), fn.fallback(y=0.0), model=model)
def score(batch: pd.DataFrame, model: Any) -> pd.DataFrame:
    return pd.DataFrame({"y": predicted(model, batch)})
