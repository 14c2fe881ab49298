"""The server's log: one JSON line per event, each written at once and whole."""

from __future__ import annotations

import os
import time
import traceback
from pathlib import Path
from typing import Any

import msgspec

from funade.clock import Clock
from funade.errors import message, writable

QUIET_S = 5.0
"""A traceback of one api is written at most this often; those between are counted."""


class EventLog:
    """Writes events to a file that several processes append to, or to standard error.

    Args:
        clock: the time each event bears.
        path: the file; "" for standard error.
        facts: what every line of this process says (``worker``, ``release``).
    """

    def __init__(self, clock: Clock, path: str = "", **facts: Any) -> None:
        self._clock = clock
        self._fd = os.open(Path(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if path else 2
        self._facts = facts
        self._told: dict[str, tuple[float, int]] = {}

    def event(self, name: str, **facts: Any) -> None:
        """Write one line; a full disk or a closed pipe never stops the server."""
        texts = {key: writable(value) if isinstance(value, str) else value for key, value in facts.items()}
        line = {"at": self._clock().isoformat(), "event": name, **self._facts, **texts}
        try:
            os.write(self._fd, msgspec.json.encode(line, enc_hook=str) + b"\n")
        except OSError:
            return

    def failed(self, api: str, error: BaseException) -> None:
        """An api's function failed: its traceback, but not more than one every ``QUIET_S`` seconds."""
        now = time.monotonic()
        last, silent = self._told.get(api, (-QUIET_S, 0))
        if now - last < QUIET_S:
            self._told[api] = (last, silent + 1)
            return
        self._told[api] = (now, 0)
        text = "".join(traceback.format_exception(error))[-8000:]
        self.event(
            "api failed",
            api=api,
            error=f"{type(error).__name__}: {message(error)}"[:500],
            traceback=text,
            silent=silent,
        )
