"""Two releases, for servers under test: the second asks for shorter rides and has one api less."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

import funade as fn
from funade.bind.api import BoundApi
from funade.bind.release import LoadedRelease
from funade.declare.graph import Graph, spec_of
from funade.declare.node import Node

Array = np.ndarray[Any, Any]


class Ride(msgspec.Struct):
    km: float
    wait_s: float = 0.0


class ShortRide(msgspec.Struct):
    """A ride of 13 km cannot be read: a defect of its author's."""

    km: Annotated[float, msgspec.Meta(le=100)]
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        if self.km == 13:
            raise KeyError(self.km)


class Arrival(msgspec.Struct):
    eta: float


def _answer(batch: dict[str, Array]) -> dict[str, Array]:
    time.sleep(float(batch["wait_s"].max()))
    return {"eta": batch["km"] * 2.0}


def _nodes(release: int) -> list[Node[Any, Any]]:
    takes = Ride if release == 1 else ShortRide

    @fn.api(fn.takes(takes), fn.gives(Arrival))
    def arrival(batch: fn.Columns) -> fn.Columns:
        return _answer(batch)

    @fn.api(fn.takes(takes), fn.gives(Arrival))
    def plain(batch: fn.Columns) -> fn.Columns:
        return _answer(batch)

    return [arrival, plain] if release == 1 else [arrival]


def load(argument: dict[str, Any]) -> LoadedRelease:
    """The release of that number."""
    nodes = {node.name: node for node in _nodes(argument["release"])}
    specs = {name: spec_of(node, Path(__file__).parent) for name, node in nodes.items()}
    apis = {name: BoundApi(specs[name], node, {}, {}, ZoneInfo("UTC")) for name, node in nodes.items()}
    return LoadedRelease(argument["release"], "", Graph(specs.values()), nodes, [], apis)
