"""Who needs what: the holders of every blob and of every version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec

from funade.digest import SHORT
from funade.errors import StoreError
from funade.store.naming import short
from funade.store.ports.blobs import Blobs
from funade.store.ports.metadata import Metadata
from funade.store.records import Finding, Version


def references(metadata: Metadata, blobs: Blobs) -> dict[str, list[str]]:
    """Blob digest → everything that holds it, releases first: ``release 41``, ``eta@3f9c2e``, ``rides 2022-03-01``."""
    holders_of: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for digest, holder in _held(metadata, blobs):
        holders_of[digest][holder] = None
    return {digest: sorted(holders, key=_release_first) for digest, holders in holders_of.items()}


def named(holders: Iterable[str], most: int = 3) -> str:
    """Every release, and of the others the first few and a count.

    >>> named(["release 1", "release 2", "release 3", "release 7", "eta@3f9c2e", "limit@77e0d2"], most=1)
    'releases 1-3, 7, eta@3f9c2e and 1 more'
    """
    who = list(holders)
    numbers = [int(h.removeprefix(_RELEASE)) for h in who if h.startswith(_RELEASE)]
    others = [h for h in who if not h.startswith(_RELEASE)]
    releases = [f"release{'s' if len(numbers) > 1 else ''} {_spans(numbers)}"] if numbers else []
    more = f" and {len(others) - most} more" if len(others) > most else ""
    return ", ".join(releases + others[:most]) + more


_RELEASE = "release "


def _spans(numbers: Iterable[int]) -> str:
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    return ", ".join("-".join(map(str, span)) for span in spans)


def _held(metadata: Metadata, blobs: Blobs) -> Iterator[tuple[str, str]]:
    releases = _releases(metadata)
    versions = {v.id: v for v in metadata.versions()}
    for version in versions.values():
        for digest in _bytes(version):
            yield digest, short(version.node, version.id)
            yield from ((digest, release) for release in releases[version.id])
    yield from _loaded(metadata, [v for v in versions.values() if releases[v.id]], releases)
    for build in metadata.builds():
        if build.log:
            yield build.log, f"build {build.id[:SHORT]} of {build.node}"
    for checked in metadata.checks_of():
        node = versions[checked.version].node if checked.version in versions else ""
        yield from _kept_aside(checked.findings, f"checks of {short(node, checked.version)}")
    yield from _code(metadata, blobs)
    for release in metadata.releases():
        yield from ((digest, f"release {release.number}") for digest in release.golden.values())
        yield from _kept_aside(release.report, f"release {release.number}")


def _releases(metadata: Metadata) -> defaultdict[str, list[str]]:
    releases: defaultdict[str, list[str]] = defaultdict(list)
    for release in metadata.releases():
        for version in release.pins.values():
            releases[version].append(f"release {release.number}")
    return releases


def _bytes(version: Version) -> list[str]:
    files = list(version.artifact.files.values()) if version.artifact else []
    return [*files, version.lock] if version.lock else files


def _loaded(metadata: Metadata, sources: list[Version], releases: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """A period's bytes are held by its revision, and by each release whose source version includes that revision."""
    for revision in metadata.all_revisions():
        holder = f"{revision.source} {revision.period}"
        yield from ((digest, holder) for digest in (revision.digest, revision.bad_digest) if digest)
    for version in sources:
        if version.kind == "source":
            for revision in metadata.revisions(version.node, up_to=version.sequence):
                yield from ((revision.digest, release) for release in releases[version.id])


def _kept_aside(findings: Iterable[Finding], holder: str) -> Iterator[tuple[str, str]]:
    return ((finding.bad_digest, holder) for finding in findings if finding.bad_digest)


def _code(metadata: Metadata, blobs: Blobs) -> Iterator[tuple[str, str]]:
    """A candidate holds its code's manifest and every file that names; so does the release made of it."""
    from funade.store import code_snapshot

    releases = defaultdict(list)
    for release in metadata.releases():
        releases[release.candidate].append(f"release {release.number}")
    for candidate in metadata.candidates():
        digests = [candidate.code] if candidate.code else []
        with suppress(StoreError, msgspec.DecodeError):  # named as a problem of the manifest's own blob
            digests += code_snapshot.manifest(blobs, candidate.code).values()
        holders = [*releases[candidate.id], f"candidate {candidate.id[:SHORT]}"]
        yield from ((digest, holder) for digest in digests for holder in holders)


def _release_first(holder: str) -> bool:
    return not holder.startswith(_RELEASE)
