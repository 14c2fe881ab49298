"""gRPC by grpcio: its transport and checks, driven from the worker's loop in batches.

grpcio's Python servers take in one call at a time, each by several turns of a thread and a loop, so that no two calls
ever wait together for one call of an api's function. Here the loop empties the library's completion queue itself, with
the operations that grpcio's own ``grpc/_server.py`` is written with (``grpc._cython.cygrpc``; not a public interface:
``tests/serve/test_grpc_ports.py`` tells when a release changes it).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

from funade.events import EventLog
from funade.serve import tls
from funade.serve.grpc import port as rpc
from funade.serve.grpc.grpcio_stream import Stream, handler_of
from funade.serve.grpc.pump import Pump
from funade.serve.grpc.relay import Relay

_LOOK_S = 0.01
_PENDING = 1_000_000
_READY = 256  # calls that the library may hand over without being asked again
_MOST = 1024
_ENDLESS_S = 1e9
_NOW = 0.0
_ASKED, _SHUT = "call", "shut"


class GrpcioCall:
    """One call that grpcio carries; see ``rpc.Call``."""

    __slots__ = ("_call", "_event", "_port", "done", "method")

    def __init__(self, port: GrpcioPort, event: Any, method: rpc.Method) -> None:
        self._port = port
        self._event = event
        self._call = event.call
        self.method = method
        self.done = False

    @property
    def within_s(self) -> float | None:
        """Seconds left when asked; None without a deadline."""
        left: float = self._event.call_details.deadline - time.time()
        return max(left, 0.0) if left < _ENDLESS_S else None

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the client said besides the message."""
        return {key: value for key, value in self._event.invocation_metadata or () if isinstance(value, str)}

    def reply(self, message: bytes, metadata: rpc.Metadata = ()) -> None:
        """End the call well."""
        if not self.done:
            self._port.send(self, self._call, message, metadata)
            self.done = True

    def fail(self, code: int, text: str, metadata: rpc.Metadata = ()) -> None:
        """End the call with a status."""
        if not self.done:
            self.done = True
            self._port.refuse(self, self._call, code, text, metadata)


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
        events: EventLog,
        methods: rpc.Methods,
        others: rpc.Others,
        listener: socket.socket,
        bounds: rpc.PortBounds,
        *,
        certificate: tuple[str, str] | None = None,
    ) -> None:
        self._loop = loop
        self._events = events
        self._methods = {path.encode(): method for path, method in methods.items()}
        self._others = others
        self._listener = listener
        self._bounds = bounds
        self._certificate = certificate
        self._relay: Relay | None = None
        self._calls: set[GrpcioCall] = set()
        self._streams: dict[asyncio.Future[Any], asyncio.Task[None]] = {}
        self._shut = loop.create_future()
        self._ending: asyncio.Task[None] | None = None
        self._ops: Any = None
        self._queue: Any = None
        self._server: Any = None

    def start(self) -> None:
        """Accept from now on."""
        if self._relay is not None or self._ending is not None:
            return
        from grpc._cython import cygrpc

        self._ops = cygrpc
        name = f"funade-{secrets.token_hex(16)}"
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(options(self._bounds), False)
        self._server.register_completion_queue(self._queue)
        self._server.add_http2_port(f"unix-abstract:{name}".encode())
        self._server.start(self._queue)
        for _ in range(_READY):
            self._server.request_call(self._queue, self._queue, _ASKED)
        Pump(self._loop, self._wait, self._look, self._take).start()
        encrypted = _encrypting(*self._certificate) if self._certificate else None
        self._relay = Relay(self._loop, self._listener, f"\0{name}", most=self._bounds.connections, tls=encrypted)
        self._relay.start()

    # -- the library's events

    def _wait(self) -> list[Any] | None:
        """On a thread of its own: the next event; None when the queue is closed."""
        event = self._queue.poll(None)
        return None if event.completion_type == self._ops.CompletionType.queue_shutdown else [event]

    def _look(self) -> list[Any]:
        events: list[Any] = []
        poll, kinds = self._queue.poll, self._ops.CompletionType
        none = (kinds.queue_timeout, kinds.queue_shutdown)
        while len(events) < _MOST:
            event = poll(_NOW)
            if event.completion_type in none:
                break
            events.append(event)
        return events

    def _take(self, events: list[Any]) -> None:
        for event in events:
            tag = event.tag
            try:
                if tag is None:  # sent
                    continue
                if type(tag) is GrpcioCall:
                    self._heard(tag, event.batch_operations[0].message())
                elif type(tag) is tuple:  # answered, or the client is gone, or its deadline is over
                    tag[0].done = True
                    self._calls.discard(tag[0])
                elif tag is _ASKED:
                    if event.success:
                        self._begin(event)
                elif tag is _SHUT:
                    self._shut.set_result(None)
                elif not tag.done():
                    tag.set_result(event)
            except Exception as error:  # one call's trouble is not its neighbours'
                self._defect(error)

    def _defect(self, error: Exception) -> None:
        self._events.event("defect", error=f"gRPC: {type(error).__name__}: {error}")

    def _begin(self, event: Any) -> None:
        """A call came: ask for its message."""
        ops = self._ops
        if not self._shut.done():
            self._server.request_call(self._queue, self._queue, _ASKED)
        method = self._methods.get(event.call_details.method)
        if method is None:
            self._other(event)
            return
        call = GrpcioCall(self, event, method)
        event.call.start_server_batch((ops.ReceiveCloseOnServerOperation(0),), (call,))
        if len(self._calls) >= self._bounds.calls:
            call.fail(rpc.RESOURCE_EXHAUSTED, "too many calls are in progress; ask again")
            return
        self._calls.add(call)
        event.call.start_server_batch((ops.ReceiveMessageOperation(0),), call)

    def _heard(self, call: GrpcioCall, message: bytes | None) -> None:
        if call.done:
            return
        if message is None:
            call.fail(rpc.UNIMPLEMENTED, f"`{_path(call)}` expected one message, got none")
            return
        try:
            call.method(message, call)
        except Exception as error:
            self._defect(error)
            call.fail(rpc.INTERNAL, "the server failed to answer; see its log")

    def _other(self, event: Any) -> None:
        """A method that streams, or none."""
        gone = self._loop.create_future()
        event.call.start_server_batch((self._ops.ReceiveCloseOnServerOperation(0),), gone)
        path = event.call_details.method.decode("ascii", "replace")
        handler = handler_of(self._others, path, event.invocation_metadata)
        if handler is None:
            self._end_call(event.call, rpc.UNIMPLEMENTED, "no such method here", ())
        elif len(self._streams) + len(self._calls) >= self._bounds.calls:
            self._end_call(event.call, rpc.RESOURCE_EXHAUSTED, "too many calls are in progress; ask again", ())
        else:
            self._streams[gone] = self._loop.create_task(self._stream(Stream(event.call, handler, gone), gone))

    async def _stream(self, stream: Stream, gone: asyncio.Future[Any]) -> None:
        try:
            await stream.run()
        except Exception as error:
            self._defect(error)
        finally:
            del self._streams[gone]

    # -- answers

    def send(self, call: GrpcioCall, to: Any, message: bytes, metadata: rpc.Metadata) -> None:
        """End a call well."""
        ops = self._ops
        to.start_server_batch(
            (
                ops.SendInitialMetadataOperation((), 0),
                ops.SendMessageOperation(message, 0),
                ops.SendStatusFromServerOperation(metadata, ops.StatusCode.ok, b"", 0),
            ),
            None,
        )
        self._calls.discard(call)

    def refuse(self, call: GrpcioCall, to: Any, code: int, text: str, metadata: rpc.Metadata) -> None:
        """End a call with a status."""
        self._calls.discard(call)
        self._end_call(to, code, text, metadata)

    def _end_call(self, to: Any, code: int, text: str, metadata: rpc.Metadata) -> None:
        ops = self._ops
        said = ops.SendStatusFromServerOperation(tuple(metadata), code, text.encode("utf-8", "replace"), 0)
        to.start_server_batch((ops.SendInitialMetadataOperation((), 0), said), None)

    # -- the end

    def stop(self) -> None:
        """Accept no more, send GOAWAY, finish what is begun."""
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        if self._relay is None:
            self._listener.close()
            return
        until = self._loop.time() + self._bounds.drain_s
        while True:
            self._relay.stop()
            if self._relay.empty or self._loop.time() > until:
                break
            await asyncio.sleep(_LOOK_S)
        self._relay.cut()  # before the server: it would say CANCELLED, which no client asks again for
        self._server.shutdown(self._queue, _SHUT)
        self._server.cancel_all_calls()
        await self._shut
        while self._streams:
            await asyncio.wait(list(self._streams.values()))
        self._server.destroy()
        self._queue.shutdown()

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


def _path(call: GrpcioCall) -> str:
    return str(call._event.call_details.method.decode("ascii", "replace"))


def _encrypting(certificate: str, key: str) -> ssl.SSLContext:
    made = tls.context(certificate, key)
    made.set_alpn_protocols(["h2"])
    return made


def options(bounds: rpc.PortBounds) -> tuple[tuple[str, int], ...]:
    """Bounds as grpcio is told of them."""
    return (
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
