"""Small records that tests keep, and the ways to keep them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from funade.store.ports.metadata import Metadata
from funade.store.records import Build, Candidate, Release, Revision, Switch, Version

NOW = datetime(2022, 3, 1, 12, tzinfo=UTC)


def named(id: str, node: str = "eta", **fields: Any) -> Version:
    """A version whose id begins so."""
    return Version(
        id=id.ljust(64, "0"), node=node, kind="model", recipe={"node": node, "id": id}, made_at=NOW, **fields
    )


def build(id: str, node: str = "eta", version: str = "", state: Any = "built") -> Build:
    return Build(id=id, node=node, version=version, state=state, started_at=NOW, seconds=1.5)


def revision(day: int, digest: str, source: str = "rides", bad: str = "") -> Revision:
    start = datetime(2022, 1, 1, tzinfo=UTC) + timedelta(days=day)
    return Revision(source, f"{start:%Y-%m-%d}", start, start + timedelta(days=1), digest, 10, NOW, bad_digest=bad)


def candidate(id: str, **pins: str) -> Candidate:
    return Candidate(id.ljust(64, "0"), pins, (), "c" * 64, {}, "Asia/Tokyo", NOW)


def release(of: Candidate) -> Release:
    return Release(0, of.id, of.pins, NOW, "ann")


def ship(metadata: Metadata, of: Candidate, generation: int, ended: frozenset[str] = frozenset()) -> Switch:
    metadata.add_candidate(of)
    return metadata.release_and_switch(
        release(of), expected_generation=generation, expected_candidate=of.id, ended_holds=ended, who="ann", because=""
    )


def digests(folder: Path) -> list[str]:
    """The digests of the blobs in a store's folder of blobs, in order."""
    return sorted(path.parent.name + path.name for path in folder.glob("??/*"))
