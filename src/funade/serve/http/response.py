"""Responses as bytes: what each begins with is made once a second, not once an answer."""

from __future__ import annotations

import time
from email.utils import formatdate

import msgspec

from funade.serve.answer.request import Notes

_REASONS = {
    200: "OK", 202: "Accepted", 204: "No Content", 303: "See Other", 400: "Bad Request", 401: "Unauthorized",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 409: "Conflict", 410: "Gone", 413: "Content Too Large",
    415: "Unsupported Media Type", 417: "Expectation Failed", 421: "Misdirected Request",
    422: "Unprocessable Content", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
}  # fmt: skip

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSE = b"\r\nconnection: close"
KEEP = b"\r\nconnection: keep-alive"
"""Said to an HTTP/1.0 client only; 1.1 keeps a connection unless told."""

_FRESH = "cache-control: no-store\r\n"
"""Said with every page: what lies between a client and the server would keep it past the release that it is of."""

RETRY_S = 1
"""Seconds that a 503 asks a client to wait."""


class Responses:
    """Writes the responses of one release; while ``closing``, every response is the last on its connection.

    Every response says the release's number; ``mark`` is what every prediction id of this worker begins with.
    """

    def __init__(self, release: int, mark: str) -> None:
        self._release = f"funade-release: {release}\r\nfunade-arm: current"
        self._mark = mark
        self.closing = False
        self.tick()

    def tick(self) -> None:
        """Bring the date up to date; called every second."""
        self._date = formatdate(time.time(), usegmt=True)
        self._ok = (
            f"HTTP/1.1 200 OK\r\ndate: {self._date}\r\ncontent-type: application/json\r\n{self._release}"
            f"\r\nfunade-prediction: {self._mark}"
        ).encode()

    def answer(self, body: bytes, ending: bytes, number: int, notes: Notes) -> bytes:
        """A 200 with its prediction id and what is to be said."""
        if any(notes):
            ending = b"\r\n" + _lines(notes).encode()[:-2] + ending
        return b"%b-%x%b\r\ncontent-length: %d\r\n\r\n%b" % (self._ok, number, ending, len(body), body)

    def headers(self, number: int, notes: Notes) -> str:
        """What an answer says besides its rows, a line each."""
        return f"funade-prediction: {self._mark}-{number:x}\r\n{_lines(notes)}"

    def page(
        self,
        body: bytes,
        ending: bytes,
        *,
        status: int = 200,
        head: bool = False,
        extra: str = "",
        content: str = "application/json",
    ) -> bytes:
        """Any other response; a HEAD's bears the length and no body."""
        if status == 503:
            extra += f"retry-after: {RETRY_S}\r\n"
        first = f"HTTP/1.1 {status} {_REASONS[status]}\r\ndate: {self._date}\r\ncontent-type: {content}\r\n{_FRESH}"
        top = f"{first}{extra}{self._release}"
        return b"%b%b\r\ncontent-length: %d\r\n\r\n%b" % (top.encode(), ending, len(body), b"" if head else body)


def _lines(notes: Notes) -> str:
    return "".join(f"{name}: {text}\r\n" for name, text in notes.headers())


def error_json(error: str, path: str = "") -> bytes:
    """``{"error": ..., "path": ...}``; no path, no key."""
    return msgspec.json.encode({"error": error, "path": path} if path else {"error": error})
