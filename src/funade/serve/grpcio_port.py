"""gRPC by grpcio, on the worker's own loop."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from funade.serve import rpc
from funade.serve.grpc_listener import Lent
from funade.serve.journal import Journal

if TYPE_CHECKING:
    import grpc


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
        self._lent: Lent | None = None
        self._calls: set[GrpcioCall] = set()
        self._work: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self) -> None:
        """Accept from now on."""
        if self._server is None and not self._stopping:
            self._server = server_of(_handlers(self._methods, self._carry), self._others, self._bounds)
            server = self._server
            self._lent = Lent(self._listener, lambda: self._open(server))
            self._do(server.start())

    def _open(self, server: Any) -> None:
        if self._certificate is None:
            server.add_insecure_port("127.0.0.1:0")
            return
        import grpc

        chain, key = (Path(path).read_bytes() for path in self._certificate)
        server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, chain)]))

    def stop(self) -> None:
        """Accept no more, send GOAWAY, finish what is begun."""
        if not self._stopping:
            self._stopping = True
            if self._lent is not None:
                self._lent.take_back()
            self._listener.close()
            if self._server is not None:
                self._do(self._server.stop(self._bounds.drain_s))

    def cut(self) -> None:
        """End what is left."""
        for call in list(self._calls):
            call.fail(rpc.UNAVAILABLE, "the server stops; ask again")

    @property
    def empty(self) -> bool:
        """Whether it was stopped and nothing is left."""
        return self._stopping and not self._work

    def _do(self, work: Awaitable[Any]) -> None:
        async def done() -> None:
            await work

        task = self._loop.create_task(done())
        self._work.add(task)
        task.add_done_callback(self._did)

    def _did(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._journal.event("defect", error=f"gRPC: {type(error).__name__}: {error}")

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
