"""Asynchronous requests in one SQLite file: kept before their ids are given, claimed in batches, answered once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from funade.clock import Clock
from funade.errors import Misuse
from funade.queue import claimant, sql
from funade.queue.callbacks import SqliteCallbacks
from funade.queue.file import QueueFile, among, listed
from funade.store.queue_records import (
    KEY_USED,
    Claim,
    Failure,
    QueueCounts,
    QueuedRequest,
    Receipt,
    Refusal,
    Result,
    Submission,
    Sweep,
    new_id,
)
from funade.store.queue_rules import SWEPT, QueueRules, together


class SqliteQueue:
    """A ``ports.queue.Queue`` whose file many processes and threads may share.

    Any verb may raise ``StoreError``: the file cannot be opened or written (``DiskFull``, ``StoreTooNew``).

    Args:
        path: the file; made with its first request.
        clock: gives the time.
        rules: bounds.
        seed: what the spread of the waits between tries is drawn from.
        worker: by which name claims are made; this process's own unless told.
    """

    def __init__(
        self, path: Path, *, clock: Clock, rules: QueueRules | None = None, seed: int = 0, worker: str = ""
    ) -> None:
        self.file = QueueFile(path, clock, rules or QueueRules(), seed, worker)
        self.rules = self.file.rules
        self.callbacks = SqliteCallbacks(self.file)

    def close(self) -> None:
        """Close the connections of all threads; the next use opens again."""
        self.file.database.close()

    # -- those who ask

    def submit(self, requests: Sequence[Submission]) -> list[Receipt | Refusal]:
        """Keep requests, and then say under which ids; in order."""
        with self.file.database.writing() as on:
            now, space = self.file.now(), _Space(on, self.rules)
            return [self._keep(on, request, now, space) for request in requests]

    def look(self, ids: Sequence[str]) -> dict[str, QueuedRequest]:
        """Those of the requests that are kept, by id."""
        return self.file.requests(ids)

    def ended(self, ids: Iterable[str]) -> list[str]:
        """Those of the requests that wait for nothing any more: done, dead or forgotten."""
        if not self.file.there:
            return []
        wanted = list(ids)
        waiting = {id for (id,) in self.file.database.rows(sql.OPEN, [listed(wanted)])}
        return [id for id in wanted if id not in waiting]

    # -- those who answer

    def due(self) -> bool:
        """Whether there is anything to claim."""
        return self.file.there and bool(self.file.database.rows(sql.IS_DUE, [self.file.now()]))

    def claim(self, rows: int) -> list[Claim]:
        """The longest due requests, up to so many rows but at least one request, for this worker to answer."""
        with self.file.database.writing() as on:
            now = self.file.now()
            chosen = together(on.execute(sql.DUE, (now, rows)).fetchall(), rows)
            if not chosen:
                return []
            on.execute(sql.CLAIM, (self.file.worker, now + self.rules.lease_s, listed(chosen)))
            return [Claim(*row) for row in on.execute(sql.CLAIMED, (listed(chosen),)).fetchall()]

    def renew(self, ids: Sequence[str]) -> None:
        """Let these of this worker's claims last another lease from now."""
        with self.file.database.writing() as on:
            on.execute(sql.RENEW, (self.file.now() + self.rules.lease_s, self.file.worker, listed(ids)))

    def settle(self, outcomes: Sequence[Result | Failure]) -> None:
        """Say what became of claimed requests."""
        with self.file.database.writing() as on:
            now = self.file.now()
            for outcome in outcomes:
                if isinstance(outcome, Result):
                    _finish(on, outcome, now)
                else:
                    self._fail(on, outcome, now)

    def sweep(self) -> Sweep:
        """Take back the claims of workers that have ended or let their lease pass; forget what was kept long enough."""
        if not self.file.there:
            return Sweep()
        now = self.file.now()
        workers = self.file.database.rows(sql.WORKERS)
        ended = listed(worker for (worker,) in workers if claimant.gone(worker))
        old = (now - self.rules.keep_s, now - self.rules.keep_dead_s)
        lapsed, dead, forgotten = 0, 0, 0
        if any(
            self.file.database.rows(f"{statement} LIMIT 1", (now, ended))
            for statement in (sql.LAPSED, sql.LAPSED_CALLS)
        ):
            with self.file.database.writing() as on:
                lapsed, dead = self._lapse(on, now, ended)
        if self.file.database.rows(sql.OLD, (*old, 1)):
            with self.file.database.writing() as on:
                numbers = [number for (number,) in on.execute(sql.OLD, (*old, SWEPT))]
                forgotten = _forget(on, numbers)
        return Sweep(lapsed, dead, forgotten)

    # -- those who look after it

    def counts(self) -> QueueCounts:
        """What the queue holds; read without counting its rows."""
        if not self.file.there:
            return QueueCounts()
        states = {state: (number, size) for state, number, size in self.file.database.rows("SELECT * FROM tallies")}
        calls = dict(self.file.database.rows("SELECT state = 'dead', count(*) FROM calls GROUP BY 1"))
        oldest = self.file.database.rows("SELECT min(made) FROM requests WHERE state = 'waiting'")[0][0]
        return QueueCounts(
            waiting=states["waiting"][0],
            claimed=states["claimed"][0],
            done=states["done"][0],
            dead=states["dead"][0],
            calls=calls.get(0, 0),
            dead_calls=calls.get(1, 0),
            bytes=sum(size for _, size in states.values()),
            oldest_age_s=0.0 if oldest is None else max(self.file.now() - oldest, 0.0),
        )

    def dead(self, most: int = 100) -> list[QueuedRequest]:
        """The newest dead letters, those of callbacks too; newest first."""
        if not self.file.there:
            return []
        return self.file.read(f"{sql.KEPT} {sql.NEWEST_DEAD}", [most])

    def body(self, id: str) -> bytes:
        """What was submitted; b"" for an unknown id."""
        rows = self.file.database.rows("SELECT body FROM bodies JOIN requests ON number = request WHERE id = ?", [id])
        return rows[0][0] if rows else b""

    def requeue(self, ids: Sequence[str] | None = None) -> int:
        """Give dead letters all their tries again, and dead callbacks theirs; all of them unless ids are given."""
        if not self.file.there:
            return _none(ids)
        with self.file.database.writing() as on:
            rows = on.execute(sql.DEAD).fetchall() if ids is None else on.execute(*among(sql.DEAD, ids)).fetchall()
            dead = {id for (id,) in rows}
            if missing := [id for id in ids or () if id not in dead]:
                return _none(missing)
            for statement in (sql.CALLS_ANEW, sql.CALLS_OF_DEAD, sql.DEAD_ANEW):
                on.execute(statement, {"now": self.file.now(), "ids": listed(dead)})
            return len(dead)

    def drop(self, ids: Sequence[str]) -> int:
        """Forget requests, whatever became of them, but none that is being answered."""
        if not self.file.there:
            return _none(ids, "a request")
        with self.file.database.writing() as on:
            rows = on.execute(*among("SELECT id, state, number FROM requests WHERE 1", ids)).fetchall()
            states = {id: state for id, state, _ in rows}
            if missing := [id for id in ids if id not in states]:
                return _none(missing, "a request")
            if claimed := [id for id in ids if states[id] == "claimed"]:
                raise Misuse(f"queue expected a request that rests, got `{claimed[0]}`, which is being answered")
            return _forget(on, [number for _, _, number in rows])

    # -- within a transaction

    def _keep(self, on: sqlite3.Connection, request: Submission, now: float, space: _Space) -> Receipt | Refusal:
        digest = request.digest
        if request.key:
            rows = on.execute("SELECT id, state, digest FROM requests WHERE api = ? AND key = ?", request[0:4:3])
            if (earlier := rows.fetchone()) is not None:
                return KEY_USED if earlier[2] != digest else Receipt(earlier[0], earlier[1])
        refusal = space.take(len(request.body))
        if refusal is not None:
            return refusal
        id = new_id(now)
        size, key = len(request.body), request.key or None
        values = (id, request.api, request.rows, size, now, now, key, digest, request.callback)
        number = on.execute(sql.ADD, values).lastrowid
        on.execute("INSERT INTO bodies VALUES (?, ?)", (number, request.body))
        return Receipt(id, "waiting")

    def _fail(self, on: sqlite3.Connection, failed: Failure, now: float) -> None:
        mine = (failed.id, self.file.worker, failed.attempt)
        if not failed.counted:
            due = now + self.file.wait_s(1)
            on.execute(
                f"UPDATE requests SET attempts = attempts - 1, {sql.REST} {sql.MINE}", (due, failed.error, *mine)
            )
        elif failed.again and failed.attempt < self.rules.tries:
            due = now + self.file.wait_s(failed.attempt)
            on.execute(f"UPDATE requests SET {sql.REST} {sql.MINE}", (due, failed.error, *mine))
        else:
            _call(on, on.execute(f"{sql.DIE} {sql.MINE} {sql.GIVES}", (now, failed.error, *mine)).fetchall(), now)

    def _lapse(self, on: sqlite3.Connection, now: float, ended: str) -> tuple[int, int]:
        claims = on.execute(sql.LAPSED, (now, ended)).fetchall()
        dead = 0
        for number, attempts, alone, until in claims:
            why = "its worker ended before it answered" if until > now else "its worker did not answer in time"
            if alone and attempts >= self.rules.tries:
                _call(on, on.execute(f"{sql.DIE} WHERE number = ? {sql.GIVES}", (now, why, number)).fetchall(), now)
                dead += 1
            else:
                due = now + self.file.wait_s(attempts) if alone else now
                on.execute(f"UPDATE requests SET alone = 1, {sql.REST} WHERE number = ?", (due, why, number))
        on.execute(f"UPDATE calls SET state = 'waiting', worker = '' {sql.LAPSED_WHERE}", (now, ended))
        return len(claims), dead


