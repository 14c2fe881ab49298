"""Callbacks still to be delivered: what the queue owes to those who asked to be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from funade.queue.queue import Queue
from funade.queue.records import Callback


class Delivery(NamedTuple):
    """What became of one attempt: ``error`` is "" when it was delivered; ``counted``: it was one of its tries."""

    id: str
    attempt: int
    error: str = ""
    counted: bool = True


class CallbackStore:
    """The callbacks of a queue; each verb is one transaction and may raise ``StoreError``.

    Args:
        queue: the queue.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def due(self) -> bool:
        """Whether there is any to deliver."""
        sql = "SELECT 1 FROM calls WHERE state = 'waiting' AND due <= ? LIMIT 1"
        return self._queue.there and bool(self._queue.database.rows(sql, [self._queue.now()]))

    def claim(self, most: int) -> list[Callback]:
        """The longest due, for this worker to deliver."""
        queue = self._queue
        with queue.database.writing() as on:
            now = queue.now()
            numbers = [n for (n,) in on.execute(_DUE, (now, most))]
            listed = msgspec.json.encode(numbers).decode()
            on.execute(_CLAIM, (queue.worker, now + queue.rules.lease_s, listed))
            found = on.execute(_CLAIMED, (listed,)).fetchall()
        kept = queue.look([id for id, _ in found])
        return [Callback(kept[id].callback, attempts, kept[id]) for id, attempts in found if id in kept]

    def settle(self, told: Sequence[Delivery]) -> None:
        """Say what became of claimed callbacks: delivered, tried again later, or given up."""
        queue, rules = self._queue, self._queue.rules
        with queue.database.writing() as on:
            for one in told:
                mine = (one.id, queue.worker, one.attempt)
                if not one.error:
                    on.execute(f"DELETE FROM calls {_MINE}", mine)
                    continue
                state = "dead" if one.counted and one.attempt >= rules.call_tries else "waiting"
                due = queue.now() + queue.wait_s(one.attempt)
                on.execute(_AGAIN, (state, due, 0 if one.counted else 1, one.error, *mine))


_DUE = "SELECT request FROM calls WHERE state = 'waiting' AND due <= ? ORDER BY due LIMIT ?"

_CLAIM = """
UPDATE calls SET state = 'claimed', worker = ?, until = ?, attempts = attempts + 1
WHERE request IN (SELECT value FROM json_each(?))
"""

_CLAIMED = """
SELECT id, calls.attempts FROM calls JOIN requests ON number = request
WHERE request IN (SELECT value FROM json_each(?)) ORDER BY calls.due
"""

_MINE = """
WHERE state = 'claimed' AND request = (SELECT number FROM requests WHERE id = ?) AND worker = ? AND attempts = ?
"""

_AGAIN = f"UPDATE calls SET state = ?, worker = '', due = ?, attempts = attempts - ?, error = ? {_MINE}"
