"""A project whose data, model, threshold, contract, guard and fallback tell of which release they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from funade.project.project import Project
from support import toy

NODES = (
    '''
"""What release N answers."""
from pathlib import Path
from typing import Annotated
import json
import msgspec
import numpy as np
import pyarrow as pa
import funade as fn

N = 1


class Ask(msgspec.Struct, kw_only=True):
    """A request of release N."""
    x: Annotated[float, msgspec.Meta(ge=0, le=1000 * N)]
    filled: Annotated[int, fn.default(N)]
    MORE: float | None = None

class Told(msgspec.Struct):
    """An answer of release N."""
    model: int
    limit: int
    code: int
    filled: int
    held: float


'''
    + toy.CONSTANT
    + """
@fn.model(rows=kept.before(days=2))
def constant(rows: fn.Columns) -> Constant:
    return Constant(100 * N + int(rows["day"].max()))

@fn.threshold(model=constant, rows=kept.between(days=(2, 1)))
def limit(model: Constant, rows: fn.Columns) -> int:
    return 1000 * N + int(rows["day"].max())

@fn.api(fn.takes(Ask), fn.gives(Told), fn.owner("team"), fn.guard(held=(0, 500 * N)),
        fn.fallback(model=-N, limit=-N, code=-N, filled=-N, held=-N), model=constant, limit=limit)
def told(batch: fn.Columns, model: Constant, limit: int) -> fn.Columns:
    if (batch["x"] == 99).any():
        raise ValueError("unlucky")
    n = len(batch["x"])
    return {
        "model": np.full(n, model.value), "limit": np.full(n, limit), "code": np.full(n, N),
        "filled": batch["filled"], "held": batch["x"],
    }

@fn.evaluation(fn.at_least(rows=1), answers=told.on(kept.last(days=1)))
def counted(answers: fn.Columns) -> dict[str, float]:
    return {"rows": len(answers["x"])}
"""
)


def ship(root: Path, number: int) -> Project:
    """Release it: one more day of data, and every part says ``number``."""
    text = NODES.replace("N = 1", f"N = {number}").replace("release N", f"release {number}")
    more = "".join(f"    more_{i}: float | None = None\n" for i in range(1, number + 1))
    text = text.replace("    MORE: float | None = None\n", more)
    toy.write(root, {"w4/__init__.py": "", "w4/nodes.py": text})
    here = Project(root)
    spec = here.graph["rows"]
    list(here.load(spec, here.periods(spec, "2022-01-01", f"2022-01-{4 + number:02}")))
    assert toy.ship(here) == number
    return here


def answer(release: int, x: float) -> dict[str, Any] | None:
    """What that release answers to ``{"x": x}``; None where its contract refuses it."""
    if x > 1000 * release:
        return None
    if x == 99:
        return dict.fromkeys(("model", "limit", "code", "filled"), -release) | {"held": float(-release)}
    model, limit = 101 * release + 2, 1001 * release + 3
    return {"model": model, "limit": limit, "code": release, "filled": release, "held": min(x, 500.0 * release)}
