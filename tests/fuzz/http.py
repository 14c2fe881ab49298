"""Bytes thrown at the HTTP connection in this process: no input may break it, and what it remembers changes nothing.

``PYTHONPATH=tests python -m fuzz.http SECONDS SEED`` mutates the corpus, keeps what behaves as nothing
before it did, and ends with the number of inputs tried. Every input is fed twice, in the same pieces: to a connection
that reads every head, and to one that knows the heads it has read before; both must do the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import sys
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from funade.serve.answer.request import AnswerRequest
from funade.serve.http.connection import Connection
from funade.serve.http.head import HeadCache, KnownHead
from funade.serve.http.response import CONTINUE
from funade.serve.http.routes import Routes
from funade.serve.http.shared import HttpShared
from funade.serve.limits import Limits
from fuzz import fuzzing
from support.release import release
from support.runtimes import runtime_of

CORPUS = Path(__file__).parent / "corpus" / "http"
LIMITS = Limits(head_bytes=2048, headers=20, body_bytes=4096, pipelined=4)

WORDS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b" ",
    b":",
    b"\x00",
    b"\xff",
    b"POST ",
    b"GET ",
    b"HEAD ",
    b"CONNECT ",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"content-length: 11\r\n",
    b"content-length: 0\r\n",
    b"content-length: -1\r\n",
    b"content-length: +11\r\n",
    b"content-length : 11\r\n",
    b"content-length: 11, 11\r\n",
    b"content-length: 99999999999999999999\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: identity, chunked\r\n",
    b"Transfer-Encoding:\tchunked\r\n",
    b"transfer-encoding: xchunked\r\n",
    b"0\r\n\r\n",
    b"b\r\n",
    b"B;x=y\r\n",
    b"ffffffffffffffff1\r\n",
    b"-1\r\n",
    b"expect: 100-continue\r\n",
    b"upgrade: h2c\r\nconnection: upgrade\r\n",
    b"connection: close\r\n",
    b"connection: keep-alive\r\n",
    b"host: localhost\r\n",
    b"host: evil\r\n",
    b"host:\r\n",
    b"origin: null\r\n",
    b"content-type: text/plain\r\n",
    b"content-encoding: gzip\r\n",
    b"funade-timeout-ms: 0\r\n",
    b" folded\r\n",
    b"/v1/arrival",
    b"/v1/plain",
    b"http://localhost/v1/arrival",
    b"?a=b&c",
    b"%2e%2e",
    b"[",
    b"{",
    b"}",
    b'{"km": 1}\n\n',
    b"[[[[[[[[[[",
    b'"\\ud800"',
    b"\xed\xa0\x80",
    b"1e999",
    b"-0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)


class Did(NamedTuple):
    """What a connection did: what it wrote, the rows it queued, whether it closed and whether it is in a message."""

    wrote: bytes
    queued: tuple[str, ...]
    closed: bool
    amid: bool


class Wire:
    """The transport's part: what is written is kept."""

    def __init__(self) -> None:
        self.wrote = b""
        self.closed = False
        self.paused = False

    def write(self, data: bytes) -> None:
        self.wrote += data

    def close(self) -> None:
        self.closed = True

    def write_eof(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Forgetful(HeadCache):
    """Remembers no head."""

    def learn(self, head: bytes, known: KnownHead) -> None: ...


@contextlib.contextmanager
def door(heads: HeadCache) -> Iterator[HttpShared]:
    """What the connections of a door share that nobody comes through by itself."""
    loop = asyncio.new_event_loop()
    runtime = runtime_of(release(1), loop, limits=LIMITS)
    hosts = frozenset({b"localhost"})
    shared = HttpShared(runtime, Routes(runtime, []), hosts=hosts, hand=lambda file, unread: None)
    shared.heads = heads
    try:
        yield shared
    finally:
        loop.close()


def fed(at: HttpShared, pieces: list[bytes]) -> Did:
    """What a fresh connection does with these pieces; what it asked is answered between two pieces."""
    queued: list[str] = []
    asked: list[AnswerRequest] = []

    def add(request: AnswerRequest, within_s: float | None = None) -> None:
        queued.append(f"{request.rows} {request.single} {within_s}")
        asked.append(request)

    for queue in at.runtime.queues.values():
        queue.add = add  # type: ignore[method-assign]
    wire: Any = Wire()
    connection = Connection(at, set())
    connection.connection_made(wire)
    for piece in pieces:
        if wire.closed:
            break
        connection.data_received(piece)
        while asked or (wire.paused and not wire.closed):
            for ask in asked:
                ask.refuse(503, "busy")
            asked.clear()
            at.loop.run_until_complete(asyncio.sleep(0))
    amid = connection._reader.begun
    connection.eof_received()
    connection.connection_lost(None)
    wrote = re.sub(rb"\r\ndate: .{29}", b"", wire.wrote).replace(CONTINUE, b"")  # both depend on when
    return Did(wrote, tuple(queued), wire.closed, amid)


def kind(did: Did) -> tuple[Any, ...]:
    """What is new about an input: the statuses, and how it ended."""
    statuses = tuple(line[9:12] for line in did.wrote.split(b"\r\n") if line.startswith(b"HTTP/1.1 "))
    errors = tuple(re.match(rb"[a-z ]{0,20}", part)[0] for part in did.wrote.split(b'"error":"')[1:])  # type: ignore[index]
    return frozenset(statuses), frozenset(errors), min(len(did.queued), 2), did.closed, did.amid


def corpus() -> list[bytes]:
    return fuzzing.corpus(CORPUS)


def _mutate(known: Sequence[bytes], rng: random.Random) -> bytes:
    return fuzzing.mutated(WORDS, known, rng)


@contextlib.contextmanager
def opened() -> Iterator[dict[str, fuzzing.Target]]:
    """Both connections, side by side; closed now and then: the timers of those that linger are let go with them."""
    with door(Forgetful()) as plain, door(HeadCache()) as knowing:

        def feed(data: bytes, rng: random.Random) -> Hashable:
            pieces = fuzzing.cut(data, rng)
            one, other = fed(plain, pieces), fed(knowing, pieces)
            assert one == other, (pieces, one, other)
            return kind(one)

        yield {"": fuzzing.Target(feed, _mutate)}


def tried(seconds: float, seed: int) -> Iterator[fuzzing.Tried]:
    """Inputs and what was done with them, for so much processor time; raises where the two connections differ."""
    return fuzzing.tried(CORPUS, opened, seconds, seed)


if __name__ == "__main__":
    fuzzing.main(CORPUS, opened, float(sys.argv[1]), int(sys.argv[2]))
