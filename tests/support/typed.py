"""Apis with every type of field: two of the typed services, and two of the Open Inference Protocol."""

from __future__ import annotations

import enum
from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
import numpy as np

import funade as fn


class Level(enum.Enum):
    LOW = "low"
    NONE = ""


class Everything(msgspec.Struct):
    """A field of every type."""

    fare_yen: Annotated[float, msgspec.Meta(ge=0, le=100_000)]
    riders: Annotated[int, msgspec.Meta(ge=-3, lt=9)]
    paid: bool
    code: Annotated[str, msgspec.Meta(pattern="^[A-Z]*$", max_length=4)]
    at: datetime
    day: date
    level: Level
    kind: Literal["", "a", "b"]
    stars: Literal[0, 1, 2]
    note: str | None
    km: float | None
    seats: int | None
    wet: bool | None
    until: datetime | None
    known: Annotated[float, fn.default(7.5)]
    often: Annotated[int, fn.default(3)]
    tip: float = 1.5
    spare: str | None = "none"
    距離: float = 2.0


class Scored(msgspec.Struct):
    """What came in, and a score of it."""

    score: float
    riders: int
    paid: bool
    code: str
    at: datetime
    day: date
    note: str | None
    km: float | None
    seats: int | None
    wet: bool | None
    until: datetime | None
    known: float
    often: int
    tip: float
    spare: str | None
    距離: float


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    a: float
    b: float = 1.0

    def __post_init__(self) -> None:
        if self.a == 0:
            self.a = 5.0
        if self.b == 13:
            raise ValueError("13 is not taken")


class Score(msgspec.Struct):
    score: float


@fn.api(fn.takes(Everything), fn.gives(Scored), fn.owner("drivers"))
def everything(batch: fn.Columns) -> fn.Columns:
    back = {name: batch[name] for name in Scored.__struct_fields__ if name != "score"}
    return back | {"score": np.sin(batch["fare_yen"]) * batch["tip"] / 3.0}


@fn.api(fn.takes(Closed), fn.gives(Score), fn.owner("drivers"), fn.fallback(score=-1.0))
def closed(batch: fn.Columns) -> fn.Columns:
    return {"score": batch["a"] * batch["b"]}


class Sent(msgspec.Struct):
    """One of each kind of value."""

    whole: int
    number: Annotated[float, fn.unit("m")]
    truth: bool
    text: str
    moment: datetime
    day: date
    maybe_whole: int | None = None
    maybe_number: float | None = None
    maybe_truth: bool | None = None
    maybe_text: str | None = None
    maybe_moment: datetime | None = None
    maybe_day: date | None = None


class Back(Sent):
    """The same, as it came."""


class Order(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a kitchen is asked to cook."""

    dishes: Annotated[int, msgspec.Meta(ge=1, le=20, description="How many dishes.")]
    spice: Annotated[float, msgspec.Meta(ge=0, lt=1)]
    table: Annotated[str, msgspec.Meta(pattern="^[A-Z][0-9]{1,3}$")]
    kind: Literal["eat in", "take away"]
    level: Literal[1, 2, 3] = 1
    note: Annotated[str, msgspec.Meta(max_length=12)] = ""
    waiting: Annotated[float, msgspec.Meta(ge=0), fn.unit("min"), fn.default(5.0)]
    guests: Annotated[int, msgspec.Meta(ge=0), fn.default(2)]


class Cooked(msgspec.Struct):
    minutes: Annotated[float, msgspec.Meta(ge=0), fn.unit("min")]
    by: Literal["wok", "oven"]


@fn.api(fn.takes(Sent), fn.gives(Back), fn.owner("tools-team"))
def mirror(batch: fn.Columns) -> fn.Columns:
    return batch


@fn.api(fn.takes(Order), fn.gives(Cooked), fn.owner("kitchen"), fn.fallback(minutes=20.0, by="wok"))
def cook(batch: fn.Columns) -> fn.Columns:
    minutes = batch["dishes"] * (1 + batch["spice"]) + batch["waiting"] + 0.1 * batch["guests"]
    return {"minutes": minutes, "by": np.where(batch["level"] > 1, "oven", "wok").astype(object)}
