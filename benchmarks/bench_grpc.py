"""Typed gRPC: rows per CPU-second of the server, of funade beside grpcio's own servers with the same model.

``python benchmarks/bench_grpc.py [--runs 3] [--seconds 5] [--rows 1 8 64]``: one row a call by ``One``, more by
``Many``; server on one core, client on another, in turn, medians. funade logs what it answers and counts it; the others
do not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import serving_data
from contestants import free_port, stat
from scoring import data

HERE = Path(__file__).parent
SERVICE = "/funade.scoring.score.Api/"
ROWS = (1, 8, 64)
FUNADE = "funade"
CONTESTANTS = (FUNADE, "grpcio sync", "grpcio aio")


def prepare(folder: Path) -> Path:
    """The model, the project released, its .proto compiled for the peers, messages and expected answers."""
    from grpc_tools import protoc

    model = serving_data.prepare(folder, "onnx")
    project = folder / "project"
    serving_data.project(project, "onnx", "columns")
    for step in ("build", "stage", "release"):
        _funade(project, step, *(("--because", "a benchmark") if step == "release" else ()))
    protos = folder / "protos"
    _funade(project, "export", "proto", "--into", str(protos))
    (file,) = protos.rglob("*.proto")
    arguments = ["protoc", f"-I{protos}", f"--python_out={protos}", f"--grpc_python_out={protos}", str(file)]
    assert protoc.main(arguments) == 0
    pool = data.table(serving_data.POOL, seed=2)
    one = [message(row) for row in pool.tolist()]
    for rows in ROWS:
        calls = one if rows == 1 else [many(one[start : start + rows]) for start in range(0, len(one), rows)]
        (folder / f"bodies-{rows}").write_bytes(b"".join(calls))
    return model


def message(row: list[float]) -> bytes:
    """A row as a request: a key and eight bytes a field; numbers from 16 on need a longer key."""
    keys = [
        bytes([n << 3 | 1]) if n < 16 else bytes([(n << 3 | 1) & 127 | 128, n >> 4]) for n in range(1, len(row) + 1)
    ]
    return b"".join(key + struct.pack("<d", value) for key, value in zip(keys, row, strict=True))


def many(rows: list[bytes]) -> bytes:
    """Requests of one length, 128 bytes or more, as the message of ``Many``."""
    return b"".join(b"\x0a" + bytes([len(row) & 127 | 128, len(row) >> 7]) + row for row in rows)


def _funade(project: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "funade", "-C", str(project), *arguments], check=True, capture_output=True)


def serve(name: str, folder: Path, model: Path, port: int, core: int) -> subprocess.Popen[bytes]:
    if name == FUNADE:
        command = [
            sys.executable,
            "-m",
            "funade",
            "-C",
            str(folder / "project"),
            "serve",
            "--workers",
            "1",
            "--port",
            "0",
        ]
        command += ["--grpc-port", str(port)]
    else:
        peer = str(HERE / "peers" / "serve_grpc.py")
        command = [sys.executable, peer, name.partition(" ")[2], str(port), str(model), str(folder / "protos")]
    log = (folder / "log").open("ab")
    return subprocess.Popen(["taskset", "-c", str(core), *command], stdout=log, stderr=log, start_new_session=True)


def cpu_s(process: subprocess.Popen[bytes]) -> float:
    """Processor time of the server's whole session."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*"):
        fields = stat(int(path.name))
        if fields and int(fields[3]) == process.pid:
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def measure(process: subprocess.Popen[bytes], port: int, folder: Path, rows: int, given: argparse.Namespace) -> Any:
    client = ["taskset", "-c", "1", sys.executable, str(HERE / "grpc_client.py")]
    path = SERVICE + ("One" if rows == 1 else "Many")
    arguments = [str(port), path, str(given.connections), str(given.seconds), str(folder), str(rows)]
    with subprocess.Popen([*client, *arguments], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "begin\n"
        before = cpu_s(process)
        assert asking.stdout.readline() == "end\n"
        used = cpu_s(process) - before
        found = json.loads(asking.stdout.readline())
    assert not found["wrong"] and not found["failed"], found
    answered = found["calls"] * rows
    return found | {"per_cpu_s": answered / used, "per_s": answered / found["wall_s"]}


def run(name: str, folder: Path, model: Path, given: argparse.Namespace) -> dict[int, Any]:
    """Rows a call → what was measured."""
    port = free_port()
    process = serve(name, folder, model, port, 0)
    try:
        _wait(port, process)
        return {rows: measure(process, port, folder, rows, given) for rows in given.rows}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(60)
    assert process.poll() is None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS, choices=ROWS)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        model = prepare(folder)
        found: dict[str, list[dict[int, Any]]] = {name: [] for name in CONTESTANTS}
        for _ in range(given.runs):
            for name in CONTESTANTS:
                found[name].append(run(name, folder, model, given))
                time.sleep(0.5)
    print("| rows a call | server | rows a CPU-second | rows a second | p50 ms | p99 ms | x better grpcio |")
    print("|---|---|---|---|---|---|---|")
    for rows in given.rows:
        table(rows, {name: [each[rows] for each in runs] for name, runs in found.items()})


def table(rows: int, found: dict[str, list[Any]]) -> None:
    """Print one line a server."""
    medians = {n: {k: statistics.median(one[k] for one in each) for k in each[0]} for n, each in found.items()}
    best = max(medians[name]["per_cpu_s"] for name in CONTESTANTS if name != FUNADE)
    for name, one in medians.items():
        rates = f"{one['per_cpu_s']:.0f} | {one['per_s']:.0f} | {one['p50_ms']} | {one['p99_ms']}"
        print(f"| {rows} | {name} | {rates} | {one['per_cpu_s'] / best:.2f} |")


if __name__ == "__main__":
    main()
