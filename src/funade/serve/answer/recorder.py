"""What is noted of every answer of a worker: its number, the counts, the prediction log, the server's log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from funade.events import EventLog
from funade.serve.answer.request import IncomingRequest
from funade.serve.metrics.meter import Meter
from funade.store.ports.predictions import PredictionWriter
from funade.store.prediction_record import Record


class Recorder:
    """Numbers, counts, logs and keeps the answers of one worker; every method on the loop's thread.

    ``mark``, 12 hexadecimal characters of this worker alone, begins every prediction id. Without ``log``, the
    prediction log, answers are not kept.
    """

    def __init__(self, mark: str, meter: Meter, events: EventLog, log: PredictionWriter | None = None) -> None:
        self.mark = mark
        self.meter = meter
        self.events = events
        self.log = log
        self._next = 1

    def numbers(self, count: int) -> range:
        """The next ``count`` prediction numbers, each given once."""
        first, self._next = self._next, self._next + count
        return range(first, self._next)

    def prediction(self, number: int) -> str:
        """The prediction id of a number."""
        return f"{self.mark}-{number:x}"

    def note(self, record: Record) -> None:
        """Log and count answers; they may be sent before they are on the disk."""
        if self.log is not None:
            self.log.add(record)
        self.meter.batch(record)

    def keep(self, record: Record, then: Callable[[bool], None]) -> None:
        """Write answers to the disk before they are sent: ``then`` is told whether they are there.

        Those that are count as answered.
        """

        def counted(kept: bool) -> None:
            if kept:
                self.meter.batch(record)
            then(kept)

        if self.log is None:
            counted(True)
        else:
            self.log.keep(record, counted)

    def tick(self, waiting: Mapping[str, int]) -> None:
        """About once a second: bring the counts up to date; ``waiting`` is the rows that wait, by api."""
        log = self.log
        self.meter.tick(waiting, logged=log.logged if log else 0, lost=log.lost if log else 0)

    def close(self) -> None:
        """Write what is noted: the worker ends."""
        if self.log is not None:
            self.log.close()
        self.meter.close()

    def refuse(self, api: str, request: IncomingRequest, status: int, error: str, path: str = "") -> None:
        """Count a refusal under the request's api and door, and send it."""
        self.meter.refused(api, status, request.door)
        request.refuse(status, error, path)
