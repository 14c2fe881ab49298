"""A child process, as the process that began it sees it."""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import msgspec

from funade.process.error_report import ErrorReport
from funade.process.inbox import Inbox

M = TypeVar("M")

ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
)
"""What numeric libraries look at when they are imported, to see how many threads they may use."""

_LOOK_S = 1.0
_CLOSED_S = 5.0
_LAST_LINE = 200


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """Child: what it was begun for has come up."""


class Surroundings(NamedTuple):
    """What a child inherits: open files, a working folder other than ours, a session of its own.

    With ``keeps_errors`` what it writes to standard error is kept for the account of its death, else it shares ours.
    """

    files: tuple[int, ...] = ()
    folder: Path | None = None
    own_session: bool = False
    keeps_errors: bool = False


OURS = Surroundings()
"""No file but the standard ones, this process's folder, session and standard error."""


class ChildFailed(Exception):
    """There is no answer; ``report`` is the error that the child reported."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.line())
        self.report = report


class ChildEnded(ChildFailed):
    """There is no answer, for the process ended or did not speak in time; the text says which."""


class Child:
    """One process: ``python -P -m MODULE``, which ``parent.run`` makes a child of this one.

    Args:
        module: what it runs.
        settings: the first message it gets; nothing of them shows among its arguments.
        around: what it inherits.

    Raises:
        OSError: the system does not start it.
    """

    def __init__(self, module: str, settings: msgspec.Struct, around: Surroundings = OURS) -> None:
        self._errors: IO[bytes] | None = None
        with contextlib.ExitStack() as unless_started:
            if around.keeps_errors:
                self._errors = unless_started.enter_context(tempfile.TemporaryFile())
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=around.files,
                cwd=around.folder,
                start_new_session=around.own_session,
                env=environment(),
            )
            unless_started.pop_all()
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input = self._process.stdin
        self._inbox = Inbox(self._process.stdout.fileno())
        self.send(settings)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status, negative for a signal; None while it lives."""
        return self._process.poll()

    @property
    def open(self) -> bool:
        """Whether messages may still arrive."""
        return self._inbox.open

    def send(self, message: msgspec.Struct) -> None:
        """Send a message, reading what it sends meanwhile; that it is gone is heard later."""
        data = memoryview(msgspec.json.encode(message) + b"\n")
        with contextlib.suppress(BrokenPipeError), selectors.PollSelector() as selector:
            selector.register(self._input, selectors.EVENT_WRITE)
            if self._inbox.open:
                selector.register(self._inbox.file, selectors.EVENT_READ)
            while data:
                for key, _ in selector.select():
                    if key.fileobj is self._input:
                        data = data[os.write(key.fd, data[: select.PIPE_BUF]) :]
                    else:
                        self._inbox.take()
                        if not self._inbox.open:
                            selector.unregister(key.fileobj)

    def close_input(self) -> None:
        """Send nothing more, which a child can wait for."""
        with contextlib.suppress(OSError):
            self._input.close()

    def take(self) -> None:
        """Read what has arrived; ``messages`` are then those that are whole."""
        ended = self._process.poll() is not None
        if self._inbox.open and self._inbox.wait(0):
            self._inbox.take()
        elif ended:  # a process that it left behind may hold the pipe for ever
            self._inbox.open = False

    def messages(self, kind: Any) -> Iterator[Any]:
        """The messages that were read, oldest first; ``kind`` is a tagged struct or a union of such.

        Raises:
            ChildFailed: one is an error.
        """
        while (line := self._inbox.next()) is not None:
            yield _decoded(line, kind)

    def hear(self, kind: type[M], patience_s: float = math.inf) -> M:
        """The next message; a child that is silent for so many seconds is ended.

        Raises:
            ChildFailed: it is an error.
            ChildEnded: there is none.
        """
        until = time.monotonic() + patience_s
        while self._inbox.waiting:
            left = until - time.monotonic()
            if left <= 0:
                self.kill()
                raise ChildEnded(ErrorReport(f"no answer within {patience_s:g} s"))
            if not self._inbox.wait(min(left, _LOOK_S)) and self._process.poll() is None:
                continue
            self.take()
        line = self._inbox.next()
        if line is None:
            raise ChildEnded(ErrorReport(self.death()))
        message: M = _decoded(line, kind)
        return message

    def death(self) -> str:
        """In one line: the error that it reported and nobody heard, or how it ended and what it wrote last.

        It is waited for; where it only closed its pipe, it is ended.
        """
        while self._inbox.open and self._inbox.wait(0):
            self._inbox.take()
        try:
            for _ in self.messages(Ready):
                pass
        except ChildFailed as failed:
            return str(failed)
        try:
            status = self._process.wait(_CLOSED_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return "its process closed its output and did not end"
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"its process ended with {how}" + (f": {lines[-1][:_LAST_LINE]}" if (lines := self.errors()) else "")

    def errors(self) -> list[str]:
        """The lines that it wrote to standard error, where they are kept."""
        if self._errors is None:
            return []
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip().splitlines()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def wait(self, seconds: float) -> bool:
        """Whether it ends by itself within so many seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def close(self) -> None:
        """End it where it lives, and let go of all that belongs to it."""
        self.kill()
        self._process.wait()
        self.close_input()
        for file in (self._process.stdout, self._errors):
            if file is not None:
                file.close()


def environment() -> dict[str, str]:
    """This process's environment for a child: numeric libraries use one thread there, unless it says otherwise.

    Answers then do not depend on how many rows are asked at once, and several processes share the cores without
    fighting.
    """
    return dict.fromkeys(ONE_THREAD, "1") | dict(os.environ)


def wait_any(children: Sequence[Child]) -> None:
    """Wait until one of them has sent something or ended, a second at most; then take what there is of all."""
    with selectors.PollSelector() as selector:
        for child in children:
            selector.register(child._inbox.file, selectors.EVENT_READ)
        selector.select(_LOOK_S)
    for child in children:
        child.take()


def _decoded(line: bytes, kind: Any) -> Any:
    message = msgspec.json.decode(line, type=kind | ErrorReport)
    if isinstance(message, ErrorReport):
        raise ChildFailed(message)
    return message
