"""Switches under load: nothing is lost, nothing is mixed, and the new release answers soon."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from funade.project.project import Project
from support import stock, toy
from support.command import serving
from support.repository import REPOSITORY
from support.server import noted
from support.wait import until

pytestmark = pytest.mark.slow

RATE = 200
GOAL_S = 5.0
"""Seconds after the command that a quiet machine takes at most."""

LIGHT = (
    '''
"""Two apis that answer with their model's, their threshold's and their code's version."""
from pathlib import Path
import json
import msgspec
import numpy as np
import pyarrow as pa
import funade as fn
from light import shared


class Ask(msgspec.Struct):
    x: float

class Parts(msgspec.Struct):
    model: int
    limit: int
    code: int
    helper: int


'''
    + toy.CONSTANT
    + """
@fn.model(rows=kept.before(days=2))
def constant(rows: fn.Columns) -> Constant:
    return Constant(shared.VERSION)

@fn.threshold(model=constant, rows=kept.between(days=(2, 1)))
def limit(model: Constant, rows: fn.Columns) -> int:
    return shared.VERSION

def answer(batch, model, limit):
    n = len(batch["x"])
    return {
        "model": np.full(n, model.value), "limit": np.full(n, limit),
        "code": np.full(n, CODE), "helper": np.full(n, shared.VERSION),
    }

CODE = 0

@fn.api(fn.takes(Ask), fn.gives(Parts), fn.owner("team"), fn.fallback(model=-1, limit=-2, code=-3, helper=-4),
        model=constant, limit=limit)
def first(batch: fn.Columns, model: Constant, limit: int) -> fn.Columns:
    return answer(batch, model, limit)

@fn.api(fn.takes(Ask), fn.gives(Parts), fn.owner("team"), fn.fallback(model=-1, limit=-2, code=-3, helper=-4),
        model=constant, limit=limit)
def second(batch: fn.Columns, model: Constant, limit: int) -> fn.Columns:
    return answer(batch, model, limit)

@fn.evaluation(fn.at_least(rows=1), answers=first.on(kept.last(days=1)))
def counted(answers: fn.Columns) -> dict[str, float]:
    return {"rows": len(answers["x"])}
"""
)

FILES = {
    "funade.toml": toy.TOML.replace("toy", "light"),
    "light/__init__.py": "",
    "light/shared.py": "VERSION = 0\n",
    "light/nodes.py": LIGHT,
}


@contextmanager
def asking(port: int, log: Path, *apis: str) -> Iterator[None]:
    """The steady client, asking all the while."""
    command = [sys.executable, str(stock.script("steady.py")), str(port), str(RATE), "8", str(log), *apis]
    client = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield
    finally:
        client.communicate(timeout=120)
        assert client.returncode == 0


class Tail:
    """The last release that answered each api, read from a growing log."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.read = 0
        self.last: dict[str, int] = {}

    def answered(self, release: int) -> bool:
        with self.log.open("rb") as file:
            file.seek(self.read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self.read += len(whole)
        for line in whole.splitlines():
            found = json.loads(line)
            self.last[found["api"]] = found.get("release", -1)
        return bool(self.last) and set(self.last.values()) == {release}


def switch_many(
    root: Path, edit: Callable[[int], None], log: Path, times: int, apis: tuple[str, ...], **env: str
) -> list[float]:
    """Release changed code and roll back, `times` switches in all; gives how long each took to answer.

    None takes longer than five starts of the server, or than three times what a quiet machine takes at most.
    """
    waits: list[float] = []
    began = time.monotonic()
    with serving(["-C", str(root), "serve"], root / "serve.log", **env) as port:
        soon_s = max(3 * GOAL_S, 5 * (time.monotonic() - began))
        with asking(port, log, *apis):
            until(log.exists)
            tail = Tail(log)
            for number in range(times // 2):
                edit(number + 1)
                here = Project(root, environ={**os.environ, **env})
                waits.append(seconds_until(tail, toy.ship(here), soon_s))
                waits.append(seconds_until(tail, here.rollback().after, soon_s))
    return waits


def seconds_until(tail: Tail, release: int, most_s: float) -> float:
    """How long it takes until this release answers."""
    began = time.monotonic()
    until(lambda: tail.answered(release), most_s)
    return time.monotonic() - began


def test_drill_W5_ninety_switches_of_two_light_apis_lose_and_mix_nothing(tmp_path: Path) -> None:
    root = toy.write(tmp_path / "light", FILES)
    here = Project(root)
    spec = here.graph["rows"]
    list(here.load(spec, here.periods(spec, "2022-01-01", "2022-01-05")))
    toy.ship(here)
    version_of = {1: 0}

    def edit(number: int) -> None:
        (root / "light/shared.py").write_text(f"VERSION = {number}\n")
        toy.edit(root, "nodes", f"CODE = {number - 1}\n", f"CODE = {number}\n")
        version_of[number + 1] = number

    log = tmp_path / "answers.jsonl"
    waits = switch_many(root, edit, log, 90, ('first={"x": 1.5}', 'second=[{"x": 1.5}, {"x": 2.5}]'))
    found = noted(log)
    failed = [a for a in found if a.get("status") != 200]
    assert failed == [], failed[:3]
    mixed = [a for a in found if {v for row in _rows(a) for v in row.values()} != {version_of[a["release"]]}]
    assert mixed == [], mixed[:3]
    assert len(waits) == 90
    slowest = max(answer["took"] for answer in found)
    print(f"{len(found)} answers, slowest switch {max(waits):.2f} s (goal {GOAL_S:g} s), answer {slowest:.3f} s")


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    body = answer["body"]
    return body if isinstance(body, list) else [body]


def test_drill_ten_switches_of_the_taxi_project_lose_nothing(tmp_path: Path) -> None:
    root = tmp_path / "taxi"
    shutil.copytree(REPOSITORY / "examples" / "taxi", root, ignore=shutil.ignore_patterns(".funade", "__pycache__"))
    city = tmp_path / "city"
    subprocess.run([sys.executable, "-m", "taxi.city", str(city)], cwd=root, check=True)
    env = {"FUNADE_PLACE_TLC": str(city)}
    here = Project(root, environ={**os.environ, **env})
    spec = here.graph["trips"]
    list(here.load(spec, here.periods(spec, "2022-01-01", "2022-03-31")))
    toy.ship(here)
    path = next(p for p in root.rglob("arrival.py"))

    def edit(number: int) -> None:
        text = path.read_text()
        path.write_text(text.replace(f"trees: int = {199 + number}", f"trees: int = {200 + number}"))

    body = '{"pickup_zone": 74, "dropoff_zone": 75, "planned_miles": 1.5, "requested_at": "2022-04-01T12:00:00Z"}'
    log = tmp_path / "answers.jsonl"
    waits = switch_many(root, edit, log, 10, (f"arrival={body}",), **env)
    found = noted(log)
    failed = [a for a in found if a.get("status") != 200]
    assert failed == [], failed[:3]
    by_release: dict[int, set[str]] = {}
    for a in found:
        by_release.setdefault(a["release"], set()).add(json.dumps(a["body"]))
    assert all(len(bodies) == 1 for bodies in by_release.values()), by_release
    assert len(waits) == 10
    print(f"{len(found)} answers, slowest switch {max(waits):.2f} s (goal {GOAL_S:g} s)")
