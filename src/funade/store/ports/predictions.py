"""The port of predictions: the answers that servers gave, logged by workers and read as a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from funade.events import EventLog

if TYPE_CHECKING:  # Arrow, NumPy and the event loop, which most who open a store do without
    import asyncio

    import pyarrow as pa

    from funade.store.prediction_record import Record
    from funade.store.warehouse.query import Select


class PredictionWriter(Protocol):
    """Logs one worker's answers; ``add`` and ``keep`` are called on its loop, and neither waits for anything."""

    @property
    def logged(self) -> int:
        """Rows that are in the log."""

    @property
    def lost(self) -> int:
        """Rows that were answered and will never be in the log."""

    def add(self, record: Record) -> None:
        """Log answers soon; they are lost where the process is killed before."""

    def keep(self, record: Record, then: Callable[[bool], None]) -> None:
        """Log answers before they are sent: ``then`` is called on the loop with whether they are there for good."""

    def close(self) -> None:
        """Log what is noted and end."""


class Compaction(Protocol):
    """What runs beside a server so that its log can be read."""

    def look(self) -> None:
        """See to it that it runs; called often."""

    def end(self) -> None:
        """Have everything readable that was logged, and end it."""


class PredictionStore(Protocol):
    """The answers that servers gave: written by many workers, read by SQL. A row that can be read once always can,
    until its day is let go of.
    """

    def writer(
        self,
        mark: str,
        release: int,
        without: Mapping[str, frozenset[str]],
        loop: asyncio.AbstractEventLoop,
        events: EventLog,
    ) -> PredictionWriter:
        """Logs the answers of one worker, whose prediction ids begin with ``mark``.

        ``without`` names an api's fields that are not kept; ``events`` is told when rows are lost.
        """

    def compaction(self, days: int, events: EventLog) -> Compaction | None:
        """What is to run beside a server; it lets go of answers after so many days (0: never). None: nothing is."""

    def select(self, *, mark: str = "", number: int | None = None) -> Select:
        """Reads the log: all of it, or of the worker whose prediction ids begin with ``mark``, and of one number."""

    def calls(self, ids: Collection[str]) -> Iterator[tuple[str, pa.Table]]:
        """Calls of an api's function, by what stands in the column ``call``: each with all its rows in their order.

        A table has what was kept of one call alone, so that no type is another release's.
        """
