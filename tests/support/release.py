"""One release for servers under test: real apis, bound to nothing, that misbehave as a file says."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from funade import points
from funade.bind.api import BoundApi
from funade.bind.release import LoadedRelease
from funade.contract.arrays import Columns
from funade.contract.wire import wire
from funade.declare.graph import Graph, spec_of
from funade.errors import ServeError
from support import guarded, rides, typed

RIDES = ("arrival", "plain", "promised", "kept")
TYPED = ("everything", "closed")
TENSORS = ("mirror", "cook")
SHORT = {"takes": "short rides", "lacks": "plain"}
GUARDED = ("suggest", "strict", "alone")
OTHERS = (typed.everything, typed.closed, typed.mirror, typed.cook, guarded.suggest, guarded.strict, guarded.alone)


class Release(LoadedRelease):
    """Like any other; ``golden_differs``: its golden rows do not come out."""

    golden_differs: bool = False

    def warm(self) -> None:
        if self.golden_differs:
            raise ServeError("api `arrival` expected 1 for golden row 0, got 2")


def load(argument: dict[str, Any]) -> Release:
    """``{"release": number, "apis": names, "folder": path}``; ``<release>.json`` there says how it misbehaves."""
    folder = Path(argument.get("folder", "/nowhere"))
    path = folder / f"{argument['release']}.json"
    acts = json.loads(path.read_text()) if path.exists() else {}
    if acts.get("load") == "raises":
        raise ImportError("no module named `lost`")
    if acts.get("load") == "dies":
        os._exit(3)
    if acts.get("load") == "hangs":
        time.sleep(600)
    if "dies_at" in acts:
        points.watch = lambda name: os._exit(7) if name == acts["dies_at"] else None
    return release(argument["release"], argument.get("apis", RIDES), folder, acts)


def release(number: int, apis: Sequence[str] = RIDES, folder: Path | None = None, acts: Any = None) -> Release:
    """Bound apis; ``acts``: `takes` short rides alone, `lacks` an api, its `golden` rows differ."""
    acts = acts or {}
    takes = rides.ShortRide if acts.get("takes") == "short rides" else rides.Ride
    known = {node.name: node for node in (*rides.nodes(number, folder or Path("/nowhere"), takes), *OTHERS)}
    nodes = {name: known[name] for name in apis if name != acts.get("lacks")}
    specs = {name: spec_of(node, Path(__file__).parent) for name, node in nodes.items()}
    bound = {
        name: BoundApi(specs[name], node, {}, {}, ZoneInfo("Asia/Tokyo" if name in TYPED else "UTC"))
        for name, node in nodes.items()
    }
    wires = {name: wire(name, bound[name].contract, module="taxi.screening") for name in nodes if name in TYPED}
    return Release(
        number, "", Graph(specs.values()), nodes, [], bound, wires=wires, golden_differs=acts.get("golden") == "differs"
    )


def answers_of(api: BoundApi, rows: list[Any]) -> Columns:
    """The api's answers to decoded requests."""
    return api.call(api.take(rows).columns, len(rows))
