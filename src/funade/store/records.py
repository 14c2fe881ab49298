"""What metadata is made of: frozen records of versions, builds, holds, candidates, releases and loads.

All times are aware UTC. All digests are 64 hex digits. A record is only ever added.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from funade.contract.wire import Wire
from funade.declare.spec import Kind, Spec
from funade.declare.window import Interval

Pins = dict[str, str]
"""Node name → version id: a cut of the graph."""


class Artifact(msgspec.Struct, frozen=True, omit_defaults=True):
    """The bytes of a version: which codec wrote them, and each file's digest.

    ``files`` maps a relative file name to the digest of its blob. A table has ``rows`` and ``columns``
    (name → Arrow type as text).
    """

    codec: str
    files: dict[str, str]
    rows: int | None = None
    columns: dict[str, str] = {}


class RowSet(msgspec.Struct, frozen=True, omit_defaults=True):
    """Rows that something was fitted on: a part of one dataset's version.

    ``interval`` None means every row. ``reach`` is the exclusive upper bound of the time of any row seen here,
    transitively; None where time says nothing.
    """

    node: str
    version: str
    interval: Interval | None = None
    part: str = ""
    reach: datetime | None = None
    key: tuple[str, ...] = ()


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """One immutable version of a node. ``id`` is the digest of ``recipe``.

    ``inputs``: every (node, version id) it was built from, directly. ``end``: exclusive end of the last period
    it holds. ``reach``: exclusive upper bound of the time of any row seen, transitively. ``fits``: every row set
    it was fitted on, transitively (models and thresholds). ``metrics``: an evaluation's numbers (None where it
    gave NaN or infinity). ``refused``: judging rows without an answer, by the contract or a guard; ``guarded``: those
    that the fallback answered in a guard's stead.
    ``classes``: project symbols needed to load the artifact.
    ``sequence``: for a source, the last revision it includes.
    """

    id: str
    node: str
    kind: Kind
    recipe: dict[str, Any]
    made_at: datetime
    inputs: Pins = {}
    artifact: Artifact | None = None
    end: datetime | None = None
    reach: datetime | None = None
    fits: tuple[RowSet, ...] = ()
    symbols: dict[str, str] = {}
    classes: dict[str, str] = {}
    time: str = ""
    key: tuple[str, ...] = ()
    metrics: dict[str, float | None] = {}
    judged_rows: int | None = None
    refused: int = 0
    guarded: int = 0
    sequence: int | None = None
    build: str = ""
    lock: str = ""


class Build(msgspec.Struct, frozen=True, omit_defaults=True):
    """One attempt to build a node, good or failed. ``log`` is a blob of what the function printed."""

    id: str
    node: str
    version: str
    state: Literal["built", "failed"]
    started_at: datetime
    seconds: float
    settings: dict[str, Any] = {}
    attempt: bool = False
    metrics: dict[str, float | None] = {}
    log: str = ""
    error: str = ""
    runtime: dict[str, str] = {}


class Revision(msgspec.Struct, frozen=True, omit_defaults=True):
    """One load of one period of a source; ``sequence`` grows through the whole store."""

    source: str
    period: str
    start: datetime
    end: datetime
    digest: str
    rows: int
    loaded_at: datetime
    sequence: int = 0
    bad_rows: int = 0
    bad_digest: str = ""
    columns: dict[str, str] = {}
    code: str = ""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing a check found. ``rows`` are row numbers (0-based) of the snapshot, the first 100 of ``count``."""

    check: str
    expected: str
    got: str
    holds: bool
    count: int = 0
    rows: tuple[int, ...] = ()
    bad_digest: str = ""
    at: str = ""
    do: str = ""


class CheckRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data checks of one version, under the policies whose digest is ``policies``."""

    version: str
    policies: str
    findings: tuple[Finding, ...]
    at: datetime


class Hold(msgspec.Struct, frozen=True):
    """`Dependents look at this one`: a node held at a version, with the exact inputs of that version."""

    node: str
    version: str
    pins: Pins
    at: datetime


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """An immutable cut, with the graph and the code it was written from. ``id`` is its content's digest.

    ``code`` is the digest of the code snapshot's manifest blob (relative path → blob digest). ``wires`` has the numbers
    of every field of every api ever staged here; the store gives them when it keeps the candidate.
    """

    id: str
    pins: Pins
    specs: tuple[Spec, ...]
    code: str
    settings: dict[str, dict[str, Any]]
    timezone: str
    at: datetime
    wires: dict[str, Wire] = {}


class GoldenRows(msgspec.Struct, frozen=True):
    """Requests of one api and the answers that every worker must reproduce (JSON values)."""

    api: str
    requests: list[dict[str, Any]]
    answers: list[dict[str, Any]]


class Release(msgspec.Struct, frozen=True, omit_defaults=True):
    """A candidate that was let through. ``golden`` maps api → blob; ``report`` holds every finding of its gate."""

    number: int
    candidate: str
    pins: Pins
    at: datetime
    who: str
    golden: dict[str, str] = {}
    report: tuple[Finding, ...] = ()
    because: str = ""


Action = Literal["release", "rollback"]
"""Why another release answers."""


class Switch(msgspec.Struct, frozen=True, omit_defaults=True):
    """One row of the audit: what answered before, what answers now. ``generation`` grows by one each time."""

    generation: int
    before: int | None
    after: int
    action: Action
    at: datetime
    who: str
    because: str = ""
