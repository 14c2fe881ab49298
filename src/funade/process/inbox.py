"""The receiving end of a pipe that carries messages, each one line of JSON."""

from __future__ import annotations

import os
import selectors
from collections import deque

_PIECE = 1 << 16


class Inbox:
    """Whole lines as they arrive; what a sender began and did not finish is dropped.

    ``open`` turns false when no more can arrive. The open ``file`` stays its owner's.
    """

    def __init__(self, file: int) -> None:
        self.file = file
        self.open = True
        self._lines: deque[bytes] = deque()
        self._partial = bytearray()

    def wait(self, seconds: float | None) -> bool:
        """Whether there is something to ``take``, its end included, within so many seconds (None: for ever)."""
        with selectors.PollSelector() as selector:
            selector.register(self.file, selectors.EVENT_READ)
            return bool(selector.select(seconds))

    def take(self) -> None:
        """Read once what has arrived; blocks while nothing has."""
        data = os.read(self.file, _PIECE)
        self.open = bool(data)
        first, *others = data.split(b"\n")
        self._partial += first
        for piece in others:
            self._lines.append(bytes(self._partial))
            self._partial = bytearray(piece)

    def next(self) -> bytes | None:
        """The oldest line that was taken and not given out yet; None where there is none."""
        return self._lines.popleft() if self._lines else None

    @property
    def waiting(self) -> bool:
        """Whether a line may still arrive and none is there."""
        return self.open and not self._lines
