"""What a store must do, whatever keeps it: the four ports behind which engines stand.

One suite of tests a port (``tests/store/contract``) shows what is said here of every implementation. Whatever a
method returns or raises, a method that changes something has then done all of it, for good, or nothing. Any method may
raise ``StoreError``: the engine cannot be reached, read or written (``DiskFull``: it has no room). All may be called
from many threads and, where the address can be opened by another process, from many processes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from funade.events import EventLog
from funade.store.queue_records import (
    Callback,
    Claim,
    Delivery,
    Failure,
    QueueCounts,
    QueuedRequest,
    Receipt,
    Refusal,
    Result,
    Submission,
    Sweep,
)
from funade.store.queue_rules import QueueRules
from funade.store.records import Build, Candidate, CheckRecord, Hold, Release, Revision, Switch, Version

if TYPE_CHECKING:  # Arrow, NumPy and the event loop, which most readers of records do without
    import asyncio

    import pyarrow as pa

    from funade.store.prediction_record import Record
    from funade.store.warehouse.query import Select

Action = Literal["release", "rollback"]
"""Why another release answers."""


# -- metadata: records, each method one transaction


class Revisions(Protocol):
    """What was loaded, period by period."""

    def add_revision(self, revision: Revision) -> Revision | None:
        """The revision with its number, the next of the whole store; None if it brings the bytes there are already.

        Numbers have no order of their own: whoever sees one sees every lower one.
        """

    def revisions(self, source: str, *, up_to: int | None = None) -> list[Revision]:
        """The latest revision of each period, by number no later than ``up_to``, in order of time."""

    def all_revisions(self, source: str | None = None) -> list[Revision]:
        """Every revision ever loaded, of one source or of all, oldest first."""


class Versions(Protocol):
    """What was built, and how."""

    def add_version(self, version: Version, build: Build | None = None) -> Version:
        """The version of this id that the store keeps: of many that bring one, the first to commit wins.

        The build that made it is kept with it, and so is the build of one that came second.

        Raises:
            StoreError: the store has a build of that id.
        """

    def add_build(self, build: Build) -> None:
        """Keep a build that made no version."""

    def builds(self, node: str | None = None) -> list[Build]:
        """Every build of a node, or of all, oldest first."""

    def version(self, id: str) -> Version | None:
        """The version with this whole id."""

    def versions(self, node: str | None = None) -> list[Version]:
        """The versions of a node, or all; in the order they were added."""

    def has_versions(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that exist."""

    def find(self, text: str) -> Version:
        """The one version that ``node@3f9c2e`` or a bare prefix of at least four hex digits means.

        Raises:
            Misuse: the text is no such name, or fits several versions.
            UnknownVersion: it fits none.
        """


class Checks(Protocol):
    """What data checks found."""

    def add_checked(self, checked: CheckRecord) -> None:
        """Keep the checks of a version; a second result under the same policies changes nothing.

        Raises:
            StoreError: there is no such version.
        """

    def checked(self, version: str, policies: str) -> CheckRecord | None:
        """The checks of a version under the policies of this digest."""

    def checks_of(self, version: str | None = None) -> list[CheckRecord]:
        """Every check of a version, or of all, oldest first."""


class Staging(Protocol):
    """What is about to be released."""

    def hold(self, holds: Iterable[Hold], *, replace: Iterable[str]) -> None:
        """End the holds of the nodes in ``replace`` and begin these, all at once; a newer hold ends an older.

        Raises:
            StoreError: one is of a version that is not there.
        """

    def unhold(self, node: str) -> bool:
        """Whether the node was held; it is not any more."""

    def holds(self) -> dict[str, Hold]:
        """Node → its hold, in the nodes' order."""

    def add_candidate(self, candidate: Candidate) -> Candidate:
        """The candidate of this id that the store keeps, which is now the latest.

        A new one bears the field numbers of the one kept before it, and new numbers for what is new.
        """

    def latest_candidate(self) -> Candidate | None:
        """The candidate staged last."""

    def candidate(self, id: str) -> Candidate | None:
        """The candidate with this whole id."""

    def candidates(self) -> list[Candidate]:
        """Every candidate, in the order they were first staged."""


