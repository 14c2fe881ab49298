"""Whether the store is sound: every record's bytes and neighbours are there, unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from funade.digest import SHORT
from funade.errors import BlobMissing, StoreError
from funade.store.naming import short
from funade.store.ports.blobs import Blobs
from funade.store.ports.metadata import Metadata
from funade.store.records import Pins
from funade.store.references import named, references

SWEPT_AFTER_S = 3600.0
"""How old a leftover in ``tmp`` is before it is removed."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: ``subject`` ``what``, and what to ``do``."""

    kind: Literal["database", "record", "missing", "altered", "foreign"]
    subject: str
    what: str
    do: str = ""


def fsck(metadata: Metadata, blobs: Blobs) -> list[Problem]:
    """Everything that is wrong with a store. Reads each blob once; sweeps old leftovers; changes nothing else.

    May run beside builds and releases: bytes are always there before a record names them.
    """
    blobs.sweep(SWEPT_AFTER_S)
    problems: list[Problem] = []
    held: dict[str, list[str]] = {}
    try:
        problems += (_unsound(line) for line in metadata.unsound())
        problems += _records(metadata)
        held = references(metadata, blobs)
    except StoreError as error:
        problems.append(Problem("database", "records.db", f"expected to be read, got: {error.what}", error.do))
    problems += (problem for digest in sorted(held) for problem in _bytes(blobs, digest, held[digest]))
    return problems + [_foreign(name) for name in blobs.foreign()]


_RESTORE = "put it back from a backup"


def _unsound(line: str) -> Problem:
    return Problem("database", "records.db", f"expected to be sound, got: {line}", _RESTORE)


def _records(metadata: Metadata) -> Iterator[Problem]:
    ids = {version.id for version in metadata.versions()}
    for version in metadata.versions():
        yield from _lacking(f"{version.kind} `{short(version.node, version.id)}`", "input", version.inputs, ids)
    for candidate in metadata.candidates():
        yield from _lacking(f"candidate {candidate.id[:SHORT]}", "pin", candidate.pins, ids)
    for release in metadata.releases():
        yield from _lacking(f"release {release.number}", "pin", release.pins, ids)
    for hold in metadata.holds().values():
        yield from _lacking(f"the hold of `{hold.node}`", "pin", hold.pins, ids)


def _lacking(subject: str, role: str, pins: Pins, ids: set[str]) -> Iterator[Problem]:
    for node, id in pins.items():
        if id and id not in ids:
            yield Problem("record", subject, f"expected its {role} `{short(node, id)}`, got no such version", _RESTORE)


def _bytes(blobs: Blobs, digest: str, holders: list[str]) -> Iterator[Problem]:
    subject, restore = f"blob `{digest[:SHORT]}`", f"put blobs/{digest[:2]}/{digest[2:]} back from a backup"
    try:
        if not blobs.sound(digest):
            yield Problem("altered", subject, f"of {named(holders)} expected its own bytes, got others", restore)
    except BlobMissing:
        yield Problem("missing", subject, f"of {named(holders)} expected in the store, got no file", restore)
    except (StoreError, OSError) as error:
        yield Problem("altered", subject, f"of {named(holders)} expected to be read, got: {error}", restore)


def _foreign(path: str) -> Problem:
    return Problem("foreign", path, "expected a blob's name, got another file", "move it away")
