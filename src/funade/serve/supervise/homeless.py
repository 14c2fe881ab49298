"""Connections that no worker holds for the moment: handed back by an old worker, to be taken by a new one."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence

from funade.serve.control.messages import Take
from funade.serve.supervise.generation import WorkerProcess


class HomelessConnections:
    """Open connections, oldest first, each with what was read from it and not answered."""

    def __init__(self) -> None:
        self._connections: deque[tuple[int, bytes]] = deque()

    def add(self, file: int, unread: bytes) -> None:
        """Keep a connection, which is this object's from now on."""
        self._connections.append((file, unread))

    def house(self, workers: Sequence[WorkerProcess]) -> None:
        """Give them to workers that are ready, each to the one that took the fewest; without one they wait."""
        homes = [worker for worker in workers if worker.ready]
        while homes and self._connections:
            file, unread = self._connections.popleft()
            home = min(homes, key=lambda worker: worker.taken)
            home.taken += 1
            home.channel.send(Take(unread), file)

    def close(self) -> None:
        """Close those that are left."""
        for file, _ in self._connections:
            os.close(file)
        self._connections.clear()
