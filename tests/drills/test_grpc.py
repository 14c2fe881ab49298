"""Drills of the gRPC door: switches under load, and clients that mean harm. Others are answered, the server lives."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from support import stock
from support.server import Running
from support.wait import two_more

HERE = Path(__file__).parent
ROW = b"\x09" + struct.pack("<d", 3.0)


class Steady:
    """Stock clients with the usual retry policy that ask on and on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def seen(self) -> dict[str, Any]:
        """What they have seen so far."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        seen: dict[str, Any] = json.loads(self._process.stdout.readline())
        return seen

    def each_asked(self) -> None:
        """Wait until each client has made two more calls."""
        two_more(lambda: self.seen["calls"])

    def end(self) -> dict[str, Any]:
        """What they have seen in all."""
        seen: dict[str, Any] = json.loads(self._process.communicate(timeout=120)[0])
        return seen


@contextlib.contextmanager
def steady(server: Running, threads: int) -> Iterator[Steady]:
    """Clients that have begun to ask; gone when the block ends."""
    target = f"127.0.0.1:{server.settings.grpc_port}"
    command = [sys.executable, str(stock.script("grpc_steady.py")), target, str(threads)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            clients = Steady(process)
            clients.each_asked()
            yield clients
        finally:
            process.kill()


@pytest.mark.slow
def test_drill_w21_stock_clients_lose_no_call_in_thirty_switches(run: Callable[..., Running]) -> None:
    server, times = run(grpc_port=stock.free_port()), 30
    server.serving(1)
    with steady(server, 8) as clients:
        for number in range(times):
            server.switch(2 - number % 2)
            server.serving(2 - number % 2)
        server.switch(7)
        server.serving(7)
        clients.each_asked()
        seen = clients.end()
    assert (seen["failed"], seen["mixed"], seen["last"]) == ([], 0, [7]), seen
    assert sum(seen["calls"]) > times


@pytest.mark.slow
def test_drill_t11_a_killed_worker_costs_no_call_with_retries(run: Callable[..., Running]) -> None:
    server = run(grpc_port=stock.free_port(), workers=3)
    server.serving(1)
    with steady(server, 8) as clients:
        for _ in range(3):
            server.kill()
            clients.each_asked()
        seen = clients.end()
    assert seen["failed"] == [], seen


# -- clients that mean harm


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def literal(name: str, value: str) -> bytes:
    return b"\0" + _length(len(name)) + name.encode() + _length(len(value)) + value.encode()


def _length(size: int) -> bytes:
    if size < 127:
        return bytes([size])
    out, size = bytes([127]), size - 127
    while size >= 128:
        out, size = out + bytes([size % 128 + 128]), size // 128
    return out + bytes([size])


def head(*more: tuple[str, str], path: str = "/funade.arrival.Api/One") -> bytes:
    pairs = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"))
    return b"".join(
        literal(*pair) for pair in (*pairs, ("content-type", "application/grpc"), ("te", "trailers"), *more)
    )


MESSAGE = b"\0" + len(ROW).to_bytes(4, "big") + ROW
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0)


class Hostile:
    """Raw connections to a gRPC port."""

    def __init__(self, server: Running) -> None:
        assert server.settings.grpc_port
        self.port = server.settings.grpc_port
        self.open: list[socket.socket] = []

    def connect(self, first: bytes = PREFACE) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        self.open.append(sock)
        sock.sendall(first)
        return sock

    def pour(self, sock: socket.socket, most: int) -> int:
        """Send one message of ``most`` bytes as fast as the server's windows allow; gives what went before it ended."""
        sent, heard = 0, b""
        windows, first = {0: 65_535, 1: 65_535}, 65_535
        with contextlib.suppress(OSError):
            while sent < most:
                while min(windows.values()) >= 16_384 and sent < most:
                    sock.sendall(frame(0, 0, 1, b"x" * 16_384))
                    sent += 16_384
                    windows = {stream: left - 16_384 for stream, left in windows.items()}
                heard += sock.recv(65_536)
                while len(heard) >= 9 and len(heard) >= 9 + int.from_bytes(heard[:3], "big"):
                    size, kind, stream = int.from_bytes(heard[:3], "big"), heard[3], int.from_bytes(heard[5:9], "big")
                    body, heard = heard[9 : 9 + size], heard[9 + size :]
                    if kind == 8 and stream in windows:
                        windows[stream] += int.from_bytes(body, "big")
                    elif kind == 4 and body:
                        sock.sendall(frame(4, 1, 0))
                        for at in range(0, size, 6):
                            if body[at : at + 2] == b"\0\4":
                                given = int.from_bytes(body[at + 2 : at + 6], "big")
                                windows[1], first = windows[1] + given - first, given
                    elif kind in (1, 3, 7):
                        return sent
        return sent

    def close(self) -> None:
        for sock in self.open:
            sock.close()


