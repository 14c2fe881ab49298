"""The head of an HTTP request: what of it matters, and what of it is refused."""

from __future__ import annotations

import re
from typing import NamedTuple

import httptools

from funade.serve.limits import Limits

Refusal = tuple[int, str]
"""A status and what the client should do."""

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[^:/@\s,]+)(:\d+)?")

KEPT = frozenset(
    {
        b"host", b"content-type", b"content-length", b"content-encoding", b"transfer-encoding", b"expect", b"origin",
        b"funade-timeout-ms", b"authorization", b"idempotency-key", b"funade-callback", b"accept",
        b"inference-header-content-length",
    }
)  # fmt: skip
"""The headers that are kept of a request; each may stand once."""

_JSON = b"application/json"
_MOST_WITHIN_MS = 3_600_000


class Head:
    """One request's method, path and the headers that matter, by their names in lower case.

    ``within_s`` is None where no time limit is asked.
    """

    __slots__ = ("_count", "_size", "_twice", "expect", "headers", "method", "url", "version", "within_s")

    def __init__(self) -> None:
        self.method = b""
        self.url = b""
        self.version = "1.1"
        self.expect = False
        self.within_s: float | None = None
        self._count = 0
        self._size = 0
        self.headers: dict[bytes, bytes] = {}
        self._twice = b""

    def take(self, name: bytes, value: bytes) -> None:
        """Note one header."""
        self._count += 1
        self._size += len(name) + len(value)
        name = name.lower()
        if name in KEPT:
            if name in self.headers:
                self._twice = name
            self.headers[name] = value

    def path(self) -> bytes:
        """The path without its query."""
        url = self.url
        if url[:1] != b"/":
            try:
                url = httptools.parse_url(url).path or b"/"
            except httptools.HttpParserInvalidURLError:
                return url
        return url.partition(b"?")[0] if b"?" in url else url

    @property
    def length(self) -> int:
        """The body's length as the head says it; -1 where it does not."""
        return int(self.headers.get(b"content-length", b"-1"))

    @property
    def has_body(self) -> bool:
        """Whether a body follows."""
        return b"transfer-encoding" in self.headers or self.headers.get(b"content-length", b"0") != b"0"

    def plain(self) -> bytes:
        """The head as if nothing but what matters had been sent; no protocol is asked for."""
        lines = [b"%b %b HTTP/%b" % (self.method, self.url, self.version.encode())]
        lines += [b"%b: %b" % item for item in self.headers.items()]
        return b"\r\n".join([*lines, b"", b""])

    def refusal(self, limits: Limits, hosts: frozenset[bytes] | None) -> Refusal | None:
        """Why the connection cannot go on with this request; None where it can."""
        if self._size + len(self.url) > limits.head_bytes or self._count > limits.headers:
            return 431, f"head expected at most {limits.headers} headers in {limits.head_bytes} bytes, got more"
        if self.version not in ("1.1", "1.0"):
            return 505, f"protocol expected HTTP/1.1, got HTTP/{self.version}"
        if self._twice:
            return 400, f"header `{self._twice.decode()}` expected once, got twice"
        if self.method == b"CONNECT":
            return 501, "method expected GET, HEAD or POST, got CONNECT"
        return self._host(hosts) or self._framing(limits) or self._asked()

    def wrong_content(self) -> Refusal | None:
        """Why the body cannot be read as JSON, going by the head."""
        kind = self.headers.get(b"content-type", _JSON)
        if kind != _JSON and kind.partition(b";")[0].strip().lower() != _JSON:
            shown = kind.decode("latin-1")[:60]
            return 415, f"content-type expected application/json, got {shown}; send content-type: application/json"
        encoding = self.headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() != b"identity":
            return 415, "content-encoding expected none; send the body uncompressed"
        return None

    def _host(self, hosts: frozenset[bytes] | None) -> Refusal | None:
        host = self.headers.get(b"host")
        if host is None:
            return (400, "header `host` expected, got none") if self.version == "1.1" else None
        match = _HOST.fullmatch(host)
        if match is None:
            return 400, "header `host` expected a name or address, got another value"
        if hosts is not None and match[1].lower() not in hosts:
            return 421, "this server does not answer for that host; list it in the server's `hosts`"
        origin = self.headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2].lower() != host.lower():
            return 403, "a web page of another origin may not ask this server"
        return None

    def _framing(self, limits: Limits) -> Refusal | None:
        coding, length = self.headers.get(b"transfer-encoding"), self.headers.get(b"content-length")
        if coding is not None:
            if length is not None or self.version == "1.0":
                return 400, "request expected either content-length or transfer-encoding: chunked (HTTP/1.1)"
            if coding.strip().lower() != b"chunked":
                return 501, "transfer-encoding expected chunked, got another coding"
        if length is not None and (len(length) > 18 or int(length) > limits.body_bytes):
            return 413, f"body expected at most {limits.body_bytes} bytes, got more; send fewer rows in one request"
        return None

    def _asked(self) -> Refusal | None:
        expect = self.headers.get(b"expect")
        if expect is not None:
            if expect.lower() != b"100-continue":
                return 417, "expect expected 100-continue, got another value"
            self.expect = self.version == "1.1"
        within = self.headers.get(b"funade-timeout-ms")
        if within is not None:
            if not within.isdigit() or len(within) > 9:
                return 400, "header `funade-timeout-ms` expected whole milliseconds, got another value"
            self.within_s = min(int(within), _MOST_WITHIN_MS) / 1000
        return None


class KnownHead(NamedTuple):
    """What a head asks for that was read before: answers of the api of that name for a JSON body of ``size`` bytes."""

    api: str
    size: int
    within_s: float | None


class HeadCache:
    """Heads of plain requests for answers by their bytes: a client that asks again is not read again.

    Only what the parser took as a whole and nothing refused is learned, and only where its bytes leave no doubt of
    where it ends.
    """

    MOST = 1024
    LONGEST = 2048

    def __init__(self) -> None:
        self._known: dict[bytes, KnownHead] = {}
        self.get = self._known.get

    def learn(self, head: bytes, known: KnownHead) -> None:
        """Remember a head; the first line must begin with its method, every line end in CR LF."""
        if head.startswith(b"POST ") and head.count(b"\n") == head.count(b"\r\n") and known.size >= 0:
            if len(self._known) >= self.MOST:  # heads that never come again push out those that do, a while
                self._known.clear()
            self._known[head] = known

    def forget(self) -> None:
        """Read every head again: what a head may do has changed."""
        self._known.clear()


def reason(error: httptools.HttpParserError) -> Refusal:
    """What a client is told whose bytes are no HTTP request."""
    if isinstance(error, httptools.HttpParserInvalidMethodError):
        return 501, "method expected GET, HEAD or POST, got another"
    if isinstance(error, httptools.HttpParserInvalidURLError):
        return 400, "path expected a valid URL path, got another value"
    return 400, "request expected valid HTTP/1.1, got something else"
