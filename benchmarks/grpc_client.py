"""A fast gRPC client: ``python grpc_client.py PORT PATH CONNECTIONS SECONDS FOLDER ROWS``.

One call in flight on each connection, bodies in turn, every answer compared with the expected one. Knows just as much
of HTTP/2 as unary calls need: heads are prepared bytes, answers' heads are not read. FOLDER has ``bodies-ROWS`` (a
message of fixed length after another) and ``expected-ROWS`` (a line a message, of ROWS numbers). Prints calls, wrong
answers, failures, latencies in ms.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from operator import sub
from pathlib import Path
from typing import cast

import uvloop


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def literal(name: str, value: str) -> bytes:
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class Asking(asyncio.Protocol):
    def __init__(self, found: Found, first: int) -> None:
        self.found = found
        self.next = first
        self.stream = -1
        self.buffer = b""
        self.message = b""
        self.good = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        window = frame(4, 0, 0, b"\0\x04\0\x7f\xff\xff") + frame(8, 0, 0, (2**30).to_bytes(4, "big"))
        self.transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + window)
        self.ask()

    def ask(self) -> None:
        self.stream += 2
        self.next = (self.next + 7) % len(self.found.bodies)
        stream = self.stream.to_bytes(4, "big")
        self.asked = time.perf_counter()
        self.good = False
        self.transport.write(self.found.head + stream + self.found.block + self.found.data + stream + self.body())

    def body(self) -> bytes:
        return self.found.bodies[self.next]

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data if self.buffer else data
        at, size, replies = 0, len(data), b""
        while size - at >= 9:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            if size - at < 9 + length:
                break
            kind, flags = data[at + 3], data[at + 4]
            if kind == 0 and length:
                self.message += data[at + 9 : at + 9 + length]
            elif kind == 4 and not flags & 1:
                replies += frame(4, 1, 0)
            elif kind == 6 and not flags & 1:
                replies += frame(6, 1, 0, data[at + 9 : at + 17])
            elif kind in (3, 7):
                self.found.failed += 1
                self.transport.close()
                return
            if kind in (0, 1) and flags & 1:
                self.ended()
            at += 9 + length
        self.buffer = data[at:]
        if replies:
            self.transport.write(replies)

    def ended(self) -> None:
        found, message, self.message = self.found, self.message, b""
        if len(message) == found.answer.size:
            values = found.answer.unpack(message)
            self.good = max(map(abs, map(sub, values, found.expected[self.next]))) < 1e-4
        if found.counting:
            found.calls += 1
            found.wrong += not self.good
            found.took.append(time.perf_counter() - self.asked)
        self.ask()


class Found:
    def __init__(self, path: str, folder: Path, rows: int) -> None:
        whole = (folder / f"bodies-{rows}").read_bytes()
        lines = (folder / f"expected-{rows}").read_text().splitlines()
        self.expected = [[float(word) for word in line.split()] for line in lines]
        size = len(whole) // len(lines)
        self.bodies = [self.message(whole[at : at + size]) for at in range(0, len(whole), size)]
        # A number is a key and eight bytes; in ``Answers`` each row has a key and a length before it.
        self.answer = struct.Struct("<5x" + ("xd" if rows == 1 else "xxxd" * rows))
        pairs = ((":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"))
        rest = (("content-type", "application/grpc"), ("te", "trailers"))
        self.block = b"".join(literal(*pair) for pair in (*pairs, *rest))
        self.head = len(self.block).to_bytes(3, "big") + b"\x01\x04"
        self.data = len(self.bodies[0]).to_bytes(3, "big") + b"\x00\x01"
        self.calls = self.wrong = self.failed = 0
        self.took: list[float] = []
        self.counting = False

    @staticmethod
    def message(row: bytes) -> bytes:
        return b"\0" + len(row).to_bytes(4, "big") + row


async def main(port: int, path: str, connections: int, seconds: float, folder: Path, rows: int) -> None:
    found = Found(path, folder, rows)
    loop = asyncio.get_running_loop()
    for index in range(connections):
        await loop.create_connection(lambda index=index: Asking(found, index * 61), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.sleep(1.0)
    print("begin", flush=True)
    found.counting = True
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    found.counting = False
    wall = time.perf_counter() - began
    print("end", flush=True)
    took = sorted(found.took)
    at = {f"p{p}_ms": round(took[min(len(took) - 1, len(took) * p // 100)] * 1000, 3) for p in (50, 99)}
    print(json.dumps({"calls": found.calls, "wrong": found.wrong, "failed": found.failed, "wall_s": wall} | at))


if __name__ == "__main__":
    port_, path_, connections_, seconds_, folder_, rows_ = sys.argv[1:]
    uvloop.run(main(int(port_), path_, int(connections_), float(seconds_), Path(folder_), int(rows_)))
