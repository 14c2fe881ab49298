"""The processes of a run: parts go out to whoever is free, what they say comes back."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import closing

from funade.batch.query import Query
from funade.batch.worker import PartAnswered, PartOrder, RowsAnswered, WorkerMessage, WorkOrder
from funade.errors import ServeError
from funade.process.child import Child, ChildEnded, ChildFailed, Ready, Surroundings, wait_any

TRIES = 2
"""How often a part is begun before the death of its process ends the run."""

_AROUND = Surroundings(own_session=True)  # Ctrl-C is for the run, which ends its processes itself

News = Iterator[tuple[int, int | None]]
"""(part, rows more of it, fewer than 0 where a process did not finish it), and (part, None) once it is whole."""


class PoolWorker:
    """One process, and the part it is at (-1: none) with so many rows answered."""

    def __init__(self, order: WorkOrder) -> None:
        self.child = Child("funade.batch.worker", order, _AROUND)
        self.part = -1
        self.rows = 0

    def ask(self, part: int) -> None:
        """Have it answer a part."""
        self.part, self.rows = part, 0
        self.child.send(PartOrder(part))


class Pool:
    """The processes of one run, each begun with ``order``, and the parts that wait for them."""

    def __init__(self, order: WorkOrder, parts: Sequence[int]) -> None:
        self._order = order
        self._waiting = deque(parts)
        self._tries = Counter[int]()
        self._busy: list[PoolWorker] = []
        self._idle: list[PoolWorker] = []

    def work(self, workers: int) -> News:
        """Have every part answered by so many processes; gives what happens until then.

        Raises:
            BuildFailed: the api's function raised; ``traceback`` has where.
            AnswerError: what it gave is not what the contract says.
            DiskFull: no room for a part.
            ServeError: a process died twice at one part, or the release does not load.
        """
        self._busy = [PoolWorker(self._order) for _ in range(min(workers, len(self._waiting)))]
        while self._busy:
            wait_any([worker.child for worker in self._busy])
            for worker in list(self._busy):
                yield from self._heard(worker)

    def close(self) -> None:
        """End every process."""
        for worker in (*self._busy, *self._idle):
            worker.child.close()

    def _heard(self, worker: PoolWorker) -> News:
        try:
            for message in worker.child.messages(WorkerMessage):
                yield from self._news(worker, message)
        except ChildFailed as failed:
            raise failed.report.error("batch expected its process to work") from None
        if worker in self._busy and not worker.child.open:
            yield from self._replaced(worker)

    def _news(self, worker: PoolWorker, message: WorkerMessage) -> News:
        if isinstance(message, RowsAnswered):
            worker.rows += message.rows
            yield worker.part, message.rows
            return
        if isinstance(message, PartAnswered):
            worker.part = -1
            yield message.part, None
        if self._waiting:
            part = self._waiting.popleft()
            self._tries[part] += 1
            worker.ask(part)
        else:
            self._busy.remove(worker)
            self._idle.append(worker)

    def _replaced(self, worker: PoolWorker) -> News:
        """Another process for one that died; its part is begun again."""
        if worker.part >= 0 and worker.rows:
            yield worker.part, -worker.rows
        self._refuse_death(worker)
        self._waiting.appendleft(worker.part)
        self._busy.remove(worker)
        worker.child.close()
        self._busy.append(PoolWorker(self._order))

    def _refuse_death(self, worker: PoolWorker) -> None:
        death = worker.child.death()
        if worker.part < 0:
            raise ServeError(f"batch expected its process to come up, got: {death}", do="see its output above")
        if self._tries[worker.part] >= TRIES:
            raise ServeError(
                f"batch expected part {worker.part} answered, got twice: {death}",
                do="see that the machine has memory enough; the same command continues",
            )


def materialised(query: Query) -> None:
    """Have a process of its own write a query's rows to their file: what DuckDB holds, it then gives back.

    Raises:
        ResultRefused: DuckDB refuses the query.
        DiskFull: no room for its rows.
        ServeError: the process died.
    """
    with closing(Child("funade.batch.query", query, _AROUND)) as child:
        try:
            child.hear(Ready)
        except ChildEnded as ended:
            what = f"--rows expected the query's rows, got: {ended}"
            raise ServeError(what, do="see that the machine has memory enough") from None
        except ChildFailed as failed:
            raise failed.report.error("--rows expected the query's rows") from None
