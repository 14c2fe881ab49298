"""The queue's SQLite file, and what its statements need: the time, the bounds, the name that claims are made by."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from funade.clock import Clock
from funade.queue import claimant, sql
from funade.store.queue_records import QueuedRequest
from funade.store.queue_rules import QueueRules
from funade.store.sqlite.database import Database, Form

FORM = Form(int.from_bytes(b"funq", "big"), 1, "funade.queue")
"""What tells our queue's file from any other, and its newest migration."""


class QueueFile:
    """One queue's file; made with its first request.

    Args:
        path: the file.
        clock: gives the time.
        rules: bounds.
        seed: what the spread of the waits between tries is drawn from.
        worker: by which name claims are made; this process's own if "".
    """

    def __init__(self, path: Path, clock: Clock, rules: QueueRules, seed: int, worker: str) -> None:
        self.path = path
        self.rules = rules
        self.worker = worker or claimant.own()
        self.database = Database(path, FORM)
        self._clock = clock
        self._chance = random.Random(seed).random

    @property
    def there(self) -> bool:
        """Whether the file was made."""
        return self.path.exists()

    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock().timestamp()

    def wait_s(self, attempt: int) -> float:
        """How long to wait after that attempt."""
        return self.rules.backoff_s(attempt, self._chance)

    def requests(self, ids: Sequence[str]) -> dict[str, QueuedRequest]:
        """Those of the requests that are kept, by id."""
        return {request.id: request for request in self.read(*among(f"{sql.KEPT} WHERE 1", ids))}

    def read(self, statement: str, values: Sequence[Any]) -> list[QueuedRequest]:
        """The requests that a statement with the columns of ``sql.KEPT`` gives."""
        return [QueuedRequest(*row) for row in self.database.rows(statement, values)] if self.there else []


def among(statement: str, ids: Sequence[str]) -> tuple[str, tuple[str]]:
    """A statement and its value, for these ids alone."""
    return statement + sql.AMONG, (listed(ids),)


def listed(values: Iterable[object]) -> str:
    """Values as one, for ``json_each``."""
    return msgspec.json.encode(list(values)).decode()
