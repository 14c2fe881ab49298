"""HTTP/1.1 on one connection: requests parsed, answered in their order, and the connection handed on or closed."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import httptools

from funade.errors import ContractViolation
from funade.serve.answer.batcher import Batcher
from funade.serve.http import head as request
from funade.serve.http.exchange import Exchange
from funade.serve.http.head import HeadCache, KnownHead
from funade.serve.http.response import CLOSE, CONTINUE, KEEP, error_json

if TYPE_CHECKING:
    from funade.serve.http.door import HttpDoor

_MOST_UNREAD = 64 * 1024
"""Bytes of a half-received request that travel to another worker; a longer one is finished here."""

_PIECE = 8 * 1024
"""Bytes parsed at once, or the rest of a body: past the bound of pipelined requests no more than these are begun."""

_FIRST_S = 1.0
"""Seconds, or up to one less, that a new encrypted connection has for its first request while the worker ends."""


class Connection(asyncio.Protocol):
    """One client.

    Args:
        door: what all connections of the worker share.
        unread: bytes another worker read from this connection and did not answer.
    """

    def __init__(self, door: HttpDoor, unread: bytes = b"") -> None:
        self.door = door
        self._unread = unread
        self._later = b""
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[Exchange] = deque()
        self._head = request.Head()
        self._first = b""
        self._body = b""
        self._more: list[bytes] | None = None
        self._size = 0
        self._begun = False
        self._in_head = False
        self._message_bytes = 0
        self._held = 0
        self._raw: list[bytes] | None = []
        self._completed = 0
        self._deaf = False
        self._ended = False
        self._last_asked = False
        self._leaving = False
        self._paused = False
        self._answered = False
        self._since = 0.0
        self._stalled = 0.0

    # -- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, with what another worker had read."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._since = self.door.now
        self.door.connections.add(self)
        unread, self._unread = self._unread, b""
        if unread:
            self.data_received(unread)
        if self.door.handing:
            self.door.loop.call_soon(self.leave)
        elif self.door.closing:
            self.door.loop.call_soon(self.shut)

    def data_received(self, data: bytes) -> None:
        """Parse what came; whole requests in it are begun, as many as may wait."""
        most, start = self.door.limits.pipelined, 0
        while start < len(data) and not self._deaf:
            if len(self._waiting) >= most:
                self._pause(data[start:])
                return
            if not self._begun and (known := self._known(data, start)) > start:
                start = known
                continue
            in_body = self._begun and not self._in_head
            end = start + (max(_PIECE, self._head.length - self._size) if in_body else _PIECE)
            rest = self._feed(data[start:end])
            data, start = (rest + data[end:], 0) if rest else (data, end)

    def _known(self, data: bytes, start: int) -> int:
        """Begin the request at ``start`` if its head came before, byte for byte; returns where what follows begins."""
        end = data.find(b"\r\n\r\n", start, start + HeadCache.LONGEST) + 4
        head = data[start:end] if end > 3 else b""
        known = self.door.heads.get(head)
        if known is None or len(data) < end + known.size:
            self._first = head
            return start
        exchange = Exchange(self, b"")
        self._waiting.append(exchange)
        self._ask(exchange, known.batcher, data[end : end + known.size], known.within_s)
        return end + known.size

    def eof_received(self) -> bool:
        """The client has closed: whoever gave up is not worked for, so that retries do not pile up."""
        self._ended = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits any more: what is not begun is not started."""
        self._deaf = True
        self._hold(0)
        self._drop()
        self._parser = None  # it holds this connection
        self.door.connections.discard(self)

    def pause_writing(self) -> None:
        """The client does not read: read nothing more of it either."""
        self._stalled = self.door.now
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._stalled = 0.0
        if self._later and not self._paused:
            self._go_on()
        else:
            self._resume()

    # -- the parser's calls

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begun = self._in_head = True
        self._head = request.Head()
        self._since = self.door.now

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        head = self._head
        head.url = head.url + url if head.url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header."""
        if self._in_head:  # a chunked body's trailers count for nothing
            self._head.take(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: refuse what is hopeless before its body comes."""
        self._in_head = False
        if self._deaf:
            return
        head = self._head
        head.method = self._parser.get_method()
        head.version = self._parser.get_http_version()
        if self._parser.should_upgrade() and head.has_body and head.method != b"CONNECT":
            self._unread = head.plain()
            return
        refusal = head.refusal(self.door.limits, self.door.hosts)
        if refusal is not None:
            self.reject(*refusal)
        elif head.expect:
            self._continue()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._deaf:
            return
        self._size += len(body)
        if self._size > self.door.limits.body_bytes:
            self.reject(413, f"body expected at most {self.door.limits.body_bytes} bytes, got more; send fewer rows")
        elif self._size == len(body):
            self._body = body
        elif self._more is None:
            self._more = [self._body, body]
        else:
            self._more.append(body)

    def on_message_complete(self) -> None:
        """The request is whole: begin it."""
        if self._deaf:
            return
        self._begun = False
        if self._unread:
            return  # the parser takes its body for another protocol
        self._completed += 1
        body = self._body if self._more is None else b"".join(self._more)
        self._body, self._more, self._size, self._message_bytes = b"", None, 0, 0
        if self._held:
            self._hold(0)
        self._dispatch(body)

    # -- requests and responses

    def _dispatch(self, body: bytes) -> None:
        head, keep, first = self._head, self._parser.should_keep_alive(), self._first
        self._first = b""
        ending = CLOSE if not keep else KEEP if head.version == "1.0" else b""
        exchange = Exchange(self, ending, head=head.method == b"HEAD")
        self._waiting.append(exchange)
        if not keep:
            self._deaf = self._last_asked = True
        path = head.path()
        batcher = self.door.routes.posts.get(path) if head.method == b"POST" else None
        if batcher is None:
            self.door.routes.respond(exchange, head, path, body)
            return
        if not self.door.routes.may_ask(exchange, head):
            return
        wrong = head.wrong_content()
        if wrong is not None:
            self.door.runtime.meter.refused(batcher.api.name, wrong[0])
            exchange.refuse(*wrong)
            return
        if first and not ending and not head.expect and head.length == len(body):
            self.door.heads.learn(first, KnownHead(batcher, len(body), head.within_s))
        self._ask(exchange, batcher, body, head.within_s)

    def _ask(self, exchange: Exchange, batcher: Batcher, body: bytes, within_s: float | None) -> None:
        api = exchange.api = batcher.api
        try:
            exchange.rows, exchange.single = api.decode(body)
        except ContractViolation as error:
            self.door.runtime.meter.refused(api.name, 422)
            exchange.refuse(422, error.what, str(error.facts.get("path", "$")))
        except Exception as error:
            self.door.events.failed(api.name, error)
            self.door.runtime.meter.refused(api.name, 500)
            exchange.refuse(500, f"api `{api.name}` could not read the request; see the server's log")
        else:
            batcher.add(exchange, within_s)

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
        self._transport.write(ready[0].response if len(ready) == 1 else b"".join(e.response for e in ready))
        self._since = self.door.now
        self._answered = True
        if ready[-1].last:
            self._finish()
        elif self._paused and len(waiting) < self.door.limits.pipelined:
            self._paused = False
            self.door.loop.call_soon(self._go_on)
        elif self._leaving:
            self.door.loop.call_soon(self.leave)

    def reject(self, status: int, error: str) -> None:
        """Respond to what is no good request, after the responses due, and hear no more."""
        self._deaf = True
        exchange = Exchange(self, CLOSE, head=self._head.method == b"HEAD")
        self._waiting.append(exchange)
        self._hold(0)
        self.door.runtime.meter.refused("", status)
        exchange.page(status, error_json(error))

    def _continue(self) -> None:
        if not self._waiting:
            self._transport.write(CONTINUE)  # behind a response due, a client that waits gets on by its own timer

    def _finish(self) -> None:
        """Close; a client that may still be sending is heard out for a moment, else it might not read the response."""
        self._deaf = True
        self._drop()
        if self._last_asked or self._ended or self._transport.is_closing() or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self.door.loop.call_later(self.door.limits.linger_s, self._transport.abort)

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
        self._hold(self._size + len(later))

    def _go_on(self) -> None:
        if self._deaf or self._stalled:
            return
        later, self._later = self._later, b""
        self._hold(self._size)
        self.data_received(later)
        if self._leaving:
            self.leave()
        else:
            self._resume()

    def _resume(self) -> None:
        leaving = self._leaving and self._movable
        if not (self._paused or self._stalled or leaving or self._transport.is_closing()):
            self._transport.resume_reading()

    def _hold(self, size: int) -> None:
        """Count what is held of this client's bytes; with too many of all clients' it is refused."""
        self.door.held += size - self._held
        self._held = size
        if size and self.door.held > self.door.limits.held_bytes:
            self.reject(503, "too many large requests at once; try again")

    def _feed(self, data: bytes) -> bytes:
        """Parse; returns what is to be parsed yet."""
        completed = self._completed
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            return self._restart(data[error.args[0] :])
        except httptools.HttpParserError as error:
            if not self._deaf:
                self.reject(*request.reason(error))
            return b""
        if self._deaf:
            return b""
        if self._begun:
            self._partial(data, fresh=self._completed == completed)
        elif self._raw != []:
            self._raw = []
        return b""

    def _restart(self, rest: bytes) -> bytes:
        """The request asked for another protocol, which it does not get: go on as if it had not asked."""
        self._parser = httptools.HttpRequestParser(self)
        self._raw = []
        self._message_bytes = 0
        head, self._unread = self._unread, b""
        return head + rest

    def _partial(self, data: bytes, *, fresh: bool) -> None:
        """A request is half received: count what is held of it, and keep its bytes while they may have to travel."""
        self._message_bytes = self._message_bytes + len(data) if fresh else 0  # the part in `data` is not known
        if fresh and self._raw is not None and self._message_bytes <= _MOST_UNREAD:
            self._raw.append(data)
        else:
            self._raw = None  # too long, or where in `data` it began is not known
        limits = self.door.limits
        if self._in_head and self._message_bytes > limits.head_bytes:
            self.reject(431, f"head expected at most {limits.head_bytes} bytes, got more")
        elif self._message_bytes > 2 * limits.body_bytes + limits.head_bytes:
            self.reject(413, "body expected larger chunks")
        else:
            self._hold(self._size)

    # -- leaving and closing

    def leave(self) -> None:
        """Hand the connection over at its next message boundary, which may be now."""
        if not self.door.handing:
            return
        self._leaving = True
        if self._transport.is_closing() or self._ended or self._deaf or self._later:
            return
        if not self._movable:
            self._resume()
            return
        self._transport.pause_reading()  # what comes now is for the next release
        if not self._waiting and not self._transport.get_write_buffer_size():
            self._hand()

    @property
    def _movable(self) -> bool:
        """Whether the next worker could go on: nothing is half received, or its bytes are kept."""
        return not self._begun or self._raw is not None

    def _hand(self) -> None:
        try:
            file = os.dup(self._transport.get_extra_info("socket").fileno())
        except OSError:  # out of files: the client has to connect again
            self._transport.close()
            return
        unread = b"".join(self._raw or ())
        self._deaf = True
        self._transport.close()
        self.door.hand(file, unread)

    def shut(self) -> None:
        """Close when nothing is being answered or received; else after it.

        A client that has only just encrypted its connection is about to ask: its first request is waited for a moment.
        """
        if not (self._waiting or self._begun or self._later):
            if self._answered or self.door.tls is None or self.door.loop.time() - self._since > _FIRST_S:
                self._transport.close()
        elif self._leaving:
            self._leaving = False
            self._resume()

    def cut(self) -> None:
        """The drain is over: what is not answered gets a 503."""
        for exchange in list(self._waiting):
            if not exchange.done:
                exchange.last = True
                exchange.refuse(503, "the server is stopping; try again")
        if self._begun and not self._deaf:
            self.reject(503, "the server is stopping; try again")
        self._transport.close()

    def sweep(self, now: float) -> None:
        """End a client that is too slow; called about every second."""
        limits = self.door.limits
        stalled = self._stalled or (self._since if self._transport.is_closing() else now)
        if now - stalled > limits.write_s:
            self._transport.abort()
        elif self._deaf or self._waiting:
            return
        elif self._begun:
            if now - self._since > (limits.head_s if self._in_head else limits.body_s):
                self.reject(408, "request expected to be sent faster")
        elif now - self._since > limits.idle_s:
            self._transport.close()
