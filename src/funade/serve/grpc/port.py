"""The gRPC port: grpcio's transport and checks, driven from the worker's loop in batches.

grpcio's Python servers take in one call at a time, each by several turns of a thread and a loop, so that no two calls
ever wait together for one call of an api's function. Here the loop empties the library's completion queue itself, with
the operations that grpcio's own ``grpc/_server.py`` is written with (``grpc._cython.cygrpc``; not a public interface:
``tests/serve/grpc/test_port.py`` tells when a release changes it).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

from grpc._cython import cygrpc

from funade.events import EventLog
from funade.serve import tls
from funade.serve.grpc import call as rpc
from funade.serve.grpc.pump import Pump
from funade.serve.grpc.relay import Relay
from funade.serve.grpc.stream import Stream, StreamMethods
from funade.serve.limits import Limits
from funade.serve.settings import ServerSettings

_LOOK_S = 0.01
_PENDING = 1_000_000
_READY = 256  # calls that the library may hand over without being asked again
_MOST = 1024
_MOST_STREAMS = 256  # open at once on one connection
_MOST_CALLS = 16 * 1024  # in progress at once
_ENDLESS_S = 1e9
_NOW = 0.0
_ASKED, _SHUT = "call", "shut"


class GrpcioCall:
    """A ``rpc.Call`` that grpcio carries; it leaves ``calls``, those in progress, when it is answered."""

    __slots__ = ("_call", "_calls", "_event", "done", "method")

    def __init__(self, event: Any, method: rpc.Method, calls: set[GrpcioCall]) -> None:
        self._event = event
        self._call = event.call
        self._calls = calls
        self.method = method
        self.done = False

    @property
    def path(self) -> str:
        """The method's name, as the client wrote it."""
        return str(self._event.call_details.method.decode("ascii", "replace"))

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
            answer = (
                cygrpc.SendInitialMetadataOperation((), 0),
                cygrpc.SendMessageOperation(message, 0),
                cygrpc.SendStatusFromServerOperation(metadata, cygrpc.StatusCode.ok, b"", 0),
            )
            self._call.start_server_batch(answer, None)
            self.done = True
            self._calls.discard(self)

    def fail(self, code: int, text: str, metadata: rpc.Metadata = ()) -> None:
        """End the call with a status."""
        if not self.done:
            self.done = True
            self._calls.discard(self)
            _refuse(self._call, code, text, metadata)


def _refuse(call: Any, code: int, text: str, metadata: rpc.Metadata = ()) -> None:
    status = cygrpc.SendStatusFromServerOperation(tuple(metadata), code, text.encode("utf-8", "replace"), 0)
    call.start_server_batch((cygrpc.SendInitialMetadataOperation((), 0), status), None)


