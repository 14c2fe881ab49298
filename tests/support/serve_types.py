"""A release of two apis with every type of field, for servers under test: one gives back what it takes."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

import funade as fn
from funade.bind.api import BoundApi
from funade.bind.release import LoadedRelease
from funade.declare.graph import Graph, spec_of


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


def load(argument: dict[str, Any]) -> LoadedRelease:
    """The release of these apis."""
    nodes = {node.name: node for node in (mirror, cook)}
    specs = {name: spec_of(node, Path(__file__).parent) for name, node in nodes.items()}
    apis = {name: BoundApi(specs[name], node, {}, {}, ZoneInfo("UTC")) for name, node in nodes.items()}
    return LoadedRelease(argument["release"], "", Graph(specs.values()), nodes, [], apis)
