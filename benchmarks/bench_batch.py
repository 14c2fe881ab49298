"""Batch: rows of a table through an api into a table, beside a bare loop over arrays in memory.

``python benchmarks/bench_batch.py [--millions N] [--runs N] [--frame columns]`` prints a table of medians. The model
is LightGBM (100 trees of 31 leaves on 20 features) as ONNX. The bare loop is two threads, each with an onnxruntime
session of one thread, over pieces of a float32 array: it reads nothing, checks nothing and writes nothing. A run of
funade is the whole command, its processes' start included. Memory is the greatest sum of the proportional set sizes
(PSS) of all processes, looked at ten times a second.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import serving_data
from funade.project.project import Project
from scoring import data

GOAL, MOST_MB = 0.8, 500
_PIECE = 1 << 15

SOURCE = '''"""The rows to score: as many a day."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import funade as fn
from scoring.data import NAMES, columns

DAY = 1_000_000


@fn.source(fn.every("1 day", since="2022-01-01"), fn.time("at"))
def wanted(day: str) -> pa.Table:
    number = int((np.datetime64(day) - np.datetime64("2022-01-01")).astype(int))
    found = columns(DAY, seed=100 + number)
    at = np.full(DAY, np.datetime64(day, "us"))
    return pa.table({"id": np.arange(number * DAY, (number + 1) * DAY), "at": at, **{n: found[n] for n in NAMES}})
'''


def bare(model: bytes, x: Any) -> float:
    """Seconds that two threads take for an array."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = [ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]) for _ in range(2)]
    out = np.empty(len(x), dtype=np.float32)

    def half(which: int) -> None:
        session = sessions[which]
        name = session.get_inputs()[0].name
        for start in range(which * _PIECE, len(x), 2 * _PIECE):
            piece = x[start : start + _PIECE]
            out[start : start + len(piece)] = session.run(None, {name: piece})[0].ravel()

    began = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(half, range(2)))
    return time.perf_counter() - began


class Memory(threading.Thread):
    """The greatest memory (MB, PSS) of a process and all below it."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.most, self.ended = pid, 0.0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            self.most = max(self.most, sum(map(pss, below(self.pid))))


def below(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def pss(pid: int) -> float:
    with suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def batch(root: Path) -> tuple[float, float]:
    """Seconds and memory of one command."""
    began = time.perf_counter()
    process = subprocess.Popen([*command(root), "batch", "score", "--rows", "wanted", "--into", "scored"])
    memory = Memory(process.pid)
    status = process.wait()
    took = time.perf_counter() - began
    memory.ended.set()
    memory.join()
    assert status == 0, status
    return took, memory.most


def command(root: Path, days: int = 30) -> list[str]:
    at = f"2022-01-{days + 1:02}T12:00"
    return [sys.executable, "-m", "funade", "-C", str(root), "--at", at]


def prepared(root: Path, days: int, frame: str) -> None:
    """A released project with so many days of a million rows in its store."""
    serving_data.project(root, "onnx", frame)
    (root / "scoring" / "wanted.py").write_text(SOURCE)
    for step in (["load", "wanted"], ["build", "model"], ["stage"], ["release"]):
        subprocess.run([*command(root, days), *step], check=True, stdout=subprocess.DEVNULL)


def features(days: int) -> Any:
    """The same rows as one float32 array."""
    return np.concatenate([data.table(1_000_000, seed=100 + day).astype(np.float32) for day in range(days)])


def checked(root: Path, model: bytes, days: int) -> None:
    """Every answer of the last run, in order, is what the bare loop finds."""
    from onnxruntime import InferenceSession

    found = Project.find(root).sql("SELECT id, y FROM scored", form="columns")
    assert (found["id"] == np.arange(days * 1_000_000)).all()
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    for day in range(days):
        x = data.table(1_000_000, seed=100 + day)[:2000].astype(np.float32)
        y = found["y"][day * 1_000_000 :][:2000]
        assert np.abs(session.run(None, {"x": x})[0].ravel() - y).max() < 1e-4


def main() -> None:
    asked = argparse.ArgumentParser()
    asked.add_argument("--millions", type=int, default=10)
    asked.add_argument("--runs", type=int, default=3)
    asked.add_argument("--frame", default="columns", choices=("columns", "pandas", "polars"))
    given = asked.parse_args()
    model = serving_data.converted(data.fitted(data.columns(20_000, seed=1)))
    with tempfile.TemporaryDirectory(prefix="bench-batch-") as folder:
        root = Path(folder) / "project"
        root.mkdir()
        prepared(root, given.millions, given.frame)
        loops: list[float] = []
        runs: list[tuple[float, float]] = []
        for _ in range(given.runs):
            x = features(given.millions)
            loops.append(bare(model, x))
            del x
            runs.append(batch(root))
        checked(root, model, given.millions)
    loop, took = statistics.median(loops), statistics.median(one for one, _ in runs)
    print(
        f"rows {given.millions} million, frame {given.frame}, {given.runs} alternating runs, every answer in its place"
    )
    print(f"bare loop  {loop:.2f} s ({min(loops):.2f} to {max(loops):.2f})")
    print(f"funade     {took:.2f} s ({min(runs)[0]:.2f} to {max(runs)[0]:.2f})")
    print(f"ratio      {loop / took:.2f} (goal {GOAL})")
    print(f"memory     {max(most for _, most in runs):.0f} MB of all processes (goal {MOST_MB})")


if __name__ == "__main__":
    main()
