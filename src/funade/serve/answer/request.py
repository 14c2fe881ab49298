"""One request as the queue of its api sees it, whichever door it came by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from funade.bind.api import BoundApi
from funade.contract.arrays import Columns


class Notes(NamedTuple):
    """What an answer says besides its rows; "" where there is nothing to say.

    ``fallback``: ``error; rows=3 17``; ``guard``: ``eta clamped; rows=2``; ``defaults``: ``rides_30d; rows=0 4``. A
    single object's bears no rows.
    """

    fallback: str = ""
    guard: str = ""
    defaults: str = ""

    def headers(self) -> list[tuple[str, str]]:
        """What there is to say, each by the name of its header."""
        return [(f"funade-{name}", text) for name, text in zip(self._fields, self, strict=True) if text]


PLAIN = Notes()


class ApiAnswers:
    """The answers of one call, in the contract's order and types."""

    def __init__(self, columns: Columns, structs: Callable[[Columns], list[Any]]) -> None:
        self.columns = columns
        self._structs = structs

    @cached_property
    def structs(self) -> list[Any]:
        """One struct a row, whose values are ready to be written as JSON."""
        return self._structs(self.columns)


class IncomingRequest(Protocol):
    """A request whose message is to be read."""

    @property
    def door(self) -> str:
        """By which door it came: ``http``, ``grpc``, ``oip`` or ``queue``."""

    def read(self, api: BoundApi, message: Any) -> None:
        """Fill in the rows that the message holds, for the api that answers; called on the loop.

        Raises:
            ContractViolation: the message breaks the contract; ``path`` points at the value.
        """

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Send an error, its kind said as an HTTP status; called on the loop."""


class AnswerRequest(IncomingRequest, Protocol):
    """A request that is answered.

    ``rows`` are instances of the api's request struct, ``single`` says whether they came as one object, and
    ``within_s`` is how many seconds the client waits, None where it does not say: ``read`` fills them in. ``since`` is
    when it came (``time.monotonic``).
    """

    rows: list[Any]
    single: bool
    within_s: float | None
    timer: asyncio.TimerHandle | None
    since: float

    @property
    def done(self) -> bool:
        """Whether it was answered, or nobody waits any more."""

    def write(self, answers: ApiAnswers, start: int, stop: int) -> Any:
        """Rows [start, stop) as this door sends them; called where the api's function runs."""

    def answer(self, body: Any, number: int, notes: Notes = PLAIN) -> None:
        """Send what ``write`` gave, under the prediction id of that number; called on the loop."""
