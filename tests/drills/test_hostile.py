"""W24: whatever clients throw at it, the server lives, refuses in words, and others keep being answered in time."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from support import stock
from support.client import post
from support.server import Running, noted

_ASK = post({"km": 2.0})
_HEAD = b"POST /v1/arrival HTTP/1.1\r\nhost: localhost\r\n"


def _sized(body: bytes, declared: int | None = None) -> bytes:
    return _HEAD + b"content-length: %d\r\n\r\n" % (declared or len(body)) + body


def _deep(levels: int) -> bytes:
    return _sized(b'{"km": ' + b"[" * levels + b"]" * levels + b"}")


SHAPES: dict[str, tuple[bytes, int]] = {
    "10,000 levels of JSON": (_deep(10_000), 422),
    "200 MB declared": (_sized(b"[" + b" " * 65_536, 200_000_000), 413),
    "200 MB in chunks": (
        _HEAD + b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 70,
        413,
    ),
    "a million rows": (_sized(b"[" + b"{}," * 1_000_000 + b"{}]"), 422),
    "100,001 good rows": (_sized(b"[" + b'{"km":1},' * 100_000 + b'{"km":1}]'), 422),
    "no UTF-8": (_sized(b'{"km": 1, "does": "\xff\xfe"}'), 422),
    "half a surrogate": (_sized(b'{"km": 1, "does": "\\ud800"}'), 422),
    "both lengths": (
        _HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n",
        400,
    ),
    "two lengths": (_HEAD + b"content-length: 9\r\ncontent-length: 10\r\n\r\n" + b'{"km": 1} ', 400),
    "a coding that is not chunked": (_HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "space before the colon": (_HEAD + b"content-length : 9\r\n\r\n" + b'{"km": 1}', 400),
    "a folded header": (_HEAD + b"x: a\r\n content-length: 5\r\n\r\n", 400),
    "a length with a sign": (_HEAD + b"content-length: +9\r\n\r\n" + b'{"km": 1}', 400),
    "a chunk without an end": (_HEAD + b"transfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\n", 400),
    "a head of 1 MB": (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 1_000_000 + b"\r\n\r\n", 431),
    "1,000 headers": (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 1_000 + b"\r\n", 431),
    "another host": (b"GET /healthz HTTP/1.1\r\nhost: evil.example\r\n\r\n", 421),
}


async def _status(port: int, data: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await asyncio.wait_for(writer.drain(), 20)
        return int((await asyncio.wait_for(reader.readline(), 20))[9:12] or 0)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("shape", SHAPES)
def test_drill_w24_what_is_no_good_request_is_refused_in_words(server: Running, shape: str) -> None:
    data, status = SHAPES[shape]
    assert asyncio.run(_status(server.port, data)) == status


@contextlib.contextmanager
def _victim(port: int, log: Path) -> Iterator[list[float]]:
    """A client of another process that asks 200 times a second and is answered rightly each time; how long it took."""
    took: list[float] = []
    command = [sys.executable, str(stock.script("steady.py")), str(port), "200", "4", str(log), 'arrival={"km": 2.0}']
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield took
        process.communicate()
    for line in noted(log):
        assert line["status"] == 200 and line["body"]["eta"] == 4.0, str(line)
        took.append(line["took"])


def _p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


async def _loris(port: int, seconds: float) -> None:
    """A connection that sends a byte now and then."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    ends = time.monotonic() + seconds
    with contextlib.suppress(ConnectionError):
        for byte in _ASK * 10:
            if time.monotonic() > ends:
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.2)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _deaf(port: int, seconds: float) -> None:
    """A connection that asks and asks and never reads."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    with contextlib.suppress(ConnectionError):
        writer.write(_ASK * 500)
        await asyncio.sleep(seconds)
    writer.transport.abort()


def _shapes(first: int) -> Iterator[bytes]:
    """Every shape in turn, without end."""
    return islice(cycle([data for data, _ in SHAPES.values()]), first, None)


async def _attack(port: int, seconds: float) -> None:
    ends = time.monotonic() + seconds

    async def throw(first: int) -> None:
        for data in _shapes(first):
            if time.monotonic() > ends:
                return
            with contextlib.suppress(OSError):
                await _status(port, data)
            await asyncio.sleep(0.05)

    attackers = [throw(first) for first in range(0, len(SHAPES), 4)] + [_loris(port, seconds) for _ in range(300)]
    await asyncio.gather(*attackers, *[_deaf(port, seconds) for _ in range(20)])


@pytest.mark.slow
def test_drill_w24_others_keep_being_answered_in_time(run: Callable[..., Running], tmp_path: Path) -> None:
    server = run(workers=1)
    workers = server.serving(1).workers
    with _victim(server.port, tmp_path / "calm") as calm:
        time.sleep(4)
    with _victim(server.port, tmp_path / "attacked") as attacked:
        asyncio.run(_attack(server.port, 10))
    print(f"p99: calm {_p99(calm) * 1e3:.2f} ms, attacked {_p99(attacked) * 1e3:.2f} ms of {len(attacked)}")
    assert len(attacked) > 1000
    assert _p99(attacked) <= 5 * max(_p99(calm), 0.005)  # one request of the most rows takes 10 ms to read
    assert server.state.workers == workers
    assert server.events("defect") == []
