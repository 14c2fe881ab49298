"""Records in memory: each method holds one lock, and changes everything at its end or nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from funade import points
from funade.clock import Clock
from funade.declare.spec import wires
from funade.errors import StoreError
from funade.store import naming
from funade.store.records import Action, Build, Candidate, CheckRecord, Hold, Release, Revision, Switch, Version
from funade.store.switch_errors import candidate_moved, generation_moved, no_release

R = TypeVar("R", bound=msgspec.Struct)


class MemoryMetadata:
    """Lists of records, oldest first.

    Args:
        clock: gives the time of switches.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._revisions: list[Revision] = []
        self._versions: dict[str, Version] = {}
        self._builds: list[Build] = []
        self._checks: dict[tuple[str, str], CheckRecord] = {}
        self._holds: dict[str, Hold] = {}
        self._candidates: dict[str, Candidate] = {}
        self._staged = ""
        self._releases: list[Release] = []
        self._switches: list[Switch] = []

    # -- loads

    def add_revision(self, revision: Revision) -> Revision | None:
        """The revision with its number; None if it brings the bytes there are already."""
        points.passing("load.before")
        with self._lock:
            of_period = [r for r in self._revisions if (r.source, r.period) == (revision.source, revision.period)]
            if of_period and (of_period[-1].digest, of_period[-1].bad_digest) == (revision.digest, revision.bad_digest):
                return None
            numbered = _copy(msgspec.structs.replace(revision, sequence=len(self._revisions) + 1))
            self._revisions.append(numbered)
        points.passing("load.after")
        return numbered

    def revisions(self, source: str, *, up_to: int | None = None) -> list[Revision]:
        """The latest revision of each period, in order of time."""
        revisions = [r for r in self.all_revisions(source) if up_to is None or r.sequence <= up_to]
        latest = {revision.period: revision for revision in revisions}
        return sorted(latest.values(), key=lambda r: (r.start, r.sequence))

    def all_revisions(self, source: str | None = None) -> list[Revision]:
        """Every revision, of one source or of all."""
        with self._lock:
            return [r for r in self._revisions if source in (None, r.source)]

    # -- builds

    def add_version(self, version: Version, build: Build | None = None) -> Version:
        """The version of this id that is kept: the first."""
        points.passing("build.before")
        with self._lock:
            first = self._versions.get(version.id) or _copy(version)
            if build is not None:
                self._add_build(msgspec.structs.replace(build, version=first.id))
            self._versions[first.id] = first
        points.passing("build.after")
        return first

    def add_build(self, build: Build) -> None:
        """Keep a build that made no version."""
        points.passing("build.before")
        with self._lock:
            self._add_build(build)
        points.passing("build.after")

    def _add_build(self, build: Build) -> None:
        if any(other.id == build.id for other in self._builds):
            raise _unfit(f"another build {build.id}")
        self._builds.append(_copy(build))

    def builds(self, node: str | None = None) -> list[Build]:
        """Every build of a node, or of all."""
        with self._lock:
            return [b for b in self._builds if node in (None, b.node)]

    def version(self, id: str) -> Version | None:
        """The version with this whole id."""
        with self._lock:
            return self._versions.get(id)

    def versions(self, node: str | None = None) -> list[Version]:
        """The versions of a node, or all."""
        with self._lock:
            return [v for v in self._versions.values() if node in (None, v.node)]

    def has_versions(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that exist."""
        with self._lock:
            return self._versions.keys() & set(ids)

    def find(self, text: str) -> Version:
        """The one version that a text names."""
        node, digits = naming.parse(text)
        versions = self.versions(node or None)
        fits = [v for v in versions if v.id.startswith(digits)]
        if not fits:
            nodes = sorted({v.node for v in self.versions()})
            raise naming.unknown(text, node, nodes, [(v.node, v.id) for v in reversed(versions[-3:])])
        if len(fits) > 1:
            raise naming.ambiguous(text, [(v.node, v.id) for v in fits])
        return fits[0]

    # -- checks

    def add_checked(self, checked: CheckRecord) -> None:
        """Keep the checks of a version, once under its policies."""
        points.passing("check.before")
        with self._lock:
            if checked.version not in self._versions:
                raise _unfit(f"checks of no version `{checked.version}`")
            self._checks.setdefault((checked.version, checked.policies), _copy(checked))
        points.passing("check.after")

    def checked(self, version: str, policies: str) -> CheckRecord | None:
        """The checks of a version under the policies of this digest."""
        with self._lock:
            return self._checks.get((version, policies))

    def checks_of(self, version: str | None = None) -> list[CheckRecord]:
        """Every check of a version, or of all."""
        with self._lock:
            return [c for c in self._checks.values() if version in (None, c.version)]

    # -- staging

    def hold(self, hold: Hold) -> None:
        """Begin a hold; the one that its node had ends."""
        points.passing("hold.before")
        with self._lock:
            if hold.version not in self._versions:
                raise _unfit(f"a hold of no version `{hold.version}`")
            self._holds[hold.node] = _copy(hold)
        points.passing("hold.after")

    def unhold(self, node: str) -> bool:
        """Whether the node was held; it is not any more."""
        points.passing("hold.before")
        with self._lock:
            held = self._holds.pop(node, None) is not None
        points.passing("hold.after")
        return held

    def holds(self) -> dict[str, Hold]:
        """Node → its hold, in the nodes' order."""
        with self._lock:
            return dict(sorted(self._holds.items()))

    def add_candidate(self, candidate: Candidate) -> Candidate:
        """The candidate of this id that is kept, which is now the latest."""
        points.passing("stage.before")
        with self._lock:
            first = self._candidates.get(candidate.id)
            if first is None:
                before = list(self._candidates.values())[-1:]
                numbered = wires(candidate.specs, before[0].wires if before else {})
                first = _copy(msgspec.structs.replace(candidate, wires=numbered))
            self._candidates[first.id] = first
            self._staged = first.id
        points.passing("stage.after")
        return first

    def latest_candidate(self) -> Candidate | None:
        """The candidate staged last."""
        with self._lock:
            return self._candidates.get(self._staged)

    def candidate(self, id: str) -> Candidate | None:
        """The candidate with this whole id."""
        with self._lock:
            return self._candidates.get(id)

    def candidates(self) -> list[Candidate]:
        """Every candidate, in the order they were first staged."""
        with self._lock:
            return list(self._candidates.values())

    # -- releases

    def current(self) -> Switch | None:
        """The last switch."""
        with self._lock:
            return self._switches[-1] if self._switches else None

    def current_release(self) -> Release | None:
        """The release that answers now; None before the first."""
        with self._lock:
            return self._releases[self._switches[-1].after - 1] if self._switches else None

    def release(self, number: int) -> Release | None:
        """The release of this number."""
        with self._lock:
            return self._releases[number - 1] if 1 <= number <= len(self._releases) else None

    def releases(self) -> list[Release]:
        """Every release, by number."""
        with self._lock:
            return list(self._releases)

    def switches(self) -> list[Switch]:
        """Every switch, by generation."""
        with self._lock:
            return list(self._switches)

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
        """Number the release, keep it, answer with it from now on and end the holds it ships."""
        points.passing("release.before")
        with self._lock:
            self._expect(expected_generation, "release")
            if self._staged != expected_candidate:
                raise candidate_moved(expected_candidate, self._staged)
            numbered = _copy(msgspec.structs.replace(release, number=len(self._releases) + 1))
            ended = set(ended_holds)
            holds = {
                node: hold
                for node, hold in self._holds.items()
                if node not in ended or hold.version != numbered.pins.get(node, "")
            }
            switch = self._next(numbered.number, "release", who, because)
            points.passing("release.inside")
            self._releases.append(numbered)
            self._switches.append(switch)
            self._holds = holds
        points.passing("release.after")
        return switch

    def switch_to(self, number: int, *, expected_generation: int, who: str, because: str) -> Switch:
        """Answer with an earlier release from now on."""
        points.passing("release.before")
        with self._lock:
            self._expect(expected_generation, "rollback")
            if self.release(number) is None:
                raise no_release(number)
            switch = self._next(number, "rollback", who, because)
            points.passing("release.inside")
            self._switches.append(switch)
        points.passing("release.after")
        return switch

    def _expect(self, generation: int, action: Action) -> None:
        if len(self._switches) != generation:
            raise generation_moved(generation, self.current(), action)

    def _next(self, after: int, action: Action, who: str, because: str) -> Switch:
        now = self.current()
        return Switch(len(self._switches) + 1, now.after if now else None, after, action, self._clock(), who, because)

    # -- soundness

    def unsound(self) -> list[str]:
        """Nothing: there is no file that could be damaged."""
        return []

    def close(self) -> None:
        """Nothing to let go of."""


def _copy(record: R) -> R:
    """The record as it reads after it was written: nobody who has the other can change it."""
    return msgspec.json.decode(msgspec.json.encode(record), type=type(record))


def _unfit(got: str) -> StoreError:
    return StoreError(f"store expected a record that fits the others, got {got}")
