"""What a worker needs of a release; ``bind`` fulfils it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np

    from funade.declare.field import Contract

    Columns = dict[str, np.ndarray[Any, Any]]


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

    def decode(self, body: bytes, /) -> tuple[list[Any], bool]:
        """The rows of a JSON body, and whether it was one object.

        Raises:
            ContractViolation: with the ``path`` of the value.
        """

    def answer(self, rows: Sequence[Any], /) -> Columns:
        """One checked answer per row, in order.

        Raises:
            AnswerError: other rows, columns or values than the contract says; or whatever the function raised.
        """

    def encode(self, columns: Columns, start: int, stop: int, *, single: bool) -> bytes:
        """Rows [start, stop) as JSON: one object if ``single``, else an array."""


class Loaded(Protocol):
    """One release in this process."""

    @property
    def release(self) -> int:
        """The release's number."""

    @property
    def apis(self) -> Mapping[str, Api]:
        """Name → api."""

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of the apis."""

    def warm(self) -> None:
        """Answer the golden rows.

        Raises:
            ServeError: one answer differs.
        """
