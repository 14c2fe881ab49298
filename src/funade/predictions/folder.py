"""The prediction store in a folder: workers append to files, a process beside the server makes segments of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from funade.events import EventLog
from funade.predictions.compactor_process import CompactorProcess, CompactorSettings
from funade.store.ports.predictions import Compaction, PredictionWriter

if TYPE_CHECKING:
    import asyncio

    import pyarrow as pa

    from funade.store.warehouse.query import Select


class PredictionFolder:
    """``folder/open`` has what workers write, ``folder/api=…/day=…`` what can be read; made with the first answer.

    NumPy and Arrow are imported by what writes and reads: commands that only open the store go without.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def writer(
        self,
        mark: str,
        release: int,
        without: Mapping[str, frozenset[str]],
        loop: asyncio.AbstractEventLoop,
        events: EventLog,
    ) -> PredictionWriter:
        """Logs the answers of one worker into a file of its own."""
        from funade.predictions.writer import LogWriter

        return LogWriter(self.folder, mark, release, without, loop, events)

    def compaction(self, days: int, events: EventLog) -> Compaction:
        """The compactor, in a process of its own."""
        return CompactorProcess(CompactorSettings(str(self.folder), days), events)

    def select(self, *, mark: str = "", number: int | None = None) -> Select:
        """Reads the segments: all rows, or those of one worker, and of one number."""
        from funade.predictions import segments, table

        return table.select(segments.live(self.folder), mark, number)

    def calls(self, ids: Collection[str]) -> Iterator[tuple[str, pa.Table]]:
        """Calls of an api's function, by what stands in the column ``call``."""
        from funade.predictions import segments, table

        return table.calls(segments.live(self.folder), ids)
