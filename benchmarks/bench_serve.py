"""Run the serving benchmark and write ``docs/benchmarks-serve.md``: servers beside each other, every answer checked.

The servers are all started, pinned to one core, and stand still but for the one whose turn it is; the compiled client
and this program have another core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import serving_data
from contestants import SERVE, VARIANTS, Contestant, Running, all_of_them, before
from measure import REPOSITORY, processor
from serving_page import Cost, Page, written

CLIENT = REPOSITORY / ".venv-serve" / "client"
SERVER_CORE, CLIENT_CORE = 0, 1
TOLERANCE = 1e-4
CAUGHT_UP_S = 5.0


@dataclass(frozen=True)
class Work:
    """How much of it: ``runs`` of ``seconds`` for each server, connections and rows."""

    folder: Path
    connections: tuple[int, ...]
    rows: tuple[int, ...]
    runs: int
    seconds: float


def load(work: Work, running: Running, connections: int, rows: int, seconds: float, rate: float = 0) -> dict[str, Any]:
    """What the client found, and the server's CPU seconds meanwhile."""
    one = running.contestant
    path = one.many if rows > 1 and one.many else one.path
    files = [str(work.folder / f"{one.shape}-{rows}"), str(work.folder / f"expected-{rows}")]
    command = ["taskset", "-c", str(CLIENT_CORE), str(CLIENT), str(running.port), path, str(connections), str(seconds)]
    before = running.cpu_s()
    done = subprocess.run(
        [*command, *files, one.key, str(TOLERANCE), str(rate)], capture_output=True, text=True, timeout=seconds + 60
    )
    if done.returncode:
        raise RuntimeError(f"{one.name}: {done.stderr.strip()}")
    found: dict[str, Any] = json.loads(done.stdout)
    time.sleep(one.later_s if rows == 1 else 0)
    return found | {"cpu_s": running.cpu_s() - before}


def speeds(work: Work, servers: list[Running]) -> Iterator[tuple[str, int, int, dict[str, float]]]:
    """Name, connections, rows and the medians of alternating runs."""
    for rows in work.rows:
        for connections in work.connections:
            taken: dict[str, list[dict[str, Any]]] = {s.contestant.name: [] for s in servers}
            for turn in range(work.runs + 1):
                for server in servers:
                    with awake(server):
                        found = load(work, server, connections, rows, work.seconds if turn else work.seconds / 2)
                    if turn:  # the first warms up
                        taken[server.contestant.name].append(found)
            for name, runs in taken.items():
                yield name, connections, rows, summary(runs)


