"""The processes of a run: parts go out to whoever is free, what they say comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

from funade.batch.query import Query
from funade.batch.worker import PartAnswered, PartOrder, RowsAnswered, WorkerMessage, WorkOrder
from funade.errors import ServeError
from funade.process.child import Child, ChildEnded, ChildFailed, Ready, Surroundings, wait_any

TRIES = 2
"""How often a part is begun before the death of its process ends the run."""

_AROUND = Surroundings(own_session=True)  # Ctrl-C is for the run, which ends its processes itself

News = Iterator[tuple[int, int]]
"""(part, rows more of it), (part, -1) once it is whole, and (part, -rows - 1) for rows that are taken back."""


def answered(order: WorkOrder, parts: Sequence[int], workers: int) -> Generator[tuple[int, int], None, None]:
    """Have parts answered by so many processes; gives (part, rows more), and (part, -1) once that part is whole.

    Rows that a process answered of a part which it did not finish are taken back: (part, -rows - 1).

    Raises:
        BuildFailed: the api's function raised; ``traceback`` has where.
        AnswerError: what it gave is not what the contract says.
        DiskFull: no room for a part.
        ServeError: a process died twice at one part, or the release does not load.
    """
    with closing(Crew(order, parts)) as crew:
        crew.begin(min(workers, len(parts)))
        yield from crew.work()


class CrewMember:
    """One process, and the part it is at (-1: none) with so many rows answered."""

    def __init__(self, order: WorkOrder) -> None:
        self.child = Child("funade.batch.worker", order, _AROUND)
        self.part = -1
        self.rows = 0

    def ask(self, part: int) -> None:
        """Have it answer a part."""
        self.part, self.rows = part, 0
        self.child.send(PartOrder(part))


class Crew:
    """The processes of one run, and the parts that wait for them.

    Args:
        order: what each of them is begun with.
        parts: the numbers of the parts to answer.
    """

    def __init__(self, order: WorkOrder, parts: Sequence[int]) -> None:
        self._order = order
        self._waiting = deque(parts)
        self._tries = dict.fromkeys(parts, 0)
        self._busy: list[CrewMember] = []
        self._idle: list[CrewMember] = []

    def begin(self, count: int) -> None:
        """Start so many processes more."""
        for _ in range(count):
            self._busy.append(CrewMember(self._order))

    def work(self) -> News:
        """What happens until every part is answered.

        Raises:
            FunadeError: as ``answered``.
        """
        while self._busy:
            wait_any([member.child for member in self._busy])
            for member in list(self._busy):
                yield from self._heard(member)

    def close(self) -> None:
        """End every process."""
        for member in (*self._busy, *self._idle):
            member.child.close()

    def _heard(self, member: CrewMember) -> News:
        try:
            for message in member.child.messages(WorkerMessage):
                yield from self._news(member, message)
        except ChildFailed as failed:
            raise failed.report.error("batch expected its process to work") from None
        if member in self._busy and not member.child.open:
            yield from self._replaced(member)

    def _news(self, member: CrewMember, message: WorkerMessage) -> News:
        if isinstance(message, RowsAnswered):
            member.rows += message.rows
            yield member.part, message.rows
            return
        if isinstance(message, PartAnswered):
            member.part = -1
            yield message.part, -1
        if self._waiting:
            part = self._waiting.popleft()
            self._tries[part] += 1
            member.ask(part)
        else:
            self._busy.remove(member)
            self._idle.append(member)

    def _replaced(self, member: CrewMember) -> News:
        """Another process for one that died; its part is begun again."""
        if member.part >= 0 and member.rows:
            yield member.part, -member.rows - 1
        self._refuse_death(member)
        self._waiting.appendleft(member.part)
        self._busy.remove(member)
        member.child.close()
        self.begin(1)

    def _refuse_death(self, member: CrewMember) -> None:
        death = member.child.death()
        if member.part < 0:
            raise ServeError(f"batch expected its process to come up, got: {death}", do="see its output above")
        if self._tries[member.part] >= TRIES:
            raise ServeError(
                f"batch expected part {member.part} answered, got twice: {death}",
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
