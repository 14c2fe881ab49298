"""A project whose apis meet whatever a door can meet: every type, every guard, functions that fail as a row says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.command import serving

TOML = """
[project]
name = "doors"
modules = ["doors"]
timezone = "Asia/Tokyo"

[serve]
workers = 1
tokens = "tokens.json"

[queue]
tries = 1

[profile.locked.serve]
workers = 1
tokens = "tokens.json"
predict = "token"
"""

# A row's `zone` says what becomes of it: raise, exit, die, short, nan, infinity; "gate N" waits until that gate opens.
NODES = '''
"""Apis of every kind."""
import enum
import os
import time
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

    fare_yen: Annotated[float, msgspec.Meta(ge=0, le=100_000, description="What it costs."), fn.unit("JPY")]
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


class Back(msgspec.Struct):
    """What came in, and a score of it."""

    score: Annotated[float, fn.unit("m")]
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


class Ride(msgspec.Struct):
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


def allowed(pickup):
    """Nobody is sent where no car may stop."""
    return ~np.isin(pickup, ("airside", "tracks"))


def suggestion(batch):
    zone = batch["zone"]
    if (zone == "raise").any():
        raise ValueError("a private detail")
    if (zone == "exit").any():
        raise SystemExit(3)
    if (zone == "die").any():
        os._exit(9)
    for gate in {text for text in zone.tolist() if text.startswith("gate ")}:
        path = os.path.join(os.environ["DOORS_GATES"], gate)
        open(path + " reached", "w").close()
        while not os.path.exists(path):
            time.sleep(0.005)
    if (zone == "short").any():
        return {"ride": batch["ride"][:-1], "eta": batch["km"][:-1], "pickup": zone[:-1]}
    eta = batch["km"] * 2 * batch["demand"] + batch["rides_30d"]
    eta = np.where(zone == "nan", np.nan, np.where(zone == "infinity", np.inf, eta))
    return {"ride": batch["ride"], "eta": eta, "pickup": zone}


@fn.api(fn.takes(Everything), fn.gives(Back), fn.owner("tools-team"))
def everything(batch: fn.Columns) -> fn.Columns:
    given = {name: batch[name] for name in Back.__struct_fields__ if name != "score"}
    return given | {"score": np.sin(batch["fare_yen"]) * batch["tip"] / 3.0}


@fn.api(fn.takes(Order), fn.gives(Cooked), fn.owner("kitchen"), fn.fallback(minutes=20.0, by="wok"))
def cook(batch: fn.Columns) -> fn.Columns:
    minutes = batch["dishes"] * (1 + batch["spice"]) + batch["waiting"] + 0.1 * batch["guests"]
    return {"minutes": minutes, "by": np.where(batch["level"] > 1, "oven", "wok").astype(object)}


STANDING = fn.fallback(ride=-1, eta=15.0, pickup="centre", asked=False)


@fn.api(fn.takes(Ride), fn.gives(Pickup), STANDING, fn.guard(eta=(0, 120)), fn.guard(allowed), fn.owner("drivers"))
def suggest(batch: fn.Columns) -> fn.Columns:
    return suggestion(batch)


@fn.api(fn.takes(Ride), fn.gives(Pickup), STANDING, fn.guard(allowed, otherwise="reject"), fn.owner("drivers"))
def strict(batch: fn.Columns) -> fn.Columns:
    return suggestion(batch)


@fn.api(fn.takes(Ride), fn.gives(Pickup), fn.guard(allowed), fn.owner("drivers"))
def alone(batch: fn.Columns) -> fn.Columns:
    return suggestion(batch)


@fn.api(fn.takes(Ride), fn.gives(Pickup), STANDING, fn.log(durable=True, without=["zone"]), fn.owner("drivers"))
def kept(batch: fn.Columns) -> fn.Columns:
    return suggestion(batch)
'''

FILES = {"funade.toml": TOML, "doors/__init__.py": "", "doors/nodes.py": NODES}
ROLES = ("predict", "submit", "operate")


class Served(NamedTuple):
    """A server of the project: its ports, and tokens by role."""

    root: Path
    port: int
    grpc_port: int
    tokens: dict[str, str]

    def events(self, name: str) -> list[dict[str, Any]]:
        """What its log says under a name."""
        lines = map(json.loads, (self.root / "serve.log").read_text().splitlines())
        return [line for line in lines if line["event"] == name]

    def open_gate(self, name: str) -> None:
        """Let the functions that wait at this gate go on."""
        (self.root / "gates" / name).touch()


def released(root: Path, more: Mapping[str, str] | None = None) -> Path:
    """The project, written to a folder of its own and released, with a token a role in ``root/ROLE.token``.

    Args:
        root: the folder; made.
        more: files that it has besides or instead, by their paths.
    """
    for name, text in {**FILES, **(more or {})}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), "utf-8")
    (root / "gates").mkdir()
    for command in (["build"], ["stage"], ["release", "--because", "two apis have no fallback on purpose"]):
        _funade(root, *command)
    for role in ROLES:
        (root / f"{role}.token").write_text(_funade(root, "token", "add", role, "--role", role).strip())
    return root


@contextmanager
def served(root: Path, profile: str = "") -> Iterator[Served]:
    """The released project behind every door."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        grpc_port = int(listener.getsockname()[1])
    arguments = ["-C", str(root), "serve", "--grpc-port", str(grpc_port)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOORS_GATES", str(root / "gates"))
        patch.setenv("FUNADE_PROFILE", profile)
        with serving(arguments, root / "serve.log") as port:
            tokens = {role: (root / f"{role}.token").read_text() for role in ROLES}
            yield Served(root, port, grpc_port, tokens)


def _funade(root: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "funade", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