def rapid_reset(hostile: Hostile) -> None:
    sock = hostile.connect()
    for batch in range(100):
        first = batch * 200 + 1
        with contextlib.suppress(OSError):
            sock.sendall(
                b"".join(
                    frame(1, 4, stream, head()) + frame(3, 0, stream, b"\0\0\0\x08")
                    for stream in range(first, first + 200, 2)
                )
            )


def ten_thousand_streams(hostile: Hostile) -> None:
    sock = hostile.connect()
    with contextlib.suppress(OSError):
        sock.sendall(b"".join(frame(1, 4, stream, head()) for stream in range(1, 20_001, 2)))


def header_bomb(hostile: Hostile) -> None:
    """One large entry in the compression table, named a thousand times; and a head that never ends."""
    sock = hostile.connect()
    entry = b"\x40" + _length(1) + b"a" + _length(4000) + b"x" * 4000
    with contextlib.suppress(OSError):
        sock.sendall(frame(1, 4, 1, head() + entry + b"\xbe" * 12_000))
    endless = hostile.connect()
    with contextlib.suppress(OSError):
        endless.sendall(frame(1, 0, 1, head()))
        for _ in range(4000):
            endless.sendall(frame(9, 0, 1, literal("b", "y" * 16_000)))


def giant_message(hostile: Hostile) -> None:
    sock = hostile.connect()
    sock.sendall(frame(1, 4, 1, head()) + frame(0, 0, 1, b"\0\xff\xff\xff\xff"))
    hostile.pour(sock, 300_000_000)


def half_open(hostile: Hostile) -> None:
    for index in range(300):
        hostile.connect((b"", PREFACE[:10], PREFACE, PREFACE + frame(1, 4, 1, head()))[index % 4])


def garbage(hostile: Hostile) -> None:
    import random

    source = random.Random(11)
    for index in range(200):
        sock = hostile.connect(PREFACE if index % 2 else b"")
        with contextlib.suppress(OSError):
            sock.sendall(source.randbytes(2000))
            sock.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")


def slow_reader(hostile: Hostile) -> None:
    """Asks on and on and reads nothing."""
    for _ in range(20):
        sock = hostile.connect()
        asked = b"".join(frame(1, 4, s, head()) + frame(0, 1, s, MESSAGE) for s in range(1, 2001, 2))
        sock.settimeout(0.3)
        with contextlib.suppress(OSError):
            sock.sendall(asked)


def floods(hostile: Hostile) -> None:
    """Pings, settings, empty frames, window updates."""
    for body in (frame(6, 0, 0, b"12345678"), frame(4, 0, 0, b"\0\x03\0\0\0\x01"), frame(8, 0, 0, b"\0\0\0\x01")):
        sock = hostile.connect()
        sock.settimeout(0.5)
        with contextlib.suppress(OSError):
            for _ in range(200):
                sock.sendall(body * 100)


ATTACKS = [
    rapid_reset, ten_thousand_streams, header_bomb, giant_message, half_open, garbage, slow_reader, floods,
]  # fmt: skip


def memory_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
def test_drill_w24_hostile_clients_keep_nobody_else_from_being_answered(run: Callable[..., Running]) -> None:
    server = run(grpc_port=stock.free_port(), workers=1)
    (worker,) = server.serving(1).workers
    told: list[tuple[str, int]] = []
    with grpc.insecure_channel(f"127.0.0.1:{server.settings.grpc_port}") as channel:
        ask = channel.unary_unary("/funade.arrival.Api/One")
        ask(ROW, timeout=120)
        for attack in ATTACKS:
            hostile, before = Hostile(server), memory_mb(worker)
            attack(hostile)
            most = memory_mb(worker)
            for _ in range(50):
                try:
                    ask(ROW, timeout=120)
                except grpc.RpcError as error:
                    raise AssertionError(f"{attack.__name__}: {error.code()} {error.details()} {told}") from None
            grown = max(most, memory_mb(worker)) - before  # by now it has read what was sent before
            hostile.close()
            told.append((attack.__name__, round(grown)))
            assert server.state.workers == (worker,), told
            assert grown < 150, told
        print(told)
        with grpc.insecure_channel(f"127.0.0.1:{server.settings.grpc_port}") as fresh:
            fresh.unary_unary("/funade.arrival.Api/One")(ROW, timeout=120)
