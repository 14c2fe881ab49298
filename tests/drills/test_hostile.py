"""W24: whatever clients throw at it, the server lives, refuses in words, and others keep being answered in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from support import stock
from support.client import post
from support.server import Running, noted
from support.wait import until

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
            await asyncio.wait_for(writer.drain(), 120)
        return int((await asyncio.wait_for(reader.readline(), 120))[9:12] or 0)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("shape", SHAPES)
def test_drill_w24_what_is_no_good_request_is_refused_in_words(server: Running, shape: str) -> None:
    data, status = SHAPES[shape]
    assert asyncio.run(_status(server.port, data)) == status


def _cost_s(server: Running, data: bytes) -> float:
    """Seconds of a core that the one worker spends on each of ten such requests, whatever runs beside it."""
    (worker,) = server.state.workers
    before = _cpu_s(worker)
    for _ in range(10):
        asyncio.run(_status(server.port, data))
    return (_cpu_s(worker) - before) / 10


def _cpu_s(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.slow
def test_drill_w24_what_is_no_good_request_keeps_a_worker_no_longer_than_a_large_good_one(server: Running) -> None:
    good_s = _cost_s(server, post([{"km": 1.0}] * 20_000))
    costs = {shape: _cost_s(server, data) for shape, (data, _) in SHAPES.items()}
    print(f"good {good_s:.4f} s, {costs}")
    assert [shape for shape, cost_s in costs.items() if cost_s > 5 * good_s] == []


Answered = Callable[[], int]


@contextlib.contextmanager
def _asking(port: int, log: Path) -> Iterator[Answered]:
    """A client of another process asks 200 times a second; gives how often it was answered."""
    command = [sys.executable, str(stock.script("steady.py")), str(port), "200", "4", str(log), 'arrival={"km": 2.0}']
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        yield lambda: log.read_bytes().count(b"\n") if log.exists() else 0
        process.communicate()


def _p99(log: Path) -> float:
    """How long 99 of a hundred answers took at most; all are right."""
    lines = noted(log)
    assert [line for line in lines if line.get("status") != 200 or line["body"]["eta"] != 4.0] == []
    times: list[float] = sorted([line["took"] for line in lines])
    return times[int(len(times) * 0.99)]


class Attack:
    """Throws all shapes at a port, and worse, until ``over``."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = threading.Event()
        self.thrown = Counter[bytes]()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()

    async def _run(self) -> None:
        throwing = [self._throw(first) for first in range(0, len(SHAPES), 4)]
        await asyncio.gather(
            *throwing, *[self._drip() for _ in range(300)], *[self._ask_without_reading() for _ in range(20)]
        )

    async def _throw(self, first: int) -> None:
        """Every shape in turn, on and on."""
        for data in islice(cycle([data for data, _ in SHAPES.values()]), first, None):
            if self._over.is_set():
                return
            with contextlib.suppress(OSError):
                await _status(self._port, data)
                self.thrown[data] += 1
            await asyncio.sleep(0.05)

    async def _drip(self) -> None:
        """A connection that sends a byte now and then."""
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        with contextlib.suppress(ConnectionError):
            for byte in _ASK * 10:
                if self._over.is_set():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.2)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _ask_without_reading(self) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1024)
        writer.write(_ASK * 500)
        while not self._over.is_set():
            await asyncio.sleep(0.2)
        writer.transport.abort()


@pytest.mark.slow
def test_drill_w24_others_keep_being_answered_in_time(run: Callable[..., Running], tmp_path: Path) -> None:
    server = run(workers=1)
    workers = server.serving(1).workers
    with _asking(server.port, tmp_path / "calm") as answered:
        until(lambda: answered() > 800)
    with _asking(server.port, tmp_path / "attacked") as answered:
        attack = Attack(server.port)
        try:
            until(lambda: answered() > 2000 and len(attack.thrown) == len(SHAPES))
        finally:
            attack.end()
    calm_s, attacked_s = _p99(tmp_path / "calm"), _p99(tmp_path / "attacked")
    print(f"p99: calm {calm_s * 1e3:.2f} ms, attacked {attacked_s * 1e3:.2f} ms, {attack.thrown.total()} thrown")
    assert attacked_s <= 10 * max(calm_s, 0.05)
    assert server.state.workers == workers
    assert server.events("defect") == []
