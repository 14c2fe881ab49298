"""Apis whose answers bear the release's number, and whose function behaves as a row says."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

import funade as fn
from funade.declare.node import Node

Columns = dict[str, np.ndarray[Any, Any]]


class Ride(msgspec.Struct):
    """One ride; ``does`` makes the function misbehave."""

    km: float
    does: str = ""


class ShortRide(msgspec.Struct):
    """A ride of 13 km cannot be read: a defect of its author's."""

    km: Annotated[float, msgspec.Meta(le=100)]
    does: str = ""

    def __post_init__(self) -> None:
        if self.km == 13:
            raise KeyError(self.km)


class Arrival(msgspec.Struct):
    eta: float
    model: int
    threshold: int
    batch: int


def nodes(release: int, folder: Path, takes: type[msgspec.Struct] = Ride) -> list[Node[Any, Any]]:
    """The apis; what holds a function stands in ``folder``."""
    fallback = fn.fallback(eta=15.0, model=0, threshold=0, batch=0)

    @fn.api(fn.takes(takes), fn.gives(Arrival), fn.owner("drivers"), fallback)
    def arrival(batch: fn.Columns) -> fn.Columns:
        return answered(batch, release, folder)

    @fn.api(fn.takes(takes), fn.gives(Arrival), fn.owner("drivers"), fn.log(without=["does"]))
    def plain(batch: fn.Columns) -> fn.Columns:
        return answered(batch, release, folder)

    @fn.api(fn.takes(takes), fn.gives(Arrival), fn.owner("drivers"), fallback, fn.answers_within(p99_ms=100))
    def promised(batch: fn.Columns) -> fn.Columns:
        return answered(batch, release, folder)

    @fn.api(fn.takes(takes), fn.gives(Arrival), fn.owner("drivers"), fallback, fn.log(durable=True))
    def kept(batch: fn.Columns) -> fn.Columns:
        return answered(batch, release, folder)

    return [arrival, plain, promised, kept]


def answered(batch: Columns, release: int, folder: Path) -> Columns:
    """Twice the distance, once every row has had its way."""
    count = len(batch["km"])
    for act in batch["does"]:
        behave(act, folder)
    if "work" in batch["does"]:
        time.sleep(0.004 + 0.002 * count)
    number = np.full(count, release)
    eta = np.where(batch["does"] == "nan", np.nan, batch["km"] * 2.0)
    answers = {"eta": eta, "model": number, "threshold": number, "batch": np.full(count, count)}
    return {name: column[1:] for name, column in answers.items()} if "short" in batch["does"] else answers


def behave(act: str, folder: Path) -> None:
    """Fail, end, or wait; ``hold NAME`` waits until the file NAME.open is in the folder."""
    if act == "raise":
        raise ValueError("a private detail")
    if act == "exit":
        raise SystemExit(3)
    if act == "die":
        os._exit(9)
    if act.startswith("sleep "):
        time.sleep(float(act.removeprefix("sleep ")))
    if act.startswith("hold "):
        gate = folder / act.removeprefix("hold ")
        gate.with_suffix(".begun").touch()
        while not gate.with_suffix(".open").exists():
            time.sleep(0.002)
