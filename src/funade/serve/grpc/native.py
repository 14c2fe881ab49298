"""gRPC by pygrpc-native: HTTP/2 on a thread of its own outside the interpreter, calls in batches.

It tells no client to go elsewhere before it closes, and bounds no message while it arrives: see docs/grpc.md.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from funade.events import EventLog
from funade.serve.grpc import port as rpc
from funade.serve.grpc.grpcio import server_of
from funade.serve.grpc.native_socket import Lent

if TYPE_CHECKING:
    from pygrpc_native import NativeGrpcFront

_BATCH = 1024
_CALL = 0
_LINGER_S = 1.0
_HOLD_S = 0.25
_FLUSH_S = 0.03

Details = tuple[tuple[tuple[str, "str | bytes"], ...], str, "float | None"]


class NativeCall:
    """One call that pygrpc-native carries; see ``rpc.Call``."""

    __slots__ = ("_details", "_number", "_port", "done")

    def __init__(self, port: NativePort, number: int, details: Details) -> None:
        self._port = port
        self._number = number
        self._details = details
        self.done = False

    @property
    def within_s(self) -> float | None:
        """Seconds left when the call arrived; None without a deadline."""
        return self._details[2]

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the client said besides the message."""
        return {key: value for key, value in self._details[0] if isinstance(value, str)}

    def reply(self, message: bytes, metadata: rpc.Metadata = ()) -> None:
        """End the call well."""
        if not self.done:
            self.done = True
            self._port.ended(self._number)
            self._port.front.respond(self._number, message, None, metadata)

    def fail(self, code: int, text: str, metadata: rpc.Metadata = ()) -> None:
        """End the call with a status."""
        if not self.done:
            self.done = True
            self._port.ended(self._number)
            self._port.front.fail(self._number, code, text, metadata)


class NativePort:
    """A ``rpc.Port``.

    Streaming methods go to a server of grpcio's behind it.

    Args:
        loop: the worker's.
        journal: the server's log.
        methods: what is carried.
        others: methods that stream.
        listener: the supervisor's listening socket.
        bounds: what a client may have.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        events: EventLog,
        methods: rpc.Methods,
        others: rpc.Others,
        listener: socket.socket,
        bounds: rpc.PortBounds,
    ) -> None:
        self._loop = loop
        self._events = events
        self._paths = [(path, False) for path in methods]
        self._methods = list(methods.values())
        self._others = others
        self._listener = listener
        self._bounds = bounds
        self._lent: Lent | None = None
        self._calls: dict[int, NativeCall] = {}
        self._behind: Any = None
        self._folder = ""
        self._opening: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._holding = False
        self._replied = 0.0
        self.front: NativeGrpcFront

    def start(self) -> None:
        """Accept from now on."""
        if self._opening is None and self._ending is None:
            self._lent = Lent(self._listener, self._open)
            self._opening = self._loop.create_task(self._begin())

    def _open(self) -> None:
        from pygrpc_native import NativeGrpcFront

        self.front = NativeGrpcFront(
            "127.0.0.1:0",
            self._paths,
            io_threads=1,
            call_details=True,
            max_concurrent_streams=self._bounds.streams,
            max_metadata_size=self._bounds.metadata_bytes,
        )

    async def _begin(self) -> None:
        if self._others:
            self._folder = tempfile.mkdtemp(prefix="funade-grpc-")
            path = str(Path(self._folder) / "behind.sock")
            self._behind = server_of(self._others, self._bounds)
            self._behind.add_insecure_port(f"unix:{path}")
            await self._behind.start()
            self.front.set_fallback(path)
        self.front.start()
        threading.Thread(target=self._receive, args=(self.front,), daemon=True, name="funade-grpc").start()

    def _receive(self, front: NativeGrpcFront) -> None:
        """On a thread of its own: wait without the interpreter, give the loop whole batches."""
        while (events := front.recv_batch_details(_BATCH)) is not None:
            self._loop.call_soon_threadsafe(self._take, events)

    def _take(self, events: Sequence[Any]) -> None:
        calls, methods = self._calls, self._methods
        for kind, number, method, message, _, details in events:
            if kind != _CALL:
                if (gone := calls.pop(number, None)) is not None:
                    gone.done = True
                continue
            if self._holding:  # closing ends it with UNAVAILABLE, and its client asks the newer release
                continue
            call = calls[number] = NativeCall(self, number, details)
            if len(message) > self._bounds.message_bytes or len(calls) > self._bounds.calls:
                self._refuse(call, len(message))
                continue
            try:
                methods[method](message, call)
            except Exception as error:
                self._events.event("defect", error=f"gRPC: {type(error).__name__}: {error}")
                call.fail(rpc.INTERNAL, "the server failed to answer; see its log")

    def _refuse(self, call: NativeCall, length: int) -> None:
        if length > self._bounds.message_bytes:
            what = f"message of {length} bytes is larger than the {self._bounds.message_bytes} that are taken"
        else:
            what = "too many calls are in progress; ask again"
        call.fail(rpc.RESOURCE_EXHAUSTED, what)

    def ended(self, number: int) -> None:
        """A call is being answered."""
        self._calls.pop(number, None)
        if self._ending is not None:
            self._replied = time.monotonic()

    def stop(self) -> None:
        """Accept no more; close when what is begun is finished."""
        if self._ending is None:
            if self._lent is not None:
                self._lent.take_back()
            self._listener.close()
            self._ending = self._loop.create_task(self._end())

    async def _end(self) -> None:
        if self._opening is None:
            return
        await self._opening
        begun = list(self._calls.values())
        until = time.monotonic() + min(_LINGER_S, self._bounds.drain_s)
        while time.monotonic() < until and not all(call.done for call in begun):
            await asyncio.sleep(0.01)
        until = time.monotonic() + _HOLD_S
        while time.monotonic() < until and (self._calls or time.monotonic() - self._replied < _FLUSH_S):
            self._holding = True
            await asyncio.sleep(0.002)
        self._close()
        if self._behind is not None:
            await self._behind.stop(None)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        for call in self._calls.values():
            call.done = True
        self._calls.clear()
        self.front.close()

    def cut(self) -> None:
        """End what is left."""
        for call in list(self._calls.values()):
            call.fail(rpc.UNAVAILABLE, "the server stops; ask again")

    def tick(self) -> None:
        """About a second went by."""

    @property
    def empty(self) -> bool:
        """Whether it was stopped and nothing is left."""
        return self._ending is not None and self._ending.done()
