"""One HTTP/1.1 request as it is received: parsed, bounded, and its bytes kept while they may travel to a worker."""

from __future__ import annotations

from typing import Any, Protocol

import httptools

from funade.serve.http.head import Head, reason
from funade.serve.http.shared import HttpShared

_MOST_UNREAD = 64 * 1024
"""Bytes of a half-received request that travel to another worker; a longer one is finished here."""


class Receiver(Protocol):
    """What a reader tells of what comes."""

    def receive(self, head: Head, body: bytes, *, keep: bool) -> None:
        """A request is whole; ``keep`` says whether the client goes on after it."""

    def proceed(self) -> None:
        """The client waits to be told before it sends the body."""

    def hold(self, size: int) -> None:
        """So many bytes of a half-received request are held."""

    def reject(self, status: int, error: str) -> None:
        """What comes is no good request."""


class RequestReader:
    """Reads what a client sends, request after request, and tells the receiver of it.

    ``begun`` says that a request is half received, ``in_head`` that its head is; while ``deaf``, nothing more is read.
    ``head`` is the last request's, ``size`` counts the bytes of its body so far, and ``since`` is the loop's time from
    which the client's time to send it counts.
    """

    def __init__(self, shared: HttpShared, receiver: Receiver) -> None:
        self._shared = shared
        self._receiver = receiver
        self._parser: Any = httptools.HttpRequestParser(self)
        self._body = b""
        self._more: list[bytes] | None = None
        self._plain = b""  # a head to be parsed again, of a request that asked for another protocol
        self._message_bytes = 0
        self._raw: list[bytes] | None = []
        self._completed = 0
        self.head = Head()
        self.size = 0
        self.begun = False
        self.in_head = False
        self.deaf = False
        self.since = shared.now

    @property
    def movable(self) -> bool:
        """Whether another worker could go on: nothing is half received, or its bytes are kept."""
        return not self.begun or self._raw is not None

    @property
    def unread(self) -> bytes:
        """The bytes of the half-received request, where it is ``movable``."""
        return b"".join(self._raw or ())

    def close(self) -> None:
        """Read nothing more, and let go of what holds this reader in turn."""
        self.deaf = True
        del self._parser, self._receiver

    def feed(self, data: bytes) -> bytes:
        """Parse; returns what is to be parsed yet."""
        completed = self._completed
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            return self._restart(data[error.args[0] :])
        except httptools.HttpParserError as error:
            if not self.deaf:
                self._receiver.reject(*reason(error))
            return b""
        if self.deaf:
            return b""
        if self.begun:
            self._partial(data, fresh=self._completed == completed)
        elif self._raw != []:
            self._raw = []
        return b""

    def _restart(self, rest: bytes) -> bytes:
        """The request asked for another protocol, which it does not get: go on as if it had not asked."""
        self._parser = httptools.HttpRequestParser(self)
        self._raw = []
        self._message_bytes = 0
        head, self._plain = self._plain, b""
        return head + rest

    def _partial(self, data: bytes, *, fresh: bool) -> None:
        """A request is half received: count what is held of it, and keep its bytes while they may have to travel."""
        self._message_bytes = self._message_bytes + len(data) if fresh else 0  # the part in `data` is not known
        if fresh and self._raw is not None and self._message_bytes <= _MOST_UNREAD:
            self._raw.append(data)
        else:
            self._raw = None  # too long, or where in `data` it began is not known
        limits = self._shared.limits
        if self.in_head and self._message_bytes > limits.head_bytes:
            self._receiver.reject(431, f"head expected at most {limits.head_bytes} bytes, got more")
        elif self._message_bytes > 2 * limits.body_bytes + limits.head_bytes:
            self._receiver.reject(413, "body expected larger chunks")
        else:
            self._receiver.hold(self.size)

    # -- the parser's calls

    def on_message_begin(self) -> None:
        """A request begins."""
        self.begun = self.in_head = True
        self.head = Head()
        self.since = self._shared.now

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        head = self.head
        head.url = head.url + url if head.url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header."""
        if self.in_head:  # a chunked body's trailers count for nothing
            self.head.take(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole: refuse what is hopeless before its body comes."""
        self.in_head = False
        if self.deaf:
            return
        head = self.head
        head.method = self._parser.get_method()
        head.version = self._parser.get_http_version()
        if self._parser.should_upgrade() and head.has_body and head.method != b"CONNECT":
            self._plain = head.plain()
            return
        refusal = head.refusal(self._shared.limits, self._shared.hosts)
        if refusal is not None:
            self._receiver.reject(*refusal)
        elif head.expect:
            self._receiver.proceed()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self.deaf:
            return
        self.size += len(body)
        most = self._shared.limits.body_bytes
        if self.size > most:
            self._receiver.reject(413, f"body expected at most {most} bytes, got more; send fewer rows")
        elif self.size == len(body):
            self._body = body
        elif self._more is None:
            self._more = [self._body, body]
        else:
            self._more.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.deaf:
            return
        self.begun = False
        if self._plain:
            return  # the parser takes its body for another protocol
        self._completed += 1
        body = self._body if self._more is None else b"".join(self._more)
        self._body, self._more, self.size, self._message_bytes = b"", None, 0, 0
        self._receiver.receive(self.head, body, keep=self._parser.should_keep_alive())
