"""Entries as a batcher makes them, for tests of the log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from funade.contract.batch import FrozenRows
from funade.predictions.record import Record
from funade.predictions.record import record as made


class Asked:
    """One answered request."""

    timer = None
    done = True

    def __init__(self, rows: int = 1, *, single: bool = True, door: str = "http", took_s: float = 0.002) -> None:
        self.rows: list[Any] = [None] * rows
        self.single = single
        self.door = door
        self.since = time.monotonic() - took_s

    def write(self, answers: Any, start: int, stop: int) -> Any: ...

    def answer(self, body: Any, number: int, said: Any = None) -> None: ...

    def refuse(self, status: int, error: str, path: str = "") -> None: ...


def texts(*values: object) -> Any:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def entry(first: int, request: dict[str, Any], answers: dict[str, Any], **given: Any) -> Record:
    """Answers of one call to single requests, unless ``asks`` says otherwise."""
    rows = len(next(iter(request.values())))
    requests: Sequence[Any] = given.pop("asks", [Asked() for _ in range(rows)])
    api, at = given.pop("api", "eta"), given.pop("at", None)
    kept = FrozenRows((*request,), request)
    found = made(api, requests, range(first, first + len(requests)), kept, answers, **given)
    return found if at is None else found._replace(at=at)


def numbered(first: int, rows: int, *, api: str = "eta") -> Record:
    """Rows whose ``x`` is their own number."""
    x = np.arange(first, first + rows, dtype="f8")
    return entry(first, {"x": x}, {"y": x * 2}, api=api)
