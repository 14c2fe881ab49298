"""One call of a gRPC method that streams: messages in, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from google.protobuf.message import DecodeError
from grpc._cython import cygrpc

StreamMethod = Callable[[AsyncIterator[bytes]], AsyncGenerator[bytes, None]]
"""Given the client's messages, the answers; an async generator."""

StreamMethods = Mapping[str, StreamMethod]
"""``/package.Service/Method`` → what answers it."""


class Stream:
    """One call in progress; ``gone`` is resolved when the client is gone."""

    def __init__(self, call: Any, method: StreamMethod, gone: asyncio.Future[Any]) -> None:
        self._call = call
        self._method = method
        self._gone = gone
        self._begun = False

    async def run(self) -> None:
        """Answer until the method ends or the client is gone."""
        answering = asyncio.ensure_future(self._answer())
        await asyncio.wait((answering, self._gone), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            await asyncio.wait((answering,))
        elif isinstance(error := answering.exception(), DecodeError):
            await self._end(cygrpc.StatusCode.invalid_argument, b"request expected a message, got other bytes")
        elif error is not None:
            await self._end(cygrpc.StatusCode.internal, b"the server failed to answer; see its log")
            raise error
        else:
            await self._end(cygrpc.StatusCode.ok, b"")

    async def _answer(self) -> None:
        async with aclosing(self._messages()) as messages, aclosing(self._method(messages)) as answers:
            async for answer in answers:
                if not await self._do(*self._head(), cygrpc.SendMessageOperation(answer, 0)):
                    return

    async def _messages(self) -> AsyncGenerator[bytes, None]:
        while (message := await self._hear()) is not None:
            yield message

    async def _hear(self) -> bytes | None:
        done = asyncio.get_running_loop().create_future()
        self._call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), done)
        event = await done
        message: bytes | None = event.batch_operations[0].message()
        return message

    def _head(self) -> tuple[Any, ...]:
        if self._begun:
            return ()
        self._begun = True
        return (cygrpc.SendInitialMetadataOperation((), 0),)

    async def _end(self, code: Any, text: bytes) -> None:
        await self._do(*self._head(), cygrpc.SendStatusFromServerOperation((), code, text, 0))

    async def _do(self, *operations: Any) -> bool:
        done = asyncio.get_running_loop().create_future()
        self._call.start_server_batch(operations, done)
        return bool((await done).success)
