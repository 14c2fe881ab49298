"""The log's compactor as a process of its own, and as the supervisor sees it: run, and run again when it died.

``python -P -m funade.predictions.compactor_process JSON`` goes on until its standard input ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec

from funade.events import EventLog
from funade.predictions import segments
from funade.store import disk
from funade.store.address import folder_of

_AGAIN_S = 2.0
_LONG_S = 3.0
_LOOK_S = 1.0
_LAST_S = 10.0


class CompactorSettings(msgspec.Struct, frozen=True):
    """What a keeper is started with: the store's address, and after how many days it lets go of a day (0: never)."""

    store: str
    days: int = 0


class CompactorProcess:
    """The keeper's process.

    Args:
        keep: what it is told.
        journal: the server's log.
    """

    def __init__(self, keep: CompactorSettings, events: EventLog) -> None:
        self._text = msgspec.json.encode(keep).decode()
        self._events = events
        self._process: subprocess.Popen[bytes] | None = None
        self._again = 0.0

    def look(self) -> None:
        """Start it where it does not run; one that died is given a moment."""
        process, now = self._process, time.monotonic()
        if process is not None and process.poll() is not None:
            self._events.event("log keeper died", code=process.returncode)
            _close(process)
            self._process, self._again = None, now + _AGAIN_S
        if self._process is None and now >= self._again:
            command = [sys.executable, "-P", "-m", "funade.predictions.compactor_process", self._text]
            try:
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
            except OSError as error:
                self._again = now + _AGAIN_S
                self._events.event("log keeper not started", error=str(error))

    def end(self) -> None:
        """Let it make readable what is written, and end; where it died just now, another does."""
        self.look()
        self._again = 0.0
        self.look()
        if self._process is not None:
            _close(self._process)
            try:
                self._process.wait(_LAST_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()


class _NoPandas:
    """PyArrow imports pandas wherever it is there: 45 MB and half a second that the keeper has no use for."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Finds nothing itself, and keeps others from finding pandas."""
        if name == "pandas":
            raise ModuleNotFoundError("the keeper goes without pandas", name=name)


def _give_way() -> None:
    """Let this thread run only while nobody else wants its core: a request never waits for a segment to be made."""
    if hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):  # some containers do not allow it
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main(argument: str) -> None:
    """Keep the log until standard input ends; one keeper a folder, others wait for their turn.

    It works in a thread that gives way to everybody. Where that left it behind, for the machine has no spare time, it
    takes a small share like any other.
    """
    keep = msgspec.json.decode(argument, type=CompactorSettings)
    folder = folder_of(keep.store) / segments.FOLDER
    (folder / "open").mkdir(parents=True, exist_ok=True)
    os.nice(10)
    sys.meta_path.insert(0, _NoPandas())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the whole group; the supervisor decides
    from funade.predictions.compactor import Compactor  # Arrow, in this process alone and once pandas is out of reach

    compactor = Compactor(folder, keep.days)
    with (folder / "keeper.lock").open("w") as lock, ThreadPoolExecutor(1, initializer=_give_way) as spare:
        mine = behind = False
        while True:
            if not mine:
                with contextlib.suppress(BlockingIOError):
                    disk.lock(lock.fileno(), wait=False)
                    mine = True
            if mine:
                begun = time.monotonic()
                try:
                    compactor.look() if behind else spare.submit(compactor.look).result()
                except OSError as error:  # a full disk: tried again at the next look
                    sys.stderr.write(f"keeper: {error}\n")
                behind = time.monotonic() - begun > _LONG_S
            if select.select([sys.stdin], [], [], _LOOK_S)[0]:
                break
        if mine:
            compactor.look()


if __name__ == "__main__":
    main(sys.argv[1])