class _Space:
    """How much is kept, within one transaction."""

    def __init__(self, on: sqlite3.Connection, rules: QueueRules) -> None:
        counted = "SELECT sum(requests) FILTER (WHERE state IN ('waiting', 'claimed')), sum(bytes) FROM tallies"
        self._waiting, self._bytes = on.execute(counted).fetchone()
        self._rules = rules

    def take(self, size: int) -> Refusal | None:
        """None where there was room for one more."""
        refusal = self._rules.refusal(self._waiting, self._bytes + size)
        if refusal:
            return Refusal(503, refusal)
        self._waiting += 1
        self._bytes += size
        return None


def _finish(on: sqlite3.Connection, finished: Result, now: float) -> None:
    rows = on.execute(sql.FINISH, (len(finished.answer), now, finished.id)).fetchall()
    for number, _ in rows:
        on.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", (number, *finished[1:]))
    _call(on, rows, now)


def _call(on: sqlite3.Connection, ended: Iterable[tuple[int, str]], now: float) -> None:
    """Owe a callback to those of ended requests, by number, that asked for one."""
    for number, callback in ended:
        if callback:
            on.execute("INSERT OR REPLACE INTO calls (request, state, due) VALUES (?, 'waiting', ?)", (number, now))


def _forget(on: sqlite3.Connection, numbers: Sequence[int]) -> int:
    on.executemany("DELETE FROM requests WHERE number = ?", [(number,) for number in numbers])
    return len(numbers)


def _none(ids: Sequence[str] | None, what: str = "a dead letter") -> int:
    if ids:
        raise Misuse(f"queue expected {what}, got `{ids[0]}`", do="see them: funade queue")
    return 0
