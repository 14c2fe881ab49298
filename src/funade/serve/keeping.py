"""The supervisor's part in the log: its keeper runs, and runs again when it died."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import msgspec

from funade.serve.journal import Journal
from funade.serve.keeper import Keep

_AGAIN_S = 2.0
_LAST_S = 10.0


class Keeping:
    """The keeper's process.

    Args:
        keep: what it is told.
        journal: the server's log.
    """

    def __init__(self, keep: Keep, journal: Journal) -> None:
        self._text = msgspec.json.encode(keep).decode()
        self._journal = journal
        self._process: subprocess.Popen[bytes] | None = None
        self._again = 0.0

    def look(self) -> None:
        """Start it where it does not run; one that died is given a moment."""
        process, now = self._process, time.monotonic()
        if process is not None and process.poll() is not None:
            self._journal.event("log keeper died", code=process.returncode)
            _close(process)
            self._process, self._again = None, now + _AGAIN_S
        if self._process is None and now >= self._again:
            command = [sys.executable, "-P", "-m", "funade.serve.keeper", self._text]
            try:
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
            except OSError as error:
                self._again = now + _AGAIN_S
                self._journal.event("log keeper not started", error=str(error))

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