class Port:
    """Methods carried over HTTP/2, also such that stream; every method of this class on the loop's thread.

    Connections wait in the listening socket's backlog while nobody accepts.

    Begun calls may go on for ``settings.drain_s`` seconds after ``stop``.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        events: EventLog,
        listener: socket.socket,
        methods: rpc.Methods,
        streams: StreamMethods,
        settings: ServerSettings,
    ) -> None:
        self._loop = loop
        self._events = events
        self._listener = listener
        self._methods = {path.encode(): method for path, method in methods.items()}
        self._stream_methods = {path.encode(): method for path, method in streams.items()}
        self._settings = settings
        self._relay: Relay | None = None
        self._calls: set[GrpcioCall] = set()
        self._streams: dict[asyncio.Future[Any], asyncio.Task[None]] = {}
        self._shut = loop.create_future()
        self._ending: asyncio.Task[None] | None = None
        self._queue: Any = None
        self._server: Any = None

    def start(self) -> None:
        """Accept from now on."""
        if self._relay is not None or self._ending is not None:
            return
        name = f"funade-{secrets.token_hex(16)}"
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server(_arguments(self._settings.limits), False)
        self._server.register_completion_queue(self._queue)
        self._server.add_http2_port(f"unix-abstract:{name}".encode())
        self._server.start(self._queue)
        for _ in range(_READY):
            self._ask()
        Pump(self._loop, self._wait, self._look, self._take).start()
        encrypted = _encrypting(self._settings) if self._settings.certificate else None
        most = self._settings.limits.connections
        self._relay = Relay(self._loop, self._listener, f"\0{name}", most=most, tls=encrypted)
        self._relay.start()

    # -- the library's events

    def _ask(self) -> None:
        """Ask the library for one more call."""
        if self._server is not None:
            self._server.request_call(self._queue, self._queue, _ASKED)

    def _wait(self) -> list[Any] | None:
        """On a thread of its own: the next event; None when the queue is closed."""
        event = self._queue.poll(None)
        return None if event.completion_type == cygrpc.CompletionType.queue_shutdown else [event]

    def _look(self) -> list[Any]:
        events: list[Any] = []
        poll, kinds = self._queue.poll, cygrpc.CompletionType
        none = (kinds.queue_timeout, kinds.queue_shutdown)
        while len(events) < _MOST:
            event = poll(_NOW)
            if event.completion_type in none:
                break
            events.append(event)
        return events

    def _take(self, events: list[Any]) -> None:
        for event in events:
            try:
                self._happened(event.tag, event)
            except Exception as error:  # one call's trouble is not its neighbours'
                self._defect(error)

    def _happened(self, tag: Any, event: Any) -> None:
        """One event, by what it was asked for with."""
        if tag is None:  # sent
            return
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

    def _defect(self, error: Exception) -> None:
        self._events.event("defect", error=f"gRPC: {type(error).__name__}: {error}")

    def _begin(self, event: Any) -> None:
        """A call came: ask for its message."""
        self._ask()
        method = self._methods.get(event.call_details.method)
        if method is None:
            self._begin_stream(event)
            return
        call = GrpcioCall(event, method, self._calls)
        event.call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(0),), (call,))
        if len(self._calls) >= _MOST_CALLS:
            call.fail(rpc.RESOURCE_EXHAUSTED, "too many calls are in progress; ask again")
            return
        self._calls.add(call)
        event.call.start_server_batch((cygrpc.ReceiveMessageOperation(0),), call)

    def _heard(self, call: GrpcioCall, message: bytes | None) -> None:
        if call.done:
            return
        if message is None:
            call.fail(rpc.UNIMPLEMENTED, f"`{call.path}` expected one message, got none")
            return
        try:
            call.method(message, call)
        except Exception as error:
            self._defect(error)
            call.fail(rpc.INTERNAL, "the server failed to answer; see its log")

    def _begin_stream(self, event: Any) -> None:
        """A call of a method that streams, or of none."""
        gone = self._loop.create_future()
        event.call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(0),), gone)
        method = self._stream_methods.get(event.call_details.method)
        if method is None:
            _refuse(event.call, rpc.UNIMPLEMENTED, "no such method here")
        elif len(self._streams) + len(self._calls) >= _MOST_CALLS:
            _refuse(event.call, rpc.RESOURCE_EXHAUSTED, "too many calls are in progress; ask again")
        else:
            self._streams[gone] = self._loop.create_task(self._stream(Stream(event.call, method, gone), gone))

    async def _stream(self, stream: Stream, gone: asyncio.Future[Any]) -> None:
        try:
            await stream.run()
        except Exception as error:
            self._defect(error)
        finally:
            del self._streams[gone]

    # -- the end

    def stop(self) -> None:
        """Accept no more; tell every client to go elsewhere (GOAWAY); calls begun are finished. May be called often."""
        if self._ending is None:
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        if self._relay is None:
            self._listener.close()
            return
        until = self._loop.time() + self._settings.drain_s
        while True:
            self._relay.stop()
            if self._relay.empty or self._loop.time() > until:
                break
            await asyncio.sleep(_LOOK_S)
        self._relay.cut()  # before the server: it would say CANCELLED, which no client asks again for
        server, self._server = self._server, None
        server.shutdown(self._queue, _SHUT)
        server.cancel_all_calls()
        await self._shut
        while self._streams:
            await asyncio.wait(list(self._streams.values()))
        server.destroy()
        self._queue.shutdown()

    def cut(self) -> None:
        """End what is left with UNAVAILABLE."""
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


def _encrypting(settings: ServerSettings) -> ssl.SSLContext:
    context = tls.context(settings.certificate, settings.key)
    context.set_alpn_protocols(["h2"])
    return context


def _arguments(limits: Limits) -> tuple[tuple[str, int], ...]:
    """The bounds as grpcio is told of them."""
    return (
        ("grpc.max_receive_message_length", limits.body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", _MOST_STREAMS),
        ("grpc.max_metadata_size", limits.head_bytes),
        ("grpc.absolute_max_metadata_size", limits.head_bytes),
        ("grpc.so_reuseport", 0),
        # Beyond these it cancels calls at random, everybody's; those that wait are bounded by ``_MOST_CALLS``.
        ("grpc.server.max_pending_requests", _PENDING),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING),
    )
