"""gRPC's health service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from funade.serve.grpc import call as rpc

SERVICE = "grpc.health.v1.Health"

_PB: Any = health_pb2  # its classes are made when it is imported
FILE: bytes = _PB.DESCRIPTOR.serialized_pb
"""The file that describes it, serialised."""


class Health:
    """One status for the server ("") and each service, by its full name."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = {"", SERVICE, *names}
        self._serving = False
        self._changed: set[asyncio.Event] = set()

    def serving(self, yes: bool) -> None:
        """Say so to those who ask and those who watch."""
        if yes != self._serving:
            self._serving = yes
            for changed in self._changed:
                changed.set()

    def check(self, message: bytes, call: rpc.Call) -> None:
        """Answer ``Check``."""
        try:
            name = _PB.HealthCheckRequest.FromString(message).service
        except DecodeError:
            call.fail(rpc.INVALID_ARGUMENT, "request expected a HealthCheckRequest, got bytes that are none")
            return
        if name in self._names:
            call.reply(self._status(name))
        else:
            call.fail(rpc.NOT_FOUND, "no such service here")

    async def watch(self, messages: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Answer ``Watch``: the status now and whenever it changes, until the server retires."""
        name = _PB.HealthCheckRequest.FromString(await anext(messages, b"")).service
        changed = asyncio.Event()
        self._changed.add(changed)
        try:
            while True:
                changed.clear()
                yield self._status(name)
                if not self._serving:  # its client shall watch the newer release
                    return
                await changed.wait()
        finally:
            self._changed.discard(changed)

    def _status(self, name: str) -> bytes:
        response = _PB.HealthCheckResponse
        status = response.SERVING if self._serving else response.NOT_SERVING
        message: bytes = response(
            status=status if name in self._names else response.SERVICE_UNKNOWN
        ).SerializeToString()
        return message
