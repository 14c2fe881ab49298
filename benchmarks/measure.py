"""Measuring: alternating runs, medians, ratios, and the machine they were made on."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
HERE = REPOSITORY / ".venv" / "bin"
PEERS = REPOSITORY / ".venv-peers" / "bin"


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, its median and spread, and its ratio to the reference."""

    what: str
    median_s: float
    least_s: float
    greatest_s: float
    ratio: float | None = None

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} ×"
        return f"| {self.what} | {show(self.median_s)} | {show(self.least_s)} to {show(self.greatest_s)} | {ratio} |"


def show(seconds: float) -> str:
    """A length of time as people read it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def alternate(runs: int, **contestants: Callable[[], float]) -> list[Row]:
    """Run the contestants in turn; the first is the one that ratios compare others with. Each gives its seconds."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for name in contestants:
        contestants[name]()  # warm-up
    for _ in range(runs):
        for name, once in contestants.items():
            taken[name].append(once())
    first = statistics.median(next(iter(taken.values())))
    rows = []
    for index, (name, times) in enumerate(taken.items()):
        median = statistics.median(times)
        rows.append(Row(name.replace("_", " "), median, min(times), max(times), median / first if index else None))
    return rows


def process(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> Callable[[], float]:
    """A contestant: one process from start to end, in wall seconds."""

    def once() -> float:
        started = time.perf_counter()
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **(environment or {})}, capture_output=True, text=True
        )
        taken = time.perf_counter() - started
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
        return taken

    return once


def processor() -> str:
    """The processor's model."""
    return next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )


def machine() -> str:
    """The processor, its cores, the system and the versions that matter."""
    names = ("duckdb", "pyarrow", "numpy", "pandas", "lightgbm", "msgspec", "click")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return (
        f"{processor()}, {os.cpu_count()} cores, Linux {platform.release()}, "
        f"Python {platform.python_version()}; {versions}"
    )
