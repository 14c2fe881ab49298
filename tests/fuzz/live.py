"""Streams of HTTP/2 thrown at a running server's port for gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence

from fuzz import fuzzing, http2

_SILENT_S = 0.05
_AT_ONCE = 8


def _never(heard: bytes) -> bool:
    return False


async def said(
    port: int, pieces: Sequence[bytes], *, silent_s: float = _SILENT_S, enough: Callable[[bytes], bool] = _never
) -> bytes:
    """What the server says to a client that sends these pieces, until it is enough, or the server is silent so long;
    the client then leaves.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    heard = b""
    try:
        with contextlib.suppress(ConnectionError, TimeoutError):
            for piece in pieces:
                writer.write(piece)
                await asyncio.wait_for(writer.drain(), silent_s)
            while not enough(heard) and (data := await asyncio.wait_for(reader.read(65536), silent_s)):
                heard += data
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return heard


async def thrown(port: int, known: Sequence[bytes], count: int, seed: int) -> None:
    """So many mutated streams, several at once."""
    rng = random.Random(seed)
    left = iter(range(count))

    async def throw() -> None:
        for _ in left:
            await said(port, fuzzing.cut(http2.mutated(known, rng), rng))

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(throw())
