"""Commands run as real processes that take milliseconds to start: a process that has imported all, and forks.

As a program (``python -m support.forks``) it reads orders from standard input, one JSON list of runs a line,
starts the runs of one order together, and answers with how each ended. ``Forks`` is the side that tests use.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

DIED = 9
"""The exit status of a run that was stopped at a commit point."""


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """One process: a command's ``arguments``, or Python ``code`` that sees ``root``.

    ``stop``: it dies at this commit point of all it passes, counted from 1. ``kill_after_s``: it is killed then.
    ``trace``: a file for each commit point it passes and the records it finds there. ``most_bytes``: no file of its
    grows larger. ``unprivileged``: root, too, may only do what a file's mode says.
    """

    root: str
    arguments: tuple[str, ...] = ()
    code: str = ""
    stop: int = 0
    kill_after_s: float | None = None
    trace: str = ""
    most_bytes: int = 0
    unprivileged: bool = False


class Ended(msgspec.Struct, frozen=True):
    """How a process ended: its exit status (negative: the signal), what it said, and for how long it ran."""

    status: int
    out: str
    err: str
    seconds: float


class Forks:
    """A process that forks others, ended with the ``with`` block."""

    def __enter__(self) -> Forks:
        # One BLAS thread: a fork has only the thread that forked.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.forks"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "OPENBLAS_NUM_THREADS": "1",
                "OMP_NUM_THREADS": "1",
            },
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def together(self, *runs: Run) -> list[Ended]:
        """How runs end that begin at one moment."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(runs).decode() + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline(), type=list[Ended])

    def run(self, run: Run) -> Ended:
        """How one run ends."""
        return self.together(run)[0]


Records = dict[str, list[Any]]
"""Table → its rows, without what differs between two runs of one command: ids drawn at random, seconds."""


def records(root: Path) -> Records:
    """Everything that a project's store remembers."""
    path = root / ".funade" / "records.db"
    if not path.is_file():
        return {}
    connection = sqlite3.connect(path, timeout=120)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {table: [_settled(row) for row in connection.execute(f"SELECT * FROM {table}")] for table in tables}
    finally:
        connection.close()
    return {table: rows for table, rows in sorted(found.items()) if rows and not table.startswith("sqlite")}


def _settled(row: tuple[Any, ...]) -> Any:
    *columns, last = row
    if not (isinstance(last, str) and last.startswith("{")):
        return list(row)
    record = json.loads(last)
    if "started_at" in record:  # a build
        columns = []
        record = {k: v for k, v in record.items() if k not in ("id", "seconds")}
    record.pop("build", None)
    for finding in record.get("report", ()):
        if "ms" in finding["expected"] or "ms" in finding["got"]:
            finding["got"] = "a time"
    return [*columns, record]


def _serve() -> None:
    _import_all()
    for line in sys.stdin:
        runs = msgspec.json.decode(line, type=list[Run])
        print(msgspec.json.encode(_together(runs)).decode(), flush=True)


def _import_all() -> None:
    import importlib.resources
    import uuid

    import duckdb
    import numpy
    import pyarrow.compute
    import pyarrow.parquet

    import funade.build.load
    import funade.build.run
    import funade.cli.look
    import funade.cli.make
    import funade.cli.ship
    import funade.cli.versions
    import funade.project.project
    import funade.release.switch
    import funade.store.codecs

    _ = (importlib.resources, uuid, duckdb, numpy, pyarrow, funade)


def _together(runs: list[Run]) -> list[Ended]:
    with tempfile.TemporaryDirectory() as folder:
        wait, go = os.pipe()
        places = [Path(folder) / str(number) for number in range(len(runs))]
        children = [_fork(run, place, wait, go) for run, place in zip(runs, places, strict=True)]
        os.close(wait)
        began = time.monotonic()
        os.close(go)
        statuses = {}
        for child, run in zip(children, runs, strict=True):
            if run.kill_after_s is not None:
                time.sleep(max(0.0, began + run.kill_after_s - time.monotonic()))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
        for _ in children:
            child, status = os.wait()
            statuses[child] = (os.waitstatus_to_exitcode(status), time.monotonic() - began)
        return [
            Ended(statuses[child][0], _text(place, "out"), _text(place, "err"), statuses[child][1])
            for child, place in zip(children, places, strict=True)
        ]


def _text(place: Path, name: str) -> str:
    return place.with_suffix(f".{name}").read_text()


def _fork(run: Run, place: Path, wait: int, go: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(place.with_suffix(f".{name}"), os.O_CREAT | os.O_WRONLY), number)
        sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(n, "w"), write_through=True) for n in (1, 2))
        os.close(go)
        os.read(wait, 1)
        status = _run(run)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _run(run: Run) -> int:
    from funade import points
    from funade.cli import main

    if run.unprivileged:
        _drop_privileges()
    if run.most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (run.most_bytes, run.most_bytes))
    points.watch = _Watch(run)
    if run.code:
        exec(run.code, {"root": Path(run.root)})
        return 0
    try:
        main(["-C", run.root, *run.arguments])
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    return 0


class _Watch:
    """Dies at the commit point it is told; else writes down which is passed, and what is recorded then."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.passed = 0

    def __call__(self, name: str) -> None:
        self.passed += 1
        if self.run.trace:
            with Path(self.run.trace).open("a") as file:
                file.write(json.dumps([name, records(Path(self.run.root))]) + "\n")
        if self.passed == self.run.stop:
            os._exit(DIED)


def _drop_privileges() -> None:
    """Take from root what lets it pass over a file's mode (CAP_DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    for index in (0, 1):
        sets[index] &= ~0b1110 & 0xFFFFFFFF
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    _serve()
