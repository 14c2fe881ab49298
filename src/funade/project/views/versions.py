"""Versions: one with everything recorded of it, what its function printed, and a node's builds side by side."""

from __future__ import annotations

import msgspec

from funade.declare.spec import Kind
from funade.project.project import Project
from funade.store.records import Build, CheckRecord, Pins, Revision, Version


class VersionView(msgspec.Struct, frozen=True):
    """One version: the builds that made it, its data checks, the releases that pin it and, of a source, its loads."""

    version: Version
    builds: tuple[Build, ...]
    checks: tuple[CheckRecord, ...]
    revisions: tuple[Revision, ...]
    releases: tuple[int, ...]

    def json(self) -> object:
        """What ``show --json`` prints."""
        return {"version": self.version, "builds": self.builds, "checks": self.checks}


class BuildLog(msgspec.Struct, frozen=True):
    """What the function of a build printed (None: nothing), and why the build failed ("": it did not)."""

    text: str | None
    error: str


class ComparedBuild(msgspec.Struct, frozen=True):
    """One build, and the version of each input that it was made from; of a failed one none is known."""

    build: Build
    inputs: Pins


class BuildComparison(msgspec.Struct, frozen=True):
    """A node's builds, oldest first, and the names of the settings, metrics and inputs that any of them has, sorted."""

    node: str
    kind: Kind
    builds: tuple[ComparedBuild, ...]
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    inputs: tuple[str, ...]

    def json(self) -> object:
        """What ``compare --json`` prints."""
        return [row.build for row in self.builds]


def show(project: Project, text: str) -> VersionView:
    """The version that ``node@3f9c2e``, ``node@released`` or a node's name means.

    Raises:
        Misuse: the text means no version or several.
    """
    version, metadata = project.find_version(text), project.store.metadata
    loads = metadata.revisions(version.node, up_to=version.sequence) if version.kind == "source" else []
    return VersionView(
        version,
        builds=tuple(_builds_of(project, version)),
        checks=tuple(metadata.checks_of(version.id)),
        revisions=tuple(loads),
        releases=tuple(r.number for r in metadata.releases() if r.pins.get(version.node) == version.id),
    )


def logs(project: Project, text: str) -> list[BuildLog]:
    """What the builds of a version left to read; of a node's name, its last build, good or failed."""
    is_node = text in project.graph.specs
    builds = project.builds(text)[-1:] if is_node else _builds_of(project, project.find_version(text))
    return [
        BuildLog(project.store.blobs.read(b.log).decode(errors="replace").rstrip() if b.log else None, b.error)
        for b in builds
        if b.log or b.error
    ]


def compare(project: Project, node: str) -> BuildComparison:
    """A node's builds side by side, those under its former names included."""
    builds = project.builds(node)
    versions = {b.version: project.store.metadata.version(b.version) for b in builds}
    rows = [ComparedBuild(b, v.inputs if (v := versions[b.version]) else {}) for b in builds]
    return BuildComparison(
        node,
        project.graph[node].kind,
        tuple(rows),
        settings=tuple(sorted({name for row in rows for name in row.build.settings})),
        metrics=tuple(sorted({name for row in rows for name in row.build.metrics})),
        inputs=tuple(sorted({name for row in rows for name in row.inputs})),
    )


def _builds_of(project: Project, version: Version) -> list[Build]:
    return [build for build in project.store.metadata.builds(version.node) if build.version == version.id]
