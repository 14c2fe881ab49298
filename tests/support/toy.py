"""A tiny project that tests write, edit and build: numbers only, no heavy library, a run takes milliseconds."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from funade.clock import frozen
from funade.project.project import Project

NOW = datetime(2022, 1, 31, 12, tzinfo=UTC)

TOML = """
[project]
name = "toy"
modules = ["toy"]
timezone = "Asia/Tokyo"
"""

SHARED = '''
"""Shared by training and serving."""
SCALE = 2.0

def feature(x):
    return x * SCALE
'''

NODES = '''
"""One source, one dataset, one model, one threshold, one api, one evaluation."""
from pathlib import Path
from typing import Annotated
import json
import msgspec
import numpy as np
import pyarrow as pa
import funade as fn
from toy.shared import feature


class Point(msgspec.Struct):
    x: float

class Verdict(msgspec.Struct):
    score: float
    high: bool


class Line:
    """y = slope * feature(x)."""
    def __init__(self, slope: float) -> None:
        self.slope = slope
    def predict(self, x):
        return feature(x) * self.slope
    def save(self, folder: Path) -> None:
        (folder / "line.json").write_text(json.dumps(self.slope))
    @classmethod
    def load(cls, folder: Path) -> "Line":
        return cls(json.loads((folder / "line.json").read_text()))


@fn.source(fn.every("1 day", since="2022-01-01"), fn.time("at"), fn.key("row"))
def points(day: str) -> pa.Table:
    n = 50
    start = np.datetime64(day + "T00:00:00", "us")
    x = (np.arange(n) * 7 % 50 + int(day[-2:])) / 10.0
    return pa.table({
        "row": [f"{day}/{i}" for i in range(n)],
        "at": start + np.arange(n) * np.timedelta64(60, "s"),
        "x": x,
        "y": 3.0 * x,
    })

@fn.dataset(fn.within("x", 0, 100), fn.not_null("y"), points=points)
def clean(points: pa.Table) -> pa.Table:
    return points

@fn.model(rows=clean.between(days=(21, 14)))
def line(rows: fn.Columns, bend: float = 1.0) -> Line:
    x = feature(rows["x"])
    return Line(float((x * rows["y"]).sum() / (x * x).sum()) * bend)

@fn.threshold(model=line, rows=clean.between(days=(14, 7)))
def cut(model: Line, rows: fn.Columns, share: float = 0.9) -> float:
    return float(np.quantile(model.predict(rows["x"]), share))

@fn.api(fn.takes(Point), fn.gives(Verdict), fn.owner("toy-team"), fn.fallback(score=0.0, high=False),
        model=line, limit=cut)
def judge(batch: fn.Columns, model: Line, limit: float) -> fn.Columns:
    score = model.predict(batch["x"])
    return {"score": score, "high": score >= limit}

@fn.evaluation(fn.at_most(mae=0.5), fn.may_rise(mae="5%"), answers=judge.on(clean.last(days=7)))
def quality(answers: fn.Columns) -> dict[str, float]:
    return {"mae": float(np.abs(answers["score"] - answers["y"]).mean())}
'''

FILES = {"funade.toml": TOML, "toy/__init__.py": "", "toy/shared.py": SHARED, "toy/nodes.py": NODES}


def write(root: Path, files: dict[str, str] | None = None, **edits: tuple[str, str]) -> Path:
    """Write a project's files; each edit replaces text in the file of that stem (``nodes=("old", "new")``)."""
    for name, text in (files or FILES).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"))
    for stem, (old, new) in edits.items():
        edit(root, stem, old, new)
    return root


def edit(root: Path, stem: str, old: str, new: str) -> None:
    """Replace text that must be there, in the one file of that stem."""
    (path,) = [p for p in root.rglob(f"{stem}.*") if ".funade" not in p.parts]
    text = path.read_text()
    assert old in text, f"{old!r} is not in {path}"
    path.write_text(text.replace(old, new))


def project(root: Path, now: datetime = NOW) -> Project:
    """The project as a fresh process opens it, at a fixed time."""
    return Project(root, clock=frozen(now), environ={})


def load(here: Project, first: str = "", last: str = "") -> int:
    """Load the toy's source; gives how many new revisions there are."""
    spec = here.graph["points"]
    return sum(done.revision is not None for done in here.load(spec, here.periods(spec, first, last)))


def ship(here: Project) -> int:
    """Build, stage and release; gives the release's number."""
    list(here.build())
    here.stage()
    return here.release()[0].number


CONSTANT = """class Constant:
    def __init__(self, value: int) -> None:
        self.value = value
    def save(self, folder: Path) -> None:
        (folder / "value.json").write_text(json.dumps(self.value))
    @classmethod
    def load(cls, folder: Path) -> "Constant":
        return cls(json.loads((folder / "value.json").read_text()))


@fn.source(fn.every("1 day", since="2022-01-01"), fn.time("at"))
def rows(day: str) -> pa.Table:
    n = 400
    at = np.datetime64(day + "T00:00:00", "us") + np.arange(n) * np.timedelta64(60, "s")
    return pa.table({"at": at, "x": np.arange(n) / 10.0, "day": np.full(n, int(day[-2:]))})

@fn.dataset(rows=rows)
def kept(rows: pa.Table) -> pa.Table:
    return rows
"""
"""Part of a project's nodes: a model that is one number, and 400 rows a day."""


def never_read(here: Project, digest: str) -> Path:
    """Put a pipe in a blob's place: who reads it waits for ever. Gives the pipe."""
    path = here.store.blobs.path(digest)
    path.unlink()
    os.mkfifo(path)
    return path
