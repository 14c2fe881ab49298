"""The process that began this one, as a child process sees it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import msgspec

from funade.process.error_report import ErrorReport
from funade.process.inbox import Inbox

S = TypeVar("S")


class Parent:
    """The two pipes that this process was begun with.

    They are moved out of the way of users' code: what it prints goes to standard error, what it reads is empty.
    """

    def __init__(self) -> None:
        self._inbox = Inbox(os.dup(0))
        self._out = os.dup(1)
        os.dup2(2, 1)
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)

    def send(self, message: msgspec.Struct) -> None:
        """Send a message, waiting while the pipe is full; nothing happens where nobody reads it."""
        data = memoryview(msgspec.json.encode(message) + b"\n")
        with contextlib.suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._out, data) :]

    def hear(self, kind: Any) -> Any:
        """The next message, of a struct or a union of tagged ones; None once there will be none."""
        while self._inbox.waiting:
            self._inbox.take()
        line = self._inbox.next()
        return None if line is None else msgspec.json.decode(line, type=kind)

    def listen(self, kind: Any) -> SimpleQueue[Any]:
        """The messages as they arrive, heard by a thread, which ends this process at once when there will be none."""
        messages: SimpleQueue[Any] = SimpleQueue()
        threading.Thread(target=self._pass_on, args=(kind, messages), daemon=True).start()
        return messages

    def _pass_on(self, kind: Any, messages: SimpleQueue[Any]) -> None:
        while (message := self.hear(kind)) is not None:
            messages.put(message)
        leave(0)

    def wait(self, seconds: float) -> bool:
        """Whether the parent says something, or nothing any more, within so many seconds."""
        return not self._inbox.waiting or self._inbox.wait(seconds)


def run(work: Callable[[S, Parent], None], settings: type[S]) -> None:
    """Do a child's work on the settings that it is begun with; an exception is reported and ends the process at once.

    To be called on the main thread, before anything is written to standard output.
    """
    parent = Parent()
    try:
        message = parent.hear(settings)
        if message is not None:
            work(message, parent)
    except BaseException as error:  # whatever users' code raises
        parent.send(ErrorReport.of(error))
        leave(1)


def leave(status: int) -> None:
    """End this process at once, whatever threads it has; what was printed is written first."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(status)
