"""Responses as bytes: what each begins with is made once a second, not once an answer."""

from __future__ import annotations

import itertools
import os
import time
from email.utils import formatdate

import msgspec

_REASONS = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 413: "Content Too Large",
    415: "Unsupported Media Type", 417: "Expectation Failed", 421: "Misdirected Request",
    422: "Unprocessable Content", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
}  # fmt: skip

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"\r\nconnection: close"
KEEP = b"\r\nconnection: keep-alive"
"""Said to an HTTP/1.0 client only; 1.1 keeps a connection unless told."""

RETRY_S = 1
"""Seconds that a 503 asks a client to wait."""


class Replies:
    """Writes the responses of one release.

    Args:
        release: its number, said by every response.
    """

    def __init__(self, release: int) -> None:
        self._said = f"funade-release: {release}\r\nfunade-arm: current"
        self._count = itertools.count(1)
        self._mark = os.urandom(6).hex().encode()
        self.tick()

    def tick(self) -> None:
        """Bring the date up to date; called every second."""
        self._date = formatdate(time.time(), usegmt=True)
        self._ok = (
            f"HTTP/1.1 200 OK\r\ndate: {self._date}\r\ncontent-type: application/json\r\n{self._said}"
            "\r\nfunade-prediction: "
        ).encode()

    def answer(self, body: bytes, ending: bytes, fallback: str) -> bytes:
        """A 200 with an id of its own; ``fallback`` says why the fallback spoke, "" that it did not."""
        if fallback:
            ending = b"\r\nfunade-fallback: %b%b" % (fallback.encode(), ending)
        number = next(self._count)
        return b"%b%b-%x%b\r\ncontent-length: %d\r\n\r\n%b" % (self._ok, self._mark, number, ending, len(body), body)

    def page(self, body: bytes, ending: bytes, *, status: int = 200, head: bool = False, extra: str = "") -> bytes:
        """Any other response; a HEAD's bears the length and no body."""
        if status == 503:
            extra += f"retry-after: {RETRY_S}\r\n"
        top = (
            f"HTTP/1.1 {status} {_REASONS[status]}\r\ndate: {self._date}\r\ncontent-type: application/json\r\n{extra}"
            f"{self._said}"
        )
        return b"%b%b\r\ncontent-length: %d\r\n\r\n%b" % (top.encode(), ending, len(body), b"" if head else body)


def error_json(error: str, path: str = "") -> bytes:
    """``{"error": ..., "path": ...}``; no path, no key."""
    return msgspec.json.encode({"error": error, "path": path} if path else {"error": error})
