"""The rule that a model has to beat: planned distance, divided by the usual speed of the hour."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from taxi.features import features

LEAST_MILES = 0.1
"""A shorter planned distance says nothing: the meter was not running."""


class HourlySpeed:
    """Minutes = the minutes to get away and to stop + miles x the usual minutes a mile at that hour (a median).

    Where the distance says nothing, the usual minutes of a ride.
    """

    def __init__(self, pace: list[float], usual: float, away: float) -> None:
        self.pace, self.usual, self.away = pace, usual, away

    @classmethod
    def fitted(cls, trips: pd.DataFrame, minutes: pd.Series, away: float) -> HourlySpeed:
        """The usual minutes a mile of each hour of the day, seen in these trips."""
        seen = features(trips)
        told = seen["planned_miles"] > LEAST_MILES
        pace = ((minutes - away) / seen["planned_miles"])[told]
        by_hour = pace.groupby(seen["hour"][told] // 1).median().reindex(range(24), fill_value=pace.median())
        return cls(by_hour.tolist(), float(minutes.median()), away)

    def predict(self, seen: pd.DataFrame) -> np.ndarray:
        """Minutes for each row of ``features``."""
        miles = seen["planned_miles"].to_numpy(dtype="float64")
        pace = np.array(self.pace)[seen["hour"].to_numpy().astype(int)]
        return np.where(miles > LEAST_MILES, self.away + miles * pace, self.usual)

    def save(self, dir: Path) -> None:
        """Write the rule as JSON."""
        (dir / "rule.json").write_text(json.dumps([self.pace, self.usual, self.away]))

    @classmethod
    def load(cls, dir: Path) -> HourlySpeed:
        """The rule that ``save`` wrote."""
        return cls(*json.loads((dir / "rule.json").read_text()))
