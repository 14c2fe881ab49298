"""A candidate or release in a process of its own, beside this one: started, asked, ended."""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TypeVar

import msgspec

from funade import threads
from funade.release.host_process import HostSettings, Request, Trouble
from funade.store.records import Candidate
from funade.store.store import Store

R = TypeVar("R")

PATIENCE_S = 120.0
"""How long one answer may take."""


class HostSilent(Exception):
    """The process ended or did not answer in time; the text says which."""


class HostProcess:
    """A process that hosts one candidate on its own code; requests are answered in order.

    Args:
        hosted: what it hosts.
        folder: where its files lie; made here.
        patience_s: seconds until an answer counts as none.
    """

    def __init__(self, hosted: HostSettings, folder: Path, *, patience_s: float = PATIENCE_S) -> None:
        folder.mkdir(parents=True)
        (folder / "hosted.json").write_bytes(msgspec.json.encode(hosted))
        self.patience_s = patience_s
        self._errors = folder / "errors.txt"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "funade.release.host_process", str(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=threads.environment(),
            )
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        assert self._process.stdout is not None
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()

    def __enter__(self) -> HostProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def loaded(self) -> Trouble | None:
        """Why it could not be loaded; None when it could."""
        try:
            return self.answer(Trouble | None)  # type: ignore[arg-type]
        except HostSilent as silent:
            return Trouble(str(silent))

    def ask(self, request: Request) -> None:
        """Ask something; the answer is waited for by ``answer``."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it ended, which the next answer says
            self._process.stdin.write(msgspec.json.encode(request) + b"\n")
            self._process.stdin.flush()

    def answer(self, kind: type[R]) -> R:
        """The answer to the first request that was not answered yet.

        Raises:
            Silent: there is none.
        """
        try:
            line = self._lines.get(timeout=self.patience_s)
        except queue.Empty:
            self._process.kill()
            raise HostSilent(f"no answer within {self.patience_s:g} s") from None
        if not line:
            self._lines.put(b"")
            raise HostSilent(self._ended())
        return msgspec.json.decode(line, type=kind)

    def _ended(self) -> str:
        status = self._process.wait()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        said = self._errors.read_text("utf-8", errors="replace").strip().splitlines()
        return f"its process ended with {how}" + (f": {said[-1][:200]}" if said else "")

    def _listen(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(ValueError):  # closed while waiting: nobody listens any more
            for line in stream:
                self._lines.put(line)
        self._lines.put(b"")


def hosted(store: Store, candidate: Candidate, golden: tuple[str, ...] = ()) -> HostSettings:
    """What a process hosts of a store."""
    return HostSettings(store.address, candidate, golden)
