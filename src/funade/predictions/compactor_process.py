"""The log's compactor as a process of its own, and as the supervisor sees it: run, and run again when it died.

It is begun with ``CompactorSettings`` and goes on until its parent has nothing more to say.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import msgspec

from funade.events import EventLog
from funade.process.child import Child
from funade.process.parent import Parent, run
from funade.store import disk

_AGAIN_S = 2.0
_LONG_S = 3.0
_LOOK_S = 1.0
_LAST_S = 60.0
# Steps down from a request's share of a core: to a seventh of it, or a fiftieth, beside two busy threads. Not
# SCHED_IDLE, which gets nothing beside busy processes, not even to let go of the interpreter's lock.
_SMALL, _LEAST = 5, 10


class CompactorSettings(msgspec.Struct, frozen=True):
    """What a compactor is begun with: the log's folder, and after how many days it lets go of a day (0: never)."""

    folder: str
    days: int = 0


class CompactorProcess:
    """The compactor's process."""

    def __init__(self, settings: CompactorSettings, events: EventLog) -> None:
        self._settings = settings
        self._events = events
        self._child: Child | None = None
        self._again = 0.0

    def look(self) -> None:
        """Start it where it does not run; one that died is given a moment."""
        child, now = self._child, time.monotonic()
        if child is not None and child.status is not None:
            self._events.event("log keeper died", why=child.death())
            child.close()
            self._child, self._again = None, now + _AGAIN_S
        if self._child is None and now >= self._again:
            try:
                self._child = Child("funade.predictions.compactor_process", self._settings)
            except OSError as error:
                self._again = now + _AGAIN_S
                self._events.event("log keeper not started", error=str(error))

    def end(self) -> None:
        """Let it make readable what is written, and end; where it died just now, another does."""
        self.look()
        self._again = 0.0
        self.look()
        if self._child is not None:
            self._child.close_input()
            self._child.wait(_LAST_S)
            self._child.close()


class _NoPandas:
    """PyArrow imports pandas wherever it is there: 45 MB and half a second that the compactor has no use for."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Finds nothing itself, and keeps others from finding pandas."""
        if name == "pandas":
            raise ModuleNotFoundError("the compactor goes without pandas", name=name)


def _give_way() -> None:
    """Let this thread have next to nothing while others want its core: a request hardly waits for a segment."""
    os.nice(_LEAST)


def main(settings: CompactorSettings, parent: Parent) -> None:
    """Keep the log until the parent ends; one compactor a folder, others wait for their turn."""
    folder = Path(settings.folder)
    (folder / "open").mkdir(parents=True, exist_ok=True)
    os.nice(_SMALL)
    sys.meta_path.insert(0, _NoPandas())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the whole group; the supervisor decides
    from funade.predictions.compactor import Compactor  # Arrow, in this process alone and once pandas is out of reach

    compactor = Compactor(folder, settings.days)
    with (folder / "keeper.lock").open("w") as lock:
        while not _locked(lock):
            if parent.wait(_LOOK_S):
                return
        _keep(compactor.look, parent)
        compactor.look()


def _locked(lock: IO[str]) -> bool:
    with contextlib.suppress(BlockingIOError):
        disk.lock(lock.fileno(), wait=False)
        return True
    return False


def _keep(look: Callable[[], object], parent: Parent) -> None:
    """Look every second until the parent ends, in a thread that gives way to everybody.

    Where that left it behind, for the machine has no spare time, the next look takes a small share; so does the first,
    for one that is begun again may have much to do.
    """
    behind = True
    with ThreadPoolExecutor(1, initializer=_give_way) as spare:
        while True:
            begun = time.monotonic()
            try:
                look() if behind else spare.submit(look).result()
            except OSError as error:  # a full disk: tried again at the next look
                sys.stderr.write(f"keeper: {error}\n")
            behind = time.monotonic() - begun > _LONG_S
            if parent.wait(_LOOK_S):
                return


if __name__ == "__main__":
    run(main, CompactorSettings)
