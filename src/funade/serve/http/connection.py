"""HTTP/1.1 on one connection: requests answered in their order, and the connection handed on or closed."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import cast

from funade.serve.answer.admit import admit
from funade.serve.http.exchange import Exchange
from funade.serve.http.head import Head, HeadCache, KnownHead
from funade.serve.http.reader import RequestReader
from funade.serve.http.response import CLOSE, CONTINUE, KEEP
from funade.serve.http.shared import HttpShared

_PIECE = 8 * 1024
"""Bytes parsed at once, or the rest of a body: past the bound of pipelined requests no more than these are begun."""

_FIRST_S = 1.0
"""Seconds, or up to one less, that a new encrypted connection has for its first request while the worker ends."""

_STOPPING = "the server is stopping; try again"


class Connection(asyncio.Protocol):
    """One client; it is among the ``opened`` while it is connected.

    ``unread`` was read from this connection by another worker and not answered.
    """

    def __init__(self, shared: HttpShared, opened: set[Connection], unread: bytes = b"") -> None:
        self._shared = shared
        self._opened = opened
        self._unread = unread
        self._reader = RequestReader(shared, self)
        self._transport: asyncio.Transport
        self._waiting: deque[Exchange] = deque()
        self._first = b""
        self._later = b""
        self._held = 0
        self._ended = False
        self._last_asked = False
        self._leaving = False
        self._paused = False
        self._answered = False
        self._stalled = 0.0

    # -- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with what another worker had read."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        shared = self._shared
        self._reader.since = shared.now
        self._opened.add(self)
        unread, self._unread = self._unread, b""
        if unread:
            self.data_received(unread)
        if shared.handing:
            shared.loop.call_soon(self.leave)
        elif shared.responses.closing:
            shared.loop.call_soon(self.shut)

    def data_received(self, data: bytes) -> None:
        """Parse what came; whole requests in it are begun, as many as may wait."""
        most, start, reader = self._shared.limits.pipelined, 0, self._reader
        while start < len(data) and not reader.deaf:
            if len(self._waiting) >= most:
                self._pause(data[start:])
                return
            if not reader.begun and (known := self._known(data, start)) > start:
                start = known
                continue
            in_body = reader.begun and not reader.in_head
            end = start + (max(_PIECE, reader.head.length - reader.size) if in_body else _PIECE)
            rest = reader.feed(data[start:end])
            data, start = (rest + data[end:], 0) if rest else (data, end)

    def _known(self, data: bytes, start: int) -> int:
        """Begin the request at ``start`` if its head came before, byte for byte; returns where what follows begins."""
        end = data.find(b"\r\n\r\n", start, start + HeadCache.LONGEST) + 4
        head = data[start:end] if end > 3 else b""
        shared = self._shared
        known = shared.heads.get(head)
        if known is None or len(data) < end + known.size:
            self._first = head
            return start
        exchange = Exchange(shared.responses, self.flush, b"", known.within_s)
        self._waiting.append(exchange)
        admit(shared.runtime, known.api, exchange, data[end : end + known.size])
        return end + known.size

    def eof_received(self) -> bool:
        """The client has closed: whoever gave up is not worked for, so that retries do not pile up."""
        self._ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more: what is not begun is not started."""
        self._reader.close()
        self.hold(0)
        self._drop()
        self._opened.discard(self)

    def pause_writing(self) -> None:
        """The client does not read: read nothing more of it either."""
        self._stalled = self._shared.now
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._stalled = 0.0
        if self._later and not self._paused:
            self._go_on()
        else:
            self._resume()

    # -- the reader's calls

    def receive(self, head: Head, body: bytes, *, keep: bool) -> None:
        """Begin a request that is whole; without ``keep`` it is the client's last."""
        if self._held:
            self.hold(0)
        first, self._first = self._first, b""
        ending = CLOSE if not keep else KEEP if head.version == "1.0" else b""
        shared = self._shared
        exchange = Exchange(shared.responses, self.flush, ending, head.within_s, head=head.method == b"HEAD")
        self._waiting.append(exchange)
        if not keep:
            self._reader.deaf = self._last_asked = True
        path = head.path()
        api = shared.routes.apis.get(path) if head.method == b"POST" else None
        if api is None:
            shared.routes.respond(exchange, head, path, body)
            return
        if not shared.routes.may("predict", exchange, head):
            return
        refusal = head.wrong_content()
        if refusal is not None:
            shared.runtime.recorder.refuse(api, exchange, *refusal)
            return
        if first and not ending and not head.expect and head.length == len(body):
            shared.heads.learn(first, KnownHead(api, len(body), head.within_s))
        admit(shared.runtime, api, exchange, body)

    def proceed(self) -> None:
        """Have the client send the body; behind a response due, one that waits gets on by its own timer."""
        if not self._waiting:
            self._transport.write(CONTINUE)

    def hold(self, size: int) -> None:
        """Count what is held of this client's bytes; with too many of all clients' it is refused."""
        shared = self._shared
        shared.held += size - self._held
        self._held = size
        if size and shared.held > shared.limits.held_bytes:
            self.reject(503, "too many large requests at once; try again")

    def reject(self, status: int, error: str) -> None:
        """Respond to what is no good request, after the responses due, and hear no more."""
        self._reader.deaf = True
        shared = self._shared
        exchange = Exchange(shared.responses, self.flush, CLOSE, head=self._reader.head.method == b"HEAD")
        self._waiting.append(exchange)
        self.hold(0)
        shared.runtime.recorder.refuse("", exchange, status, error)

    # -- responses

    def flush(self) -> None:
        """Write every response whose turn has come."""
        waiting = self._waiting
        if not waiting or not waiting[0].response:
            return
        if self._transport.is_closing():
            self._drop()
            return
        ready = [waiting.popleft()]
        while waiting and waiting[0].response and not ready[-1].last:
            ready.append(waiting.popleft())
        self._transport.write(ready[0].response if len(ready) == 1 else b"".join([e.response for e in ready]))
        shared = self._shared
        self._reader.since = shared.now
        self._answered = True
        if ready[-1].last:
            self._finish()
        elif self._paused and len(waiting) < shared.limits.pipelined:
            self._paused = False
            shared.loop.call_soon(self._go_on)
        elif self._leaving:
            shared.loop.call_soon(self.leave)

    def _finish(self) -> None:
        """Close; a client that may still be sending is heard out for a moment, else it might not read the response."""
        self._reader.deaf = True
        self._drop()
        if self._last_asked or self._ended or self._transport.is_closing() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._shared.loop.call_later(self._shared.limits.linger_s, self._transport.abort)

    def _drop(self) -> None:
        for exchange in self._waiting:
            exchange.done = True
            if exchange.timer is not None:
                exchange.timer.cancel()
        self._waiting.clear()

    def _pause(self, later: bytes) -> None:
        """As many requests wait as may: what else came is parsed when some are answered."""
        self._paused = True
        self._transport.pause_reading()
        self._later = later
        self.hold(self._reader.size + len(later))

    def _go_on(self) -> None:
        if self._reader.deaf or self._stalled:
            return
        later, self._later = self._later, b""
        self.hold(self._reader.size)
        self.data_received(later)
        if self._leaving:
            self.leave()
        else:
            self._resume()

    def _resume(self) -> None:
        leaving = self._leaving and self._reader.movable
        if not (self._paused or self._stalled or leaving or self._transport.is_closing()):
            self._transport.resume_reading()

    # -- leaving and closing

    def leave(self) -> None:
        """Hand the connection over at its next message boundary, which may be now."""
        if not self._shared.handing:
            return
        self._leaving = True
        if self._transport.is_closing() or self._ended or self._reader.deaf or self._later:
            return
        if not self._reader.movable:
            self._resume()
            return
        self._transport.pause_reading()  # what comes now is for the next release
        if not self._waiting and not self._transport.get_write_buffer_size():
            self._hand()

    def _hand(self) -> None:
        try:
            file = os.dup(self._transport.get_extra_info("socket").fileno())
        except OSError:  # out of files: the client has to connect again
            self._transport.close()
            return
        self._reader.deaf = True
        self._transport.close()
        self._shared.hand(file, self._reader.unread)

    def shut(self) -> None:
        """Close when nothing is being answered or received; else after it.

        A client that has only just encrypted its connection is about to ask: its first request is waited for a moment.
        """
        if not (self._waiting or self._reader.begun or self._later):
            waited_s = self._shared.loop.time() - self._reader.since
            if self._answered or self._shared.tls is None or waited_s > _FIRST_S:
                self._transport.close()
        elif self._leaving:
            self._leaving = False
            self._resume()

    def cut(self) -> None:
        """The drain is over: what is not answered gets a 503."""
        for exchange in list(self._waiting):
            if not exchange.done:
                exchange.last = True
                api = exchange.api.name if exchange.rows else ""  # a page's has none
                self._shared.runtime.recorder.refuse(api, exchange, 503, _STOPPING)
        if self._reader.begun and not self._reader.deaf:
            self.reject(503, _STOPPING)
        self._transport.close()

    def sweep(self, now: float) -> None:
        """End a client that is too slow; called about every second."""
        limits, reader = self._shared.limits, self._reader
        stalled = self._stalled or (reader.since if self._transport.is_closing() else now)
        if now - stalled > limits.write_s:
            self._transport.abort()
        elif reader.deaf or self._waiting:
            return
        elif reader.begun:
            if now - reader.since > (limits.head_s if reader.in_head else limits.body_s):
                self.reject(408, "request expected to be sent faster")
        elif now - reader.since > limits.idle_s:
            self._transport.close()
