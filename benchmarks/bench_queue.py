"""The queue of asynchronous requests: how many a second are submitted, answered and read, on SQLite.

``python benchmarks/bench_queue.py`` prints a table of medians. One client sends one-row requests over eight kept-alive
connections, 32 under way on each; the api is a weighted sum of 20 columns, so that the queue is measured and not a
model. A run ends when the last of them is done.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np

import funade as fn
from funade.bind.api import BoundApi
from funade.bind.release import LoadedRelease
from funade.clock import system
from funade.declare.graph import Graph, spec_of
from funade.queue.queue import SqliteQueue
from funade.serve.server_file import servers
from funade.serve.settings import ServerSettings
from funade.serve.tokens import token_file
from funade.store.queue_records import Result, Submission

NUMBER = 20_000
RUNS = 5
GOAL = 2_000
_CONNECTIONS, _UNDER_WAY = 8, 32
_FEATURES = 20

Row = msgspec.defstruct("Row", [(f"x{i}", float) for i in range(_FEATURES)])
Score = msgspec.defstruct("Score", [("y", float)])


@fn.api(fn.takes(Row), fn.gives(Score), fn.fallback(y=0.0))
def score(batch: fn.Columns) -> fn.Columns:
    return {"y": np.stack([batch[f"x{i}"] * i for i in range(_FEATURES)]).sum(axis=0)}


def load(argument: dict[str, Any]) -> LoadedRelease:
    """The release that the server answers from."""
    spec = spec_of(score, Path(__file__).parent)
    apis = {"score": BoundApi(spec, score, {}, {}, ZoneInfo("UTC"))}
    return LoadedRelease(argument["release"], "", Graph([spec]), {"score": score}, [], apis)


def body(number: int) -> bytes:
    return json.dumps({f"x{i}": float((number * 7 + i) % 100) for i in range(_FEATURES)}).encode()


class Client:
    """Sends what it is given and reads as many responses."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port))
        self._file = self._sock.makefile("rb")

    def all(self, requests: list[bytes]) -> list[Any]:
        self._sock.sendall(b"".join(requests))
        return [self._one() for _ in requests]

    def _one(self) -> Any:
        status, length = int(self._file.readline().split()[1]), 0
        while (line := self._file.readline()) != b"\r\n":
            if line[:15].lower() == b"content-length:":
                length = int(line[15:])
        found = self._file.read(length)
        assert status in (200, 202), found
        return json.loads(found)


def served(folder: Path, workers: int) -> tuple[subprocess.Popen[bytes], int, str]:
    """A server of its own, its port, and a token that may submit."""
    token = token_file.add(folder / "tokens.json", "bench", "submit", now=datetime.now(UTC), expires=None)
    settings = ServerSettings(
        loader="bench_queue:load",
        argument={},
        port=0,
        workers=workers,
        folder=str(folder / "serve"),
        log=str(folder / "log"),
        queue=f"sqlite:{folder}",
        tokens=str(folder / "tokens.json"),
    )
    script = (
        "import sys, msgspec; from funade import clock; from funade.serve.supervise.supervisor import serve;"
        "from funade.serve.settings import ServerSettings;"
        "serve(msgspec.json.decode(sys.argv[1], type=ServerSettings), lambda: (1, 1), clock=clock.system)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, "-c", script, msgspec.json.encode(settings).decode()], env=environment)
    while not (found := servers(folder / "serve")):
        time.sleep(0.02)
    return process, next(iter(found)).port, token


def end_to_end(folder: Path, workers: int) -> dict[str, float]:
    """Requests a second: submitted, done, and read."""
    process, port, token = served(folder, workers)
    try:
        clients = [Client(port) for _ in range(_CONNECTIONS)]
        head = f"POST /v1/score/submit HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: "
        asked = [f"{head}{len(b)}\r\n\r\n".encode() + b for b in map(body, range(NUMBER))]
        queue = SqliteQueue(folder / "queue.db", clock=system)
        began = time.monotonic()
        ids = _spread(clients, asked)
        submitted = time.monotonic()
        while queue.counts().done < NUMBER:
            time.sleep(0.005)
        done = time.monotonic()
        get = "GET /v1/queue/{} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer " + token + "\r\n\r\n"
        read = _spread(clients, [get.format(found["id"]).encode() for found in ids])
        ended = time.monotonic()
        _check(read)
        wait = [_latency(clients[0], asked[n], get) for n in range(200)]
        return {
            "submitted a second": NUMBER / (submitted - began),
            "submitted and answered a second": NUMBER / (done - began),
            "answers read a second": NUMBER / (ended - done),
            "ms from submit to answer, alone": statistics.median(wait) * 1000,
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _spread(clients: list[Client], requests: list[bytes]) -> list[Any]:
    """What all answer, some under way on each connection at any time."""
    found: list[Any] = []
    together = _CONNECTIONS * _UNDER_WAY
    for start in range(0, len(requests), together):
        parts = [requests[start + i * _UNDER_WAY : start + (i + 1) * _UNDER_WAY] for i in range(_CONNECTIONS)]
        for client, part in zip(clients, parts, strict=True):
            client._sock.sendall(b"".join(part))
        for client, part in zip(clients, parts, strict=True):
            found += [client._one() for _ in part]
    return found


def _check(read: list[Any]) -> None:
    for number, found in enumerate(read):
        expected = sum(i * value for i, value in enumerate(json.loads(body(number)).values()))
        assert found["state"] == "done" and abs(found["answer"]["y"] - expected) < 1e-6, found


def _latency(client: Client, request: bytes, get: str) -> float:
    began = time.monotonic()
    (kept,) = client.all([request])
    (found,) = client.all([get.format(kept["id"] + "?wait=5s").encode()])
    assert found["state"] == "done"
    return time.monotonic() - began


def alone(folder: Path, rows: int) -> float:
    """Requests a second through the file only, submitted and claimed so many at a time."""
    queue = SqliteQueue(folder / "queue.db", clock=system)
    number = NUMBER if rows > 1 else 1000
    began = time.monotonic()
    for start in range(0, number, rows):
        queue.submit([Submission("score", body(n)) for n in range(start, start + rows)])
    while claimed := queue.claim(rows):
        queue.settle([Result(c.id, b'{"y": 1.0}', "bench-1", 1) for c in claimed])
    assert queue.counts().done == number
    queue.close()
    return number / (time.monotonic() - began)


def main() -> None:
    """Print the figures."""
    runs: dict[str, list[float]] = {}
    for run in range(RUNS):
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                for name, value in end_to_end(Path(folder), workers).items():
                    runs.setdefault(f"{name}, {workers} worker{'s' * (workers > 1)}", []).append(value)
        for rows in (1, 50):
            with tempfile.TemporaryDirectory() as folder:
                runs.setdefault(f"through the file only a second, {rows} at a time", []).append(
                    alone(Path(folder), rows)
                )
        print(f"run {run + 1} of {RUNS}", file=sys.stderr)
    print("| what | median | least to greatest |\n|---|---|---|")
    for name, values in sorted(runs.items()):
        print(f"| {name} | {statistics.median(values):,.1f} | {min(values):,.1f} to {max(values):,.1f} |")
    got = statistics.median(runs["submitted and answered a second, 1 worker"])
    print(f"\nGoal: at least {GOAL:,} a second submitted and answered: {got / GOAL:.1f} x the goal")


if __name__ == "__main__":
    main()
