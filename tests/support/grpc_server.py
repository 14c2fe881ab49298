"""A release whose apis have every type, for doors under test."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

from funade.contract.answer import AnswerSchema
from funade.contract.batch import Batch
from funade.contract.contract import contract_of, default
from funade.contract.outcome import Outcome
from funade.contract.request import RequestSchema
from funade.contract.wire import Wire, wire


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
    known: Annotated[float, default(7.5)]
    often: Annotated[int, default(3)]
    tip: float = 1.5
    spare: str | None = "none"
    距離: float = 2.0


class Back(msgspec.Struct):
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


class Api:
    def __init__(self, name: str, takes: Any, gives: Any, fallback: dict[str, Any] | None = None) -> None:
        self.name = name
        self.contract = contract_of(takes, gives, place="grpc_server.py:1")
        self.fallback = fallback
        self.owner = "drivers"
        self.durable = False
        self.unlogged: frozenset[str] = frozenset()
        self.promise_s: float | None = None
        self.requests = RequestSchema(takes, zone=ZoneInfo("Asia/Tokyo"))
        self.answers = AnswerSchema(gives)
        self.decode = self.requests.decode

    def take(self, rows: Sequence[Any]) -> Batch:
        return self.requests.take(rows)

    def give(self, columns: dict[str, Any], count: int) -> Outcome:
        """What a direct call of the function gives."""
        if self.name == "closed":
            found = {"score": columns["a"] * columns["b"]}
        else:
            found = {f.name: columns[f.name] for f in self.contract.gives_fields if f.name in columns}
            found["score"] = np.sin(columns["fare_yen"]) * columns["tip"] / 3.0
        settled, bad = self.answers.judge(found, count, api=self.name)
        return Outcome(settled, bad)


class Release:
    def __init__(self, release: int) -> None:
        self.release = release
        self.apis = {
            "everything": Api("everything", Everything, Back),
            "closed": Api("closed", Closed, Score, {"score": -1.0}),
        }
        self.wires: dict[str, Wire] = {
            name: wire(name, api.contract, module="taxi.screening") for name, api in self.apis.items()
        }

    def warm(self) -> None:
        pass


def load(argument: dict[str, Any]) -> Release:
    return Release(argument["release"])
