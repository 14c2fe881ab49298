"""gRPC by grpcio, on the worker's own loop."""

from __future__ import annotations

import asyncio
import functools
import secrets
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from funade.serve import rpc, tls
from funade.serve.grpc_relay import Relay
from funade.serve.journal import Journal

if TYPE_CHECKING:
    import grpc


_LOOK_S = 0.01
_PENDING = 1_000_000


class GrpcioCall:
    """One call that grpcio carries; see ``rpc.Call``."""

    __slots__ = ("_context", "_ended", "done", "ending", "message")

    def __init__(self, context: Any, ended: asyncio.Future[None]) -> None:
        self._context = context
        self._ended = ended
        self.done = False
        self.message = b""
        self.ending: tuple[int, str] | None = None

    @property
    def within_s(self) -> float | None:
        """Seconds left when the call arrived; None without a deadline."""
        return cast("float | None", self._context.time_remaining())

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the client said besides the message."""
        said = self._context.invocation_metadata() or ()
        return {key: value for key, value in said if isinstance(value, str)}

    def reply(self, message: bytes, metadata: rpc.Metadata = ()) -> None:
        """End the call well."""
        if not self.done:
            self.message = message
            self._end(metadata)

    def fail(self, code: int, text: str, metadata: rpc.Metadata = ()) -> None:
        """End the call with a status."""
        if not self.done:
            self.ending = (code, text)
            self._end(metadata)

    def _end(self, metadata: rpc.Metadata) -> None:
        self.done = True
        if metadata:
            self._context.set_trailing_metadata(tuple(metadata))
        if not self._ended.done():
            self._ended.set_result(None)


class GrpcioPort:
    """A ``rpc.Port``.

    Args:
        loop: the worker's.
        journal: the server's log.
        methods: what is carried.
        others: methods that stream.
        listener: the supervisor's listening socket.
        bounds: what a client may have.
        certificate: PEM files of the certificate and its key; None for no TLS.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        journal: Journal,
        methods: rpc.Methods,
        others: rpc.Others,
        listener: socket.socket,
        bounds: rpc.Bounds,
        *,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._methods = methods
        self._others = others
        self._listener = listener
        self._bounds = bounds
        self._certificate = certificate
        self._server: grpc.aio.Server | None = None
        self._relay: Relay | None = None
        self._calls: set[GrpcioCall] = set()
        self._opening: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Accept from now on."""
        if self._opening is None and self._ending is None:
            self._opening = self._loop.create_task(self._begin())

    async def _begin(self) -> None:
        name = secrets.token_hex(16)
        encrypted = _encrypting(*self._certificate) if self._certificate else None
        self._server = server_of(_handlers(self._methods, self._carry), self._others, self._bounds)
        self._server.add_insecure_port(f"unix-abstract:funade-{name}")
        await self._server.start()
        most = self._bounds.connections
        self._relay = Relay(self._loop, self._listener, f"\0funade-{name}", most=most, tls=encrypted)
        self._relay.start()

    def stop(self) -> None:
        """Accept no more, send GOAWAY, finish what is begun."""
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        if self._opening is not None:
            await self._opening
        if self._server is None or self._relay is None:
            self._listener.close()
            return
        until = self._loop.time() + self._bounds.drain_s
        while True:
            self._relay.stop()
            if self._relay.empty or self._loop.time() > until:
                break
            await asyncio.sleep(_LOOK_S)
        self._relay.cut()  # before the server: it would say CANCELLED, which no client asks again for
        await self._server.stop(None)

    def cut(self) -> None:
        """End what is left."""
        for call in list(self._calls):
            call.fail(rpc.UNAVAILABLE, "the server stops; ask again")
        if self._relay is not None and self._ending is not None:
            self._loop.call_later(_LOOK_S, self._relay.cut)  # once that is sent

    def tick(self) -> None:
        """About a second went by."""
        if self._relay is not None:
            self._relay.tick()

    @property
    def empty(self) -> bool:
        """Whether it was stopped and nothing is left."""
        return self._ending is not None and self._ending.done()

    async def _carry(self, method: rpc.Method, message: bytes, context: Any) -> bytes:
        ended = self._loop.create_future()
        call = GrpcioCall(context, ended)
        self._calls.add(call)
        try:
            method(message, call)
            if not call.done:
                await ended
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._journal.event("defect", error=f"gRPC: {type(error).__name__}: {error}")
            call.fail(rpc.INTERNAL, "the server failed to answer; see its log")
        finally:
            call.done = True  # also when the client is gone or its deadline is over
            self._calls.discard(call)
        if call.ending is not None:
            context.set_code(_codes()[call.ending[0]])
            context.set_details(call.ending[1])
        return call.message


def _encrypting(certificate: str, key: str) -> ssl.SSLContext:
    made = tls.context(certificate, key)
    made.set_alpn_protocols(["h2"])
    return made


def server_of(handlers: rpc.Others, others: rpc.Others, bounds: rpc.Bounds) -> Any:
    """A server of grpcio's ``aio`` within bounds, without a port."""
    import grpc
    import grpc.aio

    options = (
        ("grpc.max_receive_message_length", bounds.message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", bounds.streams),
        ("grpc.max_metadata_size", bounds.metadata_bytes),
        ("grpc.absolute_max_metadata_size", bounds.metadata_bytes),
        ("grpc.so_reuseport", 0),
        # Beyond these it cancels calls at random, everybody's; those that wait are bounded by ``calls``.
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING),
    )
    server = grpc.aio.server(options=options, maximum_concurrent_rpcs=bounds.calls)
    server.add_generic_rpc_handlers((*handlers, *others))
    return server


Carry = Callable[[rpc.Method, bytes, Any], Awaitable[bytes]]


def _handlers(methods: rpc.Methods, carry: Carry) -> rpc.Others:
    import grpc

    services: dict[str, dict[str, Any]] = {}
    for path, method in methods.items():
        _, service, name = path.split("/")
        services.setdefault(service, {})[name] = grpc.unary_unary_rpc_method_handler(_carried(method, carry))
    return [grpc.method_handlers_generic_handler(name, found) for name, found in services.items()]


def _carried(method: rpc.Method, carry: Carry) -> Any:
    async def carried(message: bytes, context: Any) -> bytes:
        return await carry(method, message, context)

    return carried


@functools.cache
def _codes() -> Mapping[int, Any]:
    import grpc

    return {code.value[0]: code for code in grpc.StatusCode}
