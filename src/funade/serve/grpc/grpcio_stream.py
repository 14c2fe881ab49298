"""Streaming methods on a call of grpcio's: health's Watch and reflection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from funade.serve.grpc import port as rpc


class HandlerDetails:
    """What a ``grpc.GenericRpcHandler`` is asked with."""

    def __init__(self, path: str, metadata: Any) -> None:
        self.method = path
        self.invocation_metadata = metadata


class Stream:
    """One call of a method that streams, answered by an async generator as grpcio's ``aio`` has it.

    The generator gets no context (None).

    Args:
        call: the library's call.
        handler: ``grpc.RpcMethodHandler``.
        gone: resolved when the client is gone.
    """

    def __init__(self, call: Any, handler: Any, gone: asyncio.Future[Any]) -> None:
        from google.protobuf.message import DecodeError
        from grpc._cython import cygrpc

        self._ops = cygrpc
        self._no_message = DecodeError
        self._call = call
        self._handler = handler
        self._gone = gone
        self._begun = False

    async def run(self) -> None:
        """Answer until the generator ends or the client is gone."""
        answering = asyncio.ensure_future(self._answer())
        await asyncio.wait((answering, self._gone), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            answering.cancel()
            await asyncio.wait((answering,))
        elif isinstance(error := answering.exception(), self._no_message):
            await self._end(self._ops.StatusCode.invalid_argument, b"request expected a message, got other bytes")
        elif error is not None:
            await self._end(self._ops.StatusCode.internal, b"the server failed to answer; see its log")
            raise error
        else:
            await self._end(self._ops.StatusCode.ok, b"")

    async def _answer(self) -> None:
        handler, ops = self._handler, self._ops
        if handler.request_streaming:
            answers = handler.stream_stream(self._requests(), None)
        else:
            answers = handler.unary_stream(self._read(await self._hear() or b""), None)
        written = handler.response_serializer or bytes
        async for answer in answers:
            sent = ops.SendMessageOperation(written(answer), 0)
            if not await self._do(*self._head(), sent):
                return

    async def _requests(self) -> AsyncIterator[Any]:
        while (message := await self._hear()) is not None:
            yield self._read(message)

    def _read(self, message: bytes) -> Any:
        return (self._handler.request_deserializer or bytes)(message)

    async def _hear(self) -> bytes | None:
        done = asyncio.get_running_loop().create_future()
        self._call.start_server_batch((self._ops.ReceiveMessageOperation(0),), done)
        event = await done
        message: bytes | None = event.batch_operations[0].message()
        return message

    def _head(self) -> tuple[Any, ...]:
        if self._begun:
            return ()
        self._begun = True
        return (self._ops.SendInitialMetadataOperation((), 0),)

    async def _end(self, code: Any, text: bytes) -> None:
        await self._do(*self._head(), self._ops.SendStatusFromServerOperation((), code, text, 0))

    async def _do(self, *operations: Any) -> bool:
        done = asyncio.get_running_loop().create_future()
        self._call.start_server_batch(operations, done)
        return bool((await done).success)


def handler_of(others: rpc.Others, path: str, metadata: Any) -> Any:
    """The handler of a method that streams; None where there is none."""
    asked = HandlerDetails(path, metadata)
    return next((found for other in others if (found := other.service(asked)) is not None), None)
