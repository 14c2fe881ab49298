"""How long will the trip take, and which arrival can be promised?

``planned_miles`` stands for the router's planned distance; here it is the distance driven (see ``taxi.features``).

The windows are dates, so that every night of March judges the same models on one more day: fitted on January, the
promise on February, judged on March. An app that lives on counts back instead: ``rides.between(days=(90, 59))``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor

import funade as fn
from taxi.features import features
from taxi.rides import rides
from taxi.rule import HourlySpeed

FIT = rides.between("2022-01-01", "2022-02-01")
PROMISE = rides.between("2022-02-01", "2022-03-01")
JUDGE = rides.between("2022-03-01", "2022-04-01")


class Trip(msgspec.Struct):
    """A trip that a rider asks about."""

    pickup_zone: Annotated[int, msgspec.Meta(ge=1, le=265)]
    dropoff_zone: Annotated[int, msgspec.Meta(ge=1, le=265)]
    planned_miles: Annotated[float, msgspec.Meta(ge=0, le=100), fn.unit("mi")]
    requested_at: datetime


class Eta(msgspec.Struct):
    """How long it takes, and how long to promise so that nine of ten rides keep it."""

    eta_min: Annotated[float, msgspec.Meta(ge=0, le=180), fn.unit("min")]
    promised_min: Annotated[float, msgspec.Meta(ge=0, le=240), fn.unit("min")]


@fn.model(fn.owner("arrival-team"), rides=FIT)
def eta(rides: pd.DataFrame, trees: int = 200, leaves: int = 31) -> LGBMRegressor:
    """Trip minutes."""
    model = LGBMRegressor(
        n_estimators=trees, num_leaves=leaves, n_jobs=1, deterministic=True, force_row_wise=True, verbose=-1
    )
    return model.fit(features(rides), rides["minutes"], categorical_feature=["pickup_zone", "dropoff_zone"])


@fn.model(fn.owner("arrival-team"), rides=FIT)
def eta_rule(rides: pd.DataFrame, away: float = 3.0) -> HourlySpeed:
    """What one would do without a model."""
    return HourlySpeed.fitted(rides, rides["minutes"], away)


@fn.threshold(fn.owner("arrival-team"), eta=eta, rides=PROMISE)
def eta_promise(eta: LGBMRegressor, rides: pd.DataFrame, kept: float = 0.9) -> float:
    """Minutes to add to ``eta`` so that the share ``kept`` of rides arrives by then."""
    late = rides["minutes"] - eta.predict(features(rides))
    return float(np.quantile(late, kept))


@fn.api(
    fn.takes(Trip),
    fn.gives(Eta),
    fn.owner("arrival-team"),
    fn.fallback(eta_min=15.0, promised_min=30.0),
    fn.answers_within(p99_ms=250),
    eta=eta,
    promise=eta_promise,
)
def arrival(batch: pd.DataFrame, eta: LGBMRegressor, promise: float) -> pd.DataFrame:
    """Minutes from pickup to arrival, expected and promised."""
    minutes = np.clip(eta.predict(features(batch)), 1, 60)
    return pd.DataFrame({"eta_min": minutes, "promised_min": minutes + promise})


@fn.evaluation(
    fn.at_most(mae=3.4),
    fn.at_least(gain=0.2),
    fn.inside(kept=(0.88, 0.92)),
    fn.may_rise(mae="2%"),
    answers=arrival.on(JUDGE),
    by_rule=arrival.on(JUDGE, eta=eta_rule),
)
def arrival_quality(answers: pd.DataFrame, by_rule: pd.DataFrame) -> dict[str, float]:
    """Mean absolute error in minutes, its share below the rule's, and the share of promises kept."""
    mae, rule_mae = ((a["minutes"] - a["eta_min"]).abs().mean() for a in (answers, by_rule))
    kept = (answers["minutes"] <= answers["promised_min"]).mean()
    return {"mae": mae, "rule_mae": rule_mae, "gain": 1 - mae / rule_mae, "kept": kept}
