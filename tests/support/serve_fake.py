"""A release of two numpy-only apis, for servers under test: its number is part of every answer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from funade import points
from funade.contract.answer import AnswerSchema
from funade.contract.batch import Batch
from funade.contract.contract import contract_of
from funade.contract.outcome import Outcome
from funade.contract.request import RequestSchema
from funade.contract.wire import Wire
from funade.errors import AnswerError, ServeError


class Ride(msgspec.Struct):
    """One ride; ``does`` makes the function misbehave."""

    km: float
    does: str = ""


class Arrival(msgspec.Struct):
    eta: float
    model: int
    threshold: int
    batch: int


class Fake:
    def __init__(
        self, name: str, release: int, fallback: dict[str, Any] | None, promise_s: float | None = None
    ) -> None:
        self.name = name
        self.contract = contract_of(Ride, Arrival, place="serve_fake.py:1")
        self.fallback = fallback
        self.owner = "drivers"
        self.release = release
        self.durable = name == "kept"
        self.unlogged = frozenset({"does"}) if name == "plain" else frozenset()
        self.promise_s = promise_s
        self.requests = RequestSchema(Ride, zone=ZoneInfo("UTC"))
        self.answers = AnswerSchema(Arrival)
        self.decode = self.requests.decode

    def take(self, rows: Sequence[Any]) -> Batch:
        return self.requests.take(rows)

    def give(self, columns: dict[str, Any], count: int) -> Outcome:
        for does in columns["does"]:
            if does == "raise":
                raise ValueError("a private detail")
            if does == "short":
                raise AnswerError(f"api `{self.name}` answered 0 rows, expected {count}")
            if does == "exit":
                raise SystemExit(3)
            if does == "die":
                os._exit(9)
            if does.startswith("sleep "):
                time.sleep(float(does[6:]))
        if "work" in columns["does"]:
            time.sleep(0.004 + 0.002 * count)
        whole = np.full(count, self.release)
        found = {"eta": columns["km"] * 2.0, "model": whole, "threshold": whole, "batch": np.full(count, count)}
        if "nan" in columns["does"]:
            found["eta"] = np.where(columns["does"] == "nan", np.nan, found["eta"])
        settled, bad = self.answers.judge(found, count, api=self.name)
        return Outcome(settled, bad)


class Release:
    def __init__(self, release: int, golden: str) -> None:
        self.release = release
        fallback = {"eta": 15.0, "model": 0, "threshold": 0, "batch": 0}
        self.apis = {
            "arrival": Fake("arrival", release, fallback),
            "plain": Fake("plain", release, None),
            "promised": Fake("promised", release, fallback, promise_s=0.1),
            "kept": Fake("kept", release, fallback),
        }
        self.wires: dict[str, Wire] = {}
        self._golden = golden

    def warm(self) -> None:
        if self._golden == "differs":
            raise ServeError("api `arrival` expected 1 for golden row 0, got 2")
        for api in self.apis.values():
            api.give(api.take([Ride(km=1.0)]).columns, 1)


def load(argument: dict[str, Any]) -> Release:
    """``argument["folder"]`` may hold ``<release>.json`` that says how the release misbehaves."""
    path = Path(argument["folder"]) / f"{argument['release']}.json"
    does = json.loads(path.read_text()) if path.exists() else {}
    if does.get("load") == "raises":
        raise ImportError("no module named `lost`")
    if does.get("load") == "dies":
        os._exit(3)
    if does.get("load") == "hangs":
        time.sleep(600)
    if "dies_at" in does:
        points.watch = lambda name: os._exit(7) if name == does["dies_at"] else None
    return Release(argument["release"], does.get("golden", ""))
