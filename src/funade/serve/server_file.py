"""What a running server says of itself in a file: which release it answers from, and whether a newer one failed."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from funade.store import disk


class ServerState(msgspec.Struct, frozen=True):
    """One supervisor: where it listens and what its workers answer from.

    ``coming`` is the release that is being brought up (0 for none); ``failed`` says why the last one did not come up.
    """

    pid: int
    host: str
    port: int
    release: int
    generation: int
    workers: tuple[int, ...] = ()
    coming: int = 0
    failed: str = ""


class ServerFile:
    """This supervisor's file in a folder, named by its port; a server that was killed leaves its own behind.

    The folder is made if absent.
    """

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{port}.json"
        self._written: ServerState | None = None
        self._path.unlink(missing_ok=True)  # a dead server's

    def write(self, server: ServerState) -> None:
        """Replace what is said where it is another; a full disk never stops the server."""
        if server == self._written:
            return
        self._written = server
        fresh = self._path.with_suffix(f".{os.getpid()}.new")
        with contextlib.suppress(OSError):
            disk.write_unsynced(self._path, msgspec.json.encode(server), fresh=fresh)

    def remove(self) -> None:
        """Say nothing any more."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def read(path: Path) -> ServerState | None:
    """What the server whose file that is said last; None where it says nothing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=ServerState)
    except (OSError, msgspec.DecodeError):
        return None
