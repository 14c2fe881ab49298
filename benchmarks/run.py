"""Run the benchmarks and write ``docs/benchmarks.md``: figures beside their references, with machine and versions."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import help
import nothing_to_do
import record_build
import snapshot
from measure import REPOSITORY, machine

PARTS = (help, record_build, snapshot, nothing_to_do)
RUNS = 7

HEAD = """# Benchmarks

Each table is one run of `make bench`: the contestants take turns on one machine, and the figures are medians with
the least and the greatest. Machines differ and are noisy; the ratios say more than the seconds.

Machine: {machine}.
Peers: {peers}. The scripts are in `benchmarks/`.
"""


def main() -> None:
    only = set(sys.argv[1:])
    text = HEAD.format(machine=machine(), peers=peers())
    for part in PARTS:
        if only and part.__name__ not in only:
            continue
        print(f"{part.TITLE} …", flush=True)
        with tempfile.TemporaryDirectory(dir=REPOSITORY / ".venv") as scratch:
            rows = part.run(Path(scratch), RUNS)
        text += f"\n## {part.TITLE}\n\nGoal: {part.GOAL}.\n\n"
        text += "| what | median | least to greatest | ratio |\n|---|---|---|---|\n"
        for row in rows:
            print(row)
            text += f"{row}\n"
    if not only:
        (REPOSITORY / "docs" / "benchmarks.md").write_text(text)


def peers() -> str:
    """The peers' versions."""
    names = ("sf-hamilton", "dagster", "mlflow")
    locked = (REPOSITORY / "requirements" / "peers.txt").read_text().splitlines()
    pins = dict(line.split(" ")[0].split("==") for line in locked if "==" in line and not line.startswith(" "))
    return ", ".join(f"{name} {pins[name]}" for name in names)


if __name__ == "__main__":
    main()
