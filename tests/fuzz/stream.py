"""A stream over gRPC that no library carries: its end is noted."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from funade.serve.grpc.stream import Stream


class Heard(Stream):
    """A stream whose end is noted."""

    said: tuple[int, bytes] | None = None

    async def _end(self, code: Any, text: bytes) -> None:
        assert self.said is None
        self.said = int(code), text
        await super()._end(code, text)


class Event(NamedTuple):
    """An operation that was done."""

    success: bool
    batch_operations: tuple[Any, ...]


class Carrier:
    """The library's part: gives messages, takes what is sent."""

    def __init__(self, given: list[bytes]) -> None:
        self._given = iter(given)

    def start_server_batch(self, operations: tuple[Any, ...], done: asyncio.Future[Any]) -> None:
        """Do it at once."""
        done.set_result(Event(True, (self,)))

    def message(self) -> bytes | None:
        """The next message; None where the client sends no more."""
        return next(self._given, None)
