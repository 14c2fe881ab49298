"""Bad rows: those of a version that its checks or loads kept aside."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from funade.project.project import Project
from funade.store.records import Version
from funade.store.warehouse import snapshots

SHOWN = 20
"""Rows of each load or check that are shown."""


class BadRows(msgspec.Struct, frozen=True):
    """The bad rows of one load or check: whose they are, how many, and the values of the first ``SHOWN``."""

    title: str
    count: int
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]


def bad_rows(project: Project, version: Version) -> list[BadRows]:
    """The bad rows of a version, load by load and check by check; none, no entry."""
    return [_read(project, title, digest) for title, digest in _kept_aside(project, version)]


def _kept_aside(project: Project, version: Version) -> Iterator[tuple[str, str]]:
    metadata = project.store.metadata
    if version.kind == "source":
        for revision in metadata.revisions(version.node, up_to=version.sequence):
            if revision.bad_digest:
                yield revision.period, revision.bad_digest
    for record in metadata.checks_of(version.id):
        for finding in record.findings:
            if finding.bad_digest:
                yield f"{finding.expected}, got {finding.got}", finding.bad_digest


def _read(project: Project, title: str, digest: str) -> BadRows:
    table = snapshots.read([project.store.blobs.path(digest)])
    first = table.slice(0, SHOWN).to_pylist()
    return BadRows(title, table.num_rows, tuple(table.schema.names), tuple(tuple(row.values()) for row in first))
