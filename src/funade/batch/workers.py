"""The processes of a run: parts go out to whoever is free, what they say comes back."""

from __future__ import annotations

import selectors
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from typing import IO

import msgspec

from funade import errors, threads
from funade.batch.query import Query
from funade.batch.worker import WorkerReport, WorkOrder
from funade.errors import DiskFull, FunadeError, ServeError

TRIES = 2
"""How often a part is begun before the death of its process ends the run."""


class _Worker:
    """One process, and the part it is at (-1: none)."""

    def __init__(self, order: WorkOrder | Query) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "funade.batch.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=threads.environment(),
            start_new_session=True,  # Ctrl-C is for the run, which ends its processes itself
        )
        self.part = -1
        self.rows = 0
        self._rest = b""
        self._write(msgspec.json.encode(order))

    @property
    def out(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    def ask(self, part: int) -> None:
        self.part, self.rows = part, 0
        self._write(b"%d" % part)

    def _write(self, line: bytes) -> None:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # that it is gone is heard soon
            self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()

    def hear(self) -> list[WorkerReport] | None:
        """What it said since; None once it is gone."""
        data = self.out.read1(1 << 16)  # type: ignore[attr-defined]
        *lines, self._rest = (self._rest + data).split(b"\n")
        said = [msgspec.json.decode(line, type=WorkerReport) for line in lines]
        return said if data else None

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.out.close()


def answered(begin: WorkOrder, parts: Sequence[int], workers: int) -> Generator[tuple[int, int], None, None]:
    """Have parts answered by so many processes; gives (part, rows more), and (part, -1) once that part is whole.

    Rows that a process answered of a part which it did not finish are taken back: (part, -rows - 1).

    Raises:
        BuildFailed: the api's function raised; ``traceback`` has where.
        AnswerError: what it gave is not what the contract says.
        DiskFull: no room for a part.
        ServeError: a process died twice at one part, or the release does not load.
    """
    waiting, tries = deque(parts), dict.fromkeys(parts, 0)
    crew: list[_Worker] = []
    with selectors.DefaultSelector() as selector:
        try:
            for _ in range(min(workers, len(parts))):
                crew.append(_Worker(begin))
                selector.register(crew[-1].out, selectors.EVENT_READ, crew[-1])
            busy = len(crew)
            while busy:
                for key, _ in selector.select():
                    worker: _Worker = key.data
                    said = worker.hear()
                    if said is None:
                        yield from _taken_back(worker)
                        selector.unregister(worker.out)
                        _died(worker, tries, waiting)
                        worker.end()
                        crew.remove(worker)
                        crew.append(_Worker(begin))
                        selector.register(crew[-1].out, selectors.EVENT_READ, crew[-1])
                        continue
                    for one in said:
                        if one.error:
                            raise _error(one)
                        if one.rows:
                            worker.rows += one.rows
                            yield worker.part, one.rows
                            continue
                        if one.part >= 0:
                            worker.part = -1
                            yield one.part, -1
                        if waiting:
                            part = waiting.popleft()
                            tries[part] += 1
                            worker.ask(part)
                        else:
                            busy -= 1
                            selector.unregister(worker.out)
        finally:
            for worker in crew:
                worker.end()


def materialised(query: Query) -> None:
    """Have a process of its own write a query's rows to their file: what DuckDB holds, it then gives back.

    Raises:
        ResultRefused: DuckDB refuses the query.
        DiskFull: no room for its rows.
        ServeError: the process died.
    """
    worker = _Worker(query)
    try:
        while (said := worker.hear()) is not None:
            for one in said:
                if one.error:
                    raise _error(one, "rows")
                return
        raise ServeError(
            f"--rows expected the query's rows, got the end of its process with {_how(worker)}",
            do="see that the machine has memory enough",
        )
    finally:
        worker.end()


def _how(worker: _Worker) -> str:
    status = worker.process.wait()
    return f"signal {-status}" if status < 0 else f"status {status}"


def _taken_back(worker: _Worker) -> Iterator[tuple[int, int]]:
    if worker.part >= 0 and worker.rows:
        yield worker.part, -worker.rows - 1


def _died(worker: _Worker, tries: dict[int, int], waiting: deque[int]) -> None:
    how = _how(worker)
    if worker.part < 0:
        raise ServeError(f"batch expected its process to come up, got its end with {how}", do="see its output above")
    if tries[worker.part] >= TRIES:
        raise ServeError(
            f"batch expected part {worker.part} answered, got its process ended twice with {how}",
            do="see that the machine has memory enough; the same command continues",
        )
    waiting.appendleft(worker.part)


def _error(said: WorkerReport, what: str = "parts") -> Exception:
    if said.kind == DiskFull.__name__:
        return DiskFull(
            f"batch expected room for its {what}, got {said.error}", do="free some; the same command continues"
        )
    kind: type[FunadeError] = getattr(errors, said.kind)
    return kind(said.error, at=said.at, do=said.do, traceback=said.traceback)
