"""Connections of the gRPC port, passed on to a library that listens on a socket of its own.

A library that opens its own port cannot share the supervisor's, and one that stops fails calls that were on their way
when it said so. So the worker accepts, and passes bytes both ways. When a newer release takes over, each client is sent
GOAWAY between two frames: it begins nothing more here, what it began is finished, and it connects anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import cast

from funade.serve.listener import Listener

GOAWAY = b"\0\0\x08\x07\0\0\0\0\0" + b"\x7f\xff\xff\xff" + b"\0\0\0\0"
"""The frame that ends nothing and lets nothing begin: no error; streams begun so far go on."""
_HEAD = 9
_HEADING, _LAST = (1, 9), 4  # HEADERS and CONTINUATION; the flag of the last
_FIRST_S = 10.0
_AGAIN_S = 0.1


class Relay:
    """The connections of one worker; every method on the loop's thread.

    The library listens at ``path``. With ``most`` connections open at once, more wait in the backlog.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        path: str,
        *,
        most: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._loop = loop
        self._path = path
        self._tls = tls
        self._listener = Listener(listener, loop, self._accepted, most)
        self._making: set[asyncio.Task[None]] = set()
        self.connections: set[ClientEnd] = set()
        self.leaving = False
        self._again = 0.0

    def start(self) -> None:
        """Accept from now on."""
        self._listener.start()

    def stop(self) -> None:
        """Accept no more; send every client elsewhere. To be called often: one that just connects overhears it."""
        if not self.leaving:
            self.leaving = True
            self._listener.stop()
        now = self._loop.time()
        if now >= self._again:
            self._again = now + _AGAIN_S
            for connection in list(self.connections):
                connection.leave()

    def tick(self) -> None:
        """About once a second: accept again where there is room; close who said nothing in time."""
        self._listener.tick(len(self.connections))
        now = self._loop.time()
        for connection in list(self.connections):
            if not connection.heard and now - connection.since > _FIRST_S:
                connection.end()

    def cut(self) -> None:
        """Close what is left."""
        for connection in list(self.connections):
            connection.end()

    @property
    def empty(self) -> bool:
        """Whether no connection is left."""
        return not self.connections and not self._making

    def _accepted(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        making = self._loop.create_task(self._join(sock))
        self._making.add(making)
        making.add_done_callback(self._making.discard)

    async def _join(self, sock: socket.socket) -> None:
        far = LibraryEnd()
        near = ClientEnd(self, far)
        with contextlib.ExitStack() as unless_joined:
            unless_joined.callback(sock.close)
            try:
                behind = unless_joined.enter_context(socket.socket(socket.AF_UNIX))
                behind.setblocking(False)
                await self._loop.sock_connect(behind, self._path)
                await self._loop.create_unix_connection(lambda: far, sock=behind)
            except OSError:  # out of files, or the library is gone
                return
            unless_joined.pop_all()
        try:
            await self._loop.connect_accepted_socket(
                lambda: near, sock, ssl=self._tls, ssl_handshake_timeout=_FIRST_S if self._tls else None
            )
        except (OSError, ssl.SSLError):
            far.end()


class _End(asyncio.Protocol):
    """One end; what it hears is written to the other, as fast as that takes it."""

    other: _End
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        other = self.other.transport
        if other is not None:
            other.write(data)

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.other.end()

    def end(self) -> None:
        """Close, once what was written is sent."""
        if self.transport is not None:
            self.transport.close()


class LibraryEnd(_End):
    """The library's end. Knows where a frame of its ends: only there something may be put in."""

    def __init__(self) -> None:
        self._left = 0  # bytes of the present frame that are to come
        self._head = b""
        self._early = b""
        self._spoke = False
        self._heading = False  # nothing may stand between the parts of one head
        self._leave = False

    def catch_up(self) -> None:
        """Pass on what was heard before the client's end was open."""
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Pass on, and say what is to be said where a frame ends."""
        other = self.other.transport
        if other is None:
            self._early += data  # a few settings: the client's end is not open yet, or not any more
            return
        if self._leave:
            self._leave = not self._say(other, data)
            return
        self._follow(data)
        other.write(data)

    def leave(self) -> None:
        """Send GOAWAY before the next frame."""
        if not self._spoke or not self._whole():  # the first frame of all has to be the library's own
            self._leave = True
        elif self.other.transport is not None:
            self.other.transport.write(GOAWAY)

    def _say(self, other: asyncio.Transport, data: bytes) -> bool:
        """Write the data, with GOAWAY where the present frame ends; whether it ended."""
        while data and not (self._spoke and self._whole()):
            need = self._left or _HEAD - len(self._head)
            piece, data = data[:need], data[need:]
            self._follow(piece)
            other.write(piece)
        if not self._whole():
            return False
        other.write(GOAWAY)
        self._follow(data)
        other.write(data)
        return True

    def _whole(self) -> bool:
        return not self._left and not self._head and not self._heading

    def _follow(self, data: bytes) -> None:
        """Walk over the frames in the data."""
        self._spoke = True
        if self._head:
            data = self._head + data
        at, last, size = self._left, -1, len(data)
        while at + _HEAD <= size:
            last = at
            at += _HEAD + (data[at] << 16 | data[at + 1] << 8 | data[at + 2])
        if last >= 0:
            self._heading = data[last + 3] in _HEADING and not data[last + 4] & _LAST
        self._left = max(0, at - size)
        self._head = data[at:]


class ClientEnd(_End):
    """The client's end."""

    def __init__(self, relay: Relay, far: LibraryEnd) -> None:
        self.heard = False
        self.since = relay._loop.time()
        self._relay = relay
        self._far = far
        self.other = far
        far.other = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open: counted from now on."""
        super().connection_made(transport)
        self._relay.connections.add(self)
        if self._far.transport is None:
            self.end()
        else:
            if self._relay.leaving:
                self.leave()
            self._far.catch_up()

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        self.heard = True
        other = self._far.transport
        if other is not None:
            other.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        """Closed."""
        self._relay.connections.discard(self)
        super().connection_lost(error)

    def leave(self) -> None:
        """Send the client elsewhere."""
        self._far.leave()
