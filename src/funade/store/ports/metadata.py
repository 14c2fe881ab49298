"""The port of metadata: records, each method one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from funade.store.records import Build, Candidate, CheckRecord, Hold, Release, Revision, Switch, Version


class Metadata(Protocol):
    """Every record of a store. Records are only ever added; of holds alone, old ones go.

    Each method is one transaction: it sees all of every other or nothing, and is durable when it returns. Releases and
    switches are numbered from 1, without gaps.
    """

    # -- what was loaded, period by period

    def add_revision(self, revision: Revision) -> Revision | None:
        """The revision with its number, the next of the whole store; None if it brings the bytes there are already.

        Numbers have no order of their own: whoever sees one sees every lower one.
        """

    def revisions(self, source: str, *, up_to: int | None = None) -> list[Revision]:
        """The latest revision of each period, by number no later than ``up_to``, in order of time."""

    def all_revisions(self, source: str | None = None) -> list[Revision]:
        """Every revision ever loaded, of one source or of all, oldest first."""

    # -- what was built, and how

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

    # -- what data checks found

    def add_checked(self, checked: CheckRecord) -> None:
        """Keep the checks of a version; a second result under the same policies changes nothing.

        Raises:
            StoreError: there is no such version.
        """

    def checked(self, version: str, policies: str) -> CheckRecord | None:
        """The checks of a version under the policies of this digest."""

    def checks_of(self, version: str | None = None) -> list[CheckRecord]:
        """Every check of a version, or of all, oldest first."""

    # -- what is about to be released

    def hold(self, hold: Hold) -> None:
        """Begin a hold; the one that its node had ends.

        Raises:
            StoreError: it is of a version that is not there.
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

    # -- what answered, and what answers now

    def current(self) -> Switch | None:
        """The last switch: ``after`` is the release that answers now."""

    def current_release(self) -> Release | None:
        """The release that answers now; None before the first."""

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

    def switch_to(self, number: int, *, expected_generation: int, who: str, because: str) -> Switch:
        """Answer with an earlier release from now on.

        Raises:
            RollbackRefused: there is no such release.
            SwitchLost: a switch came between; nothing changed.
        """

    # -- the engine itself

    def unsound(self) -> list[str]:
        """What the engine itself finds wrong with what it keeps; empty when it is sound."""

    def close(self) -> None:
        """Let go of connections; the next use opens again."""