def summary(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over the runs; errors and wrong answers are summed."""
    found = {what: median(r[what] for r in runs) for what in ("p50_ms", "p99_ms", "max_ms")}
    found |= {what: sum(r[what] for r in runs) for what in ("errors", "wrong", "shed")}
    found["wall"] = median(r["requests"] / r["wall_s"] for r in runs)
    found["cpu"] = median(r["answered"] / max(r["cpu_s"], 0.01) for r in runs)
    for run in runs:
        if run["first_error"]:
            print("   ", run["first_error"], flush=True)
    return found


def calm(work: Work, server: Running, rate: float) -> dict[str, float]:
    """Latencies at a tenth of what the server can do, over 64 connections, one row a request."""
    with awake(server):
        time.sleep(CAUGHT_UP_S if server.contestant.later_s else 0)  # it stood still with work of the runs before
        return summary([load(work, server, 64, 1, max(work.seconds, 1), rate / 10) for _ in range(work.runs)])


@contextlib.contextmanager
def awake(server: Running) -> Iterator[None]:
    server.wake()
    try:
        yield
    finally:
        server.rest()


def cost(server: Running, bare: dict[str, float] | None) -> Cost:
    """Seconds to the first answer and memory; of funade also those of a worker that takes a dead one's place."""
    with awake(server):
        memory = server.memory_mb()
        if bare is None:
            return Cost(server.contestant.name, server.first_s, memory)
        worker = next(pid for pid in server.processes() if "funade.serve.worker.worker" in command(pid))
        held = resident_mb(worker)
        os.kill(worker, signal.SIGKILL)
        begun = time.monotonic()
        while server._ask(json.dumps(question())) is None:
            time.sleep(0.005)
        again = time.monotonic() - begun
    return Cost(server.contestant.name, server.first_s, memory, again, held, bare["s"], bare["mb"])


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def question() -> dict[str, float]:
    return {f"x{i}": 0.5 for i in range(20)}


def resident_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def bare(form: str, frame: str) -> dict[str, float]:
    """Seconds and memory of an interpreter that imports what the user's modules import, and no more; medians of 5."""
    names = ["numpy", "lightgbm"] + ([frame] if frame != "columns" else []) + (["onnxruntime"] * (form == "onnx"))
    end = "print(open('/proc/self/status').read().partition('VmRSS:')[2].split()[0])"
    program = f"import {', '.join(names)}; {end}"
    taken, held = [], []
    for _ in range(6):
        begun = time.monotonic()
        command = ["taskset", "-c", str(SERVER_CORE), str(SERVE / "python"), "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        taken.append(time.monotonic() - begun)
        held.append(int(done.stdout) / 1024)
    return {"s": median(taken[1:]), "mb": median(held[1:])}


def release(folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Build and release the project in ``folder``."""
    surroundings = os.environ | (environment or {})
    for step in ("build", "stage", "release"):
        done = subprocess.run(
            [SERVE / "python", "-m", "funade", "-C", folder, step],
            capture_output=True,
            text=True,
            cwd=folder,
            env=surroundings,
        )
        if done.returncode:
            raise SystemExit(f"funade {step} failed: {done.stdout}{done.stderr}")


def start(contestants: list[Contestant], folder: Path, model: Path, failed: dict[str, str]) -> list[Running]:
    """Those that came up, each at rest; the others' own words go into ``failed``."""
    servers = []
    for contestant in contestants:
        print(f"starting {contestant.name} …", flush=True)
        try:
            servers.append(Running(contestant, folder, model, SERVER_CORE))
            servers[-1].rest()
        except (OSError, RuntimeError) as error:
            failed[contestant.name] = str(error)
            print(error, flush=True)
    return servers


def run(given: argparse.Namespace, folder: Path) -> Page:
    """Everything measured."""
    for frame in ("columns", "pandas", "polars"):
        serving_data.project(folder / frame, given.model, frame)
        release(folder / frame)
    for variant in VARIANTS:
        shutil.copytree(folder / "columns", folder / variant)
    model = serving_data.prepare(folder, given.model)
    contestants = [c for c in all_of_them() if not given.only or any(o in c.name for o in given.only)]
    if given.beside:
        contestants.append(before(given.beside.resolve()))
        serving_data.project(folder / "before", given.model, "columns")
        release(folder / "before", contestants[-1].environment)
    work = Work(folder, tuple(given.connections), tuple(given.rows), given.runs, given.seconds)
    page = Page(given.model, given.runs, given.seconds, machine(), given.note)
    servers = start(contestants, folder, model, page.failed)
    try:
        for name, connections, rows, found in speeds(work, servers):
            page.speeds[name, connections, rows] = found
            print(f"{rows:4} rows {connections:3} connections {name}: {found}", flush=True)
        for server in servers:
            name = server.contestant.name
            at_most = page.speeds.get((name, 64, 1))
            if at_most is not None:
                page.calm[name] = calm(work, server, at_most["wall"])
                print(f"calm {name}: {page.calm[name]}", flush=True)
        for server in servers:
            frame = server.contestant.frame
            page.costs.append(cost(server, bare(given.model, frame) if frame else None))
            print(page.costs[-1], flush=True)
    finally:
        for server in servers:
            server.stop()
    page.contestants = contestants
    return page


def machine() -> str:
    """The processor, the system, and the versions in every environment."""
    names = "funade numpy lightgbm onnxruntime msgspec httptools uvloop pandas polars uvicorn fastapi pydantic litserve"
    said = []
    for venv in ("serve", "peers-web", "peers-bentoml", "peers-mlserver"):
        program = (
            "import sys, importlib.metadata as m\n"
            "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
            "print(', '.join(f'{n} {have[n]}' for n in sys.argv[1:] if n in have))"
        )
        python = REPOSITORY / f".venv-{venv}" / "bin" / "python"
        if python.exists():
            command = [str(python), "-c", program, *names.split(), "bentoml", "mlserver"]
            said.append(f"`{venv}`: {subprocess.run(command, capture_output=True, text=True).stdout.strip()}")
    load_average = ", ".join(f"{n:.2f}" for n in os.getloadavg())
    return (
        f"{processor()}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}; "
        f"load average at the start {load_average}.\n\n" + "\n".join(f"- {line}" for line in said)
    )


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=tuple(serving_data.FORMS), default="onnx")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--rows", type=int, nargs="+", choices=serving_data.ROWS, default=serving_data.ROWS)
    parser.add_argument("--only", nargs="+", default=[], help="contestants whose name holds one of these")
    parser.add_argument("--beside", type=Path, help="a checkout of another commit of funade, measured in the same run")
    parser.add_argument("--note", default="", help="a sentence for the page")
    parser.add_argument("--page", type=Path, default=REPOSITORY / "docs" / "benchmarks-serve.md")
    return parser.parse_args()


def main() -> None:
    given = options()
    os.sched_setaffinity(0, {CLIENT_CORE})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the servers are stopped on the way out
    folder = Path(tempfile.mkdtemp(prefix="bench-serve-"))
    try:
        page = run(given, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    given.page.write_text(written(page))


if __name__ == "__main__":
    main()
