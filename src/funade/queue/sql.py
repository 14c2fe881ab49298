"""The statements of the queue, by what they do."""

from __future__ import annotations

from funade.store.queue_records import QueuedRequest

_JOINED = {
    "call": "coalesce(replace(c.state, 'claimed', 'waiting'), '')",
    "call_error": "coalesce(c.error, '')",
    "answer": "coalesce(a.answer, x'')",
    "release": "coalesce(a.release, 0)",
} | {name: f"coalesce(a.{name}, '')" for name in ("prediction", "fallback", "guard", "defaults")}

KEPT = f"""
SELECT {", ".join(_JOINED.get(field, f"r.{field}") for field in QueuedRequest._fields)}
FROM requests r LEFT JOIN calls c ON c.request = r.number LEFT JOIN answers a ON a.request = r.number
"""

ADD = """
INSERT INTO requests (id, api, state, rows, bytes, made, due, key, digest, callback)
VALUES (?, ?, 'waiting', ?, ?, ?, ?, ?, ?, ?)
"""

AMONG = " AND id IN (SELECT value FROM json_each(?))"

DUE = "SELECT id, rows, alone FROM requests WHERE state = 'waiting' AND due <= ? ORDER BY due, number LIMIT ?"

CLAIM = f"""
UPDATE requests SET state = 'claimed', worker = ?, until = ?, attempts = attempts + 1 WHERE state = 'waiting' {AMONG}
"""

CLAIMED = f"""
SELECT id, api, body, rows, attempts FROM requests JOIN bodies ON request = number WHERE 1 {AMONG} ORDER BY due, number
"""

FINISH = """
UPDATE requests SET state = 'done', bytes = bytes + ?, ended = ?, worker = '', error = ''
WHERE id = ? AND state IN ('waiting', 'claimed') RETURNING number, callback
"""

REST = "state = 'waiting', worker = '', due = ?, error = ?"

DIE = "UPDATE requests SET state = 'dead', worker = '', ended = ?, error = ?"

GIVES = "RETURNING number, callback"

MINE = "WHERE id = ? AND state = 'claimed' AND worker = ? AND attempts = ?"

WORKERS = "SELECT worker FROM requests WHERE state = 'claimed' UNION SELECT worker FROM calls WHERE state = 'claimed'"

LAPSED_WHERE = "WHERE state = 'claimed' AND (until <= ? OR worker IN (SELECT value FROM json_each(?)))"

LAPSED = f"SELECT number, attempts, alone, until FROM requests {LAPSED_WHERE}"

LAPSED_CALLS = f"SELECT 1 FROM calls {LAPSED_WHERE}"

OLD = """
SELECT number FROM requests WHERE state = 'done' AND ended <= ?
UNION ALL SELECT number FROM requests WHERE state = 'dead' AND ended <= ? LIMIT ?
"""

OPEN = "SELECT id FROM requests WHERE id IN (SELECT value FROM json_each(?)) AND state IN ('waiting', 'claimed')"

IS_DUE = "SELECT 1 FROM requests WHERE state = 'waiting' AND due <= ? LIMIT 1"

RENEW = f"UPDATE requests SET until = ? WHERE state = 'claimed' AND worker = ? {AMONG}"

DEAD = """
SELECT id FROM requests LEFT JOIN calls ON request = number
WHERE (requests.state = 'dead' OR calls.state = 'dead')
"""

CALLS_ANEW = """
UPDATE calls SET state = 'waiting', due = :now, attempts = 0, error = '' WHERE state = 'dead'
    AND request IN (SELECT number FROM requests WHERE id IN (SELECT value FROM json_each(:ids)))
"""

CALLS_OF_DEAD = """
DELETE FROM calls
WHERE request IN (SELECT number FROM requests WHERE state = 'dead' AND id IN (SELECT value FROM json_each(:ids)))
"""

DEAD_ANEW = """
UPDATE requests SET state = 'waiting', due = :now, attempts = 0, error = '', ended = 0
WHERE state = 'dead' AND id IN (SELECT value FROM json_each(:ids))
"""

NEWEST_DEAD = "WHERE r.state = 'dead' OR c.state = 'dead' ORDER BY r.number DESC LIMIT ?"
