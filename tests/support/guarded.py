"""Apis with guards and defaults, whose function fails as a row says."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import numpy as np

import funade as fn

Array = np.ndarray[Any, Any]
FORBIDDEN = ("airside", "tracks")


class Trip(msgspec.Struct):
    ride: int
    km: float
    demand: Annotated[float, msgspec.Meta(ge=0), fn.default(1.0)]
    rides_30d: Annotated[int, fn.default(0)]
    zone: str = "centre"


class Pickup(msgspec.Struct):
    ride: int
    eta: Annotated[float, msgspec.Meta(ge=0, le=180), fn.unit("min")]
    pickup: str
    asked: bool = True


def allowed(pickup: Array) -> Array:
    """Nobody is sent where no car may stop."""
    return ~np.isin(pickup, FORBIDDEN)


def _suggest(batch: dict[str, Array]) -> dict[str, Array]:
    if (batch["zone"] == "raise").any():
        raise ValueError("a private detail")
    eta = batch["km"] * 2 * batch["demand"] + batch["rides_30d"]
    eta = np.where(batch["zone"] == "nan", np.nan, np.where(batch["zone"] == "infinity", np.inf, eta))
    return {"ride": batch["ride"], "eta": eta, "pickup": batch["zone"]}


@fn.api(
    fn.takes(Trip),
    fn.gives(Pickup),
    fn.fallback(ride=-1, eta=15.0, pickup="centre", asked=False),
    fn.guard(eta=(0, 120)),
    fn.guard(allowed),
)
def suggest(batch: fn.Columns) -> fn.Columns:
    return _suggest(batch)


@fn.api(fn.takes(Trip), fn.gives(Pickup), fn.fallback(ride=-1, eta=15.0, pickup="centre", asked=False),
        fn.guard(allowed, otherwise="reject"))  # fmt: skip
def strict(batch: fn.Columns) -> fn.Columns:
    return _suggest(batch)


@fn.api(fn.takes(Trip), fn.gives(Pickup), fn.guard(allowed))
def alone(batch: fn.Columns) -> fn.Columns:
    return _suggest(batch)