class Releases(Protocol):
    """What answered, and what answers now. Releases and switches are numbered from 1, without gaps."""

    def current(self) -> Switch | None:
        """The last switch: ``after`` is the release that answers now."""

    def release(self, number: int) -> Release | None:
        """The release of this number."""

    def releases(self) -> list[Release]:
        """Every release, by number."""

    def switches(self) -> list[Switch]:
        """The audit: every switch, by generation."""

    def release_and_switch(
        self,
        release: Release,
        *,
        expected_generation: int,
        expected_candidate: str,
        ended_holds: Iterable[str],
        who: str,
        because: str,
    ) -> Switch:
        """Number the release, keep it, answer with it from now on and end the holds it ships, all at once.

        A hold that names another version by now stays.

        Raises:
            SwitchLost: a switch or a candidate came between; nothing changed.
        """

    def switch_to(
        self, number: int, *, expected_generation: int, action: Action = "rollback", who: str, because: str
    ) -> Switch:
        """Answer with an earlier release from now on.

        Raises:
            RollbackRefused: there is no such release.
            SwitchLost: a switch came between; nothing changed.
        """


class Metadata(Revisions, Versions, Checks, Staging, Releases, Protocol):
    """Every record of a store. Records are only ever added; of holds alone, old ones go.

    Each method is one transaction: it sees all of every other or nothing, and is durable when it returns.
    """

    def unsound(self) -> list[str]:
        """What the engine itself finds wrong with what it keeps; empty when it is sound."""

    def close(self) -> None:
        """Let go of connections; the next use opens again."""


# -- blobs


class Blobs(Protocol):
    """Bytes named by their own digest (SHA-256, 64 hex digits): kept once, never changed.

    A digest is returned once its bytes are there for good, so that a record may name them. Of two that keep the same
    bytes at once both get the digest. Every writing method may raise ``DiskFull`` or ``StoreError``, and then leaves
    nothing.
    """

    @property
    def tmp(self) -> Path:
        """A folder of this machine for files in the making; not there before the first."""

    def put_bytes(self, data: bytes) -> str:
        """The digest of ``data``, which is now a blob.

        Raises:
            BlobDamaged: there is a blob of that digest with other bytes; it stays as it is.
        """

    def writing(self) -> AbstractContextManager[Path]:
        """A path on this machine to write to, then ``adopt``; whatever is there at the end of the block is removed."""

    def adopt(self, tmp: Path) -> str:
        """The digest of a file that ``writing`` gave a path for, now a blob and gone from that path.

        Raises:
            StoreError: the path is of somebody else's.
        """

    def path(self, digest: str) -> Path:
        """A file of this machine with a blob's bytes, which nobody may change.

        Raises:
            BlobMissing: there is none.
        """

    def read(self, digest: str) -> bytes:
        """A blob's bytes.

        Raises:
            BlobMissing: there is none.
            BlobDamaged: they are not the bytes that were kept.
        """

    def sound(self, digest: str) -> bool:
        """Whether a blob's bytes have the digest they are named by.

        Raises:
            BlobMissing: there is none.
        """

    def foreign(self) -> Iterator[str]:
        """The names of all that lies among the blobs and can be none."""

    def sweep(self, older_than_s: float) -> int:
        """How many leftovers of writers that were killed are now removed: those unchanged for so long."""


# -- queue


