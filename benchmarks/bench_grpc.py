"""Typed gRPC: calls per CPU-second of funade beside grpcio's own servers with the same model.

``python benchmarks/bench_grpc.py [--runs 5] [--seconds 5]``: server on one core, client on another, in turn, medians.
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
PATH = "/funade.scoring.score.Api/One"
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
    (folder / "bodies").write_bytes(b"".join(message(row) for row in pool.tolist()))
    (folder / "expected").write_text((folder / "expected-1").read_text())
    return model


def message(row: list[float]) -> bytes:
    """A row as a request: a key and eight bytes a field; numbers from 16 on need a longer key."""
    keys = [
        bytes([n << 3 | 1]) if n < 16 else bytes([(n << 3 | 1) & 127 | 128, n >> 4]) for n in range(1, len(row) + 1)
    ]
    return b"".join(key + struct.pack("<d", value) for key, value in zip(keys, row, strict=True))


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


def measure(
    process: subprocess.Popen[bytes], port: int, folder: Path, connections: int, seconds: float, core: int
) -> Any:
    client = ["taskset", "-c", str(core), sys.executable, str(HERE / "grpc_client.py")]
    arguments = [str(port), PATH, str(connections), str(seconds), str(folder)]
    with subprocess.Popen([*client, *arguments], stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "begin\n"
        before = cpu_s(process)
        assert asking.stdout.readline() == "end\n"
        used = cpu_s(process) - before
        found = json.loads(asking.stdout.readline())
    assert not found["wrong"] and not found["failed"], found
    return found | {"per_cpu_s": found["calls"] / used, "per_s": found["calls"] / found["wall_s"]}


def run(name: str, folder: Path, model: Path, given: argparse.Namespace) -> Any:
    port = free_port()
    process = serve(name, folder, model, port, 0)
    try:
        _wait(port, process)
        return measure(process, port, folder, given.connections, given.seconds, 1)
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
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        model = prepare(folder)
        found: dict[str, list[Any]] = {name: [] for name in CONTESTANTS}
        for _ in range(given.runs):
            for name in CONTESTANTS:
                found[name].append(run(name, folder, model, given))
                time.sleep(0.5)
    medians = {n: {k: statistics.median(one[k] for one in each) for k in each[0]} for n, each in found.items()}
    best = max(medians[name]["per_cpu_s"] for name in CONTESTANTS if name != FUNADE)
    print("| server | calls a CPU-second | calls a second | p50 ms | p99 ms | x better grpcio |")
    print("|---|---|---|---|---|---|")
    for name, one in medians.items():
        rates = f"{one['per_cpu_s']:.0f} | {one['per_s']:.0f} | {one['p50_ms']} | {one['p99_ms']}"
        print(f"| {name} | {rates} | {one['per_cpu_s'] / best:.2f} |")


if __name__ == "__main__":
    main()
