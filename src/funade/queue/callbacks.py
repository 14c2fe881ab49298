"""Callbacks still to be delivered: what the queue owes to those who asked to be told."""

from __future__ import annotations

from collections.abc import Sequence

from funade.queue.file import QueueFile, listed
from funade.store.queue_records import Callback, Delivery


class SqliteCallbacks:
    """The callbacks of a queue; each verb is one transaction and may raise ``StoreError``."""

    def __init__(self, file: QueueFile) -> None:
        self._queue = file

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
            on.execute(_CLAIM, (queue.worker, now + queue.rules.lease_s, listed(numbers)))
            rows = on.execute(_CLAIMED, (listed(numbers),)).fetchall()
        requests = queue.requests([id for id, _ in rows])
        return [Callback(requests[id].callback, attempts, requests[id]) for id, attempts in rows if id in requests]

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Say what became of claimed callbacks: delivered, tried again later, or given up."""
        queue, rules = self._queue, self._queue.rules
        with queue.database.writing() as on:
            for delivery in deliveries:
                mine = (delivery.id, queue.worker, delivery.attempt)
                if not delivery.error:
                    on.execute(f"DELETE FROM calls {_MINE}", mine)
                    continue
                state = "dead" if delivery.counted and delivery.attempt >= rules.call_tries else "waiting"
                due = queue.now() + queue.wait_s(delivery.attempt)
                on.execute(_AGAIN, (state, due, 0 if delivery.counted else 1, delivery.error, *mine))


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