class Callbacks(Protocol):
    """The callbacks still to be delivered of a queue's requests; each verb takes many and is one transaction."""

    def due(self) -> bool:
        """Whether there is any to deliver."""

    def claim(self, most: int) -> list[Callback]:
        """The longest due, for this worker to deliver; nobody else is given them before the lease ends."""

    def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Say what became of claimed callbacks: delivered, tried again later, or given up.

        Counts only while the claim is this worker's.
        """


class Queue(Protocol):
    """Requests that are answered later; each verb takes many and is one transaction, durable when it returns.

    A request *waits*, is *claimed* by a worker until its lease ends, and is *done* or, after its last try, *dead*. The
    first answer of a request is its only one. Attempts are counted when claimed. What a worker that ended had claimed
    is claimed alone from then on, and is given up only when it was alone: so what ends workers becomes a dead letter,
    and what was claimed beside it does not. Reading verbs make nothing.
    """

    @property
    def rules(self) -> QueueRules:
        """Its bounds, as this process was told."""

    @property
    def callbacks(self) -> Callbacks:
        """Its callbacks."""

    def submit(self, requests: Sequence[Submission]) -> list[Receipt | Refusal]:
        """Keep requests, and then say under which ids; in order.

        A key used before gives the id that it gave then, if the request is the same; else it is refused.
        """

    def look(self, ids: Sequence[str]) -> dict[str, QueuedRequest]:
        """Those of the requests that are kept, by id."""

    def ended(self, ids: Iterable[str]) -> list[str]:
        """Those of the requests that wait for nothing any more: done, dead or forgotten."""

    def due(self) -> bool:
        """Whether there is anything to claim."""

    def claim(self, rows: int) -> list[Claim]:
        """The longest due requests, up to so many rows but at least one request, for this worker to answer.

        No request is given to two workers before its lease ends.
        """

    def renew(self, ids: Sequence[str]) -> None:
        """Let these of this worker's claims last another lease from now."""

    def settle(self, outcomes: Sequence[Result | Failure]) -> None:
        """Say what became of claimed requests.

        The first answer counts, whoever gives it; a failure counts only while the claim is this worker's.
        """

    def sweep(self) -> Sweep:
        """Take back the claims of workers that have ended or let their lease pass; forget what was kept long enough."""

    def counts(self) -> QueueCounts:
        """What the queue holds."""

    def dead(self, most: int = 100) -> list[QueuedRequest]:
        """The newest dead letters, those of callbacks too; newest first."""

    def body(self, id: str) -> bytes:
        """What was submitted; b"" for an unknown id."""

    def requeue(self, ids: Sequence[str] | None = None) -> int:
        """Give dead letters all their tries again, and dead callbacks theirs; all of them unless ids are given.

        Raises:
            Misuse: an id of no dead letter; nothing was changed.
        """

    def drop(self, ids: Sequence[str]) -> int:
        """Forget requests, whatever became of them, but none that is being answered.

        Raises:
            Misuse: an unknown id, or one that is being answered; nothing was changed.
        """

    def close(self) -> None:
        """Let go of connections; the next use opens again."""


# -- predictions


class PredictionWriter(Protocol):
    """Logs one worker's answers; ``add`` and ``keep`` are called on its loop, and neither waits for anything."""

    @property
    def logged(self) -> int:
        """Rows that are in the log."""

    @property
    def lost(self) -> int:
        """Rows that were answered and will never be in the log."""

    def add(self, record: Record) -> None:
        """Log answers soon; they are lost where the process is killed before."""

    def keep(self, record: Record, then: Callable[[bool], None]) -> None:
        """Log answers before they are sent: ``then`` is called on the loop with whether they are there for good."""

    def close(self) -> None:
        """Log what is noted and end."""


class Keeper(Protocol):
    """What runs beside a server so that its log can be read."""

    def look(self) -> None:
        """See to it that it runs; called often."""

    def end(self) -> None:
        """Have everything readable that was logged, and end it."""


class PredictionStore(Protocol):
    """The answers that servers gave: written by many workers, read by SQL. A row that can be read once always can,
    until its day is let go of.
    """

    def writer(
        self,
        mark: str,
        release: int,
        without: Mapping[str, frozenset[str]],
        loop: asyncio.AbstractEventLoop,
        events: EventLog,
    ) -> PredictionWriter:
        """Logs the answers of one worker, whose prediction ids begin with ``mark``.

        ``without`` names an api's fields that are not kept; ``events`` is told when rows are lost.
        """

    def keeper(self, days: int, events: EventLog) -> Keeper | None:
        """What is to run beside a server; it lets go of answers after so many days (0: never). None: nothing is."""

    def select(self, *, api: str = "*", mark: str = "") -> Select:
        """Reads the log: of one api, or of the worker whose prediction ids begin so."""

    def calls(self, ids: Collection[str]) -> Iterator[tuple[str, pa.Table]]:
        """Calls of an api's function, by what stands in the column ``call``: each with all its rows in their order.

        A table has what was kept of one call alone, so that no type is another release's.
        """
