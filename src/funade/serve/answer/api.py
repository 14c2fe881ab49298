"""What a worker needs of a release; ``bind`` fulfils it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from funade.contract.answer import AnswerSchema
from funade.contract.arrays import Columns
from funade.contract.batch import Batch
from funade.contract.field import Contract
from funade.contract.outcome import Outcome
from funade.contract.request import RequestSchema
from funade.contract.wire import Wire


class Api(Protocol):
    """One api, bound to what it needs."""

    @property
    def name(self) -> str:
        """The api's name, the last part of its path."""

    @property
    def contract(self) -> Contract:
        """What it takes and gives."""

    @property
    def fallback(self) -> dict[str, Any] | None:
        """The answer for one row when the function cannot, as JSON values; None where none is declared."""

    @property
    def owner(self) -> str:
        """The team to call; "" where none is declared."""

    @property
    def durable(self) -> bool:
        """Whether an answer is sent only once it is logged."""

    @property
    def unlogged(self) -> frozenset[str]:
        """Fields that are never logged."""

    @property
    def promise_s(self) -> float | None:
        """Within how many seconds nearly every answer is promised; None where nothing is."""

    @property
    def requests(self) -> RequestSchema:
        """Reads requests of its contract."""

    @property
    def answers(self) -> AnswerSchema:
        """Checks and writes answers of its contract."""

    def decode(self, body: bytes, /) -> tuple[list[Any], bool]:
        """The rows of a JSON body, and whether it was one object.

        Raises:
            ContractViolation: with the ``path`` of the value.
        """

    def take(self, rows: Sequence[Any], /) -> Batch:
        """Decoded rows as columns, defaults filled in."""

    def give(self, columns: Columns, rows: int, /) -> Outcome:
        """The answers for columns of ``rows`` each, in order; a row without one is named.

        Raises:
            AnswerError: other rows or columns than the contract says; or whatever the function raised.
        """


class ServableRelease(Protocol):
    """One release in this process."""

    @property
    def release(self) -> int:
        """The release's number."""

    @property
    def apis(self) -> Mapping[str, Api]:
        """Name → api."""

    @property
    def wires(self) -> Mapping[str, Wire]:
        """Api → the numbers of its fields over gRPC; an api that is absent is numbered anew."""

    def warm(self) -> None:
        """Answer the golden rows.

        Raises:
            ServeError: one answer differs.
        """
