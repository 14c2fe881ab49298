"""Releases: which there were, who switched when, and what one pins otherwise than another."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from funade.errors import FunadeError, Misuse
from funade.project.project import Project
from funade.store.records import Pins, Release, Switch


class ReleasesView(msgspec.Struct, frozen=True):
    """Every release, by number, and every switch, by generation."""

    releases: tuple[Release, ...]
    switches: tuple[Switch, ...]


class PinChange(msgspec.Struct, frozen=True):
    """A node of which another version is pinned; "" where none is."""

    node: str
    before: str
    after: str


class MetricChange(msgspec.Struct, frozen=True):
    """A number of a node that is another one; None where there is none, or it was NaN."""

    node: str
    metric: str
    before: float | None
    after: float | None


class ReleaseDiff(msgspec.Struct, frozen=True):
    """What the second release pins otherwise than the first, and which numbers it has otherwise."""

    pins: tuple[PinChange, ...]
    metrics: tuple[MetricChange, ...]

    def json(self) -> object:
        """What ``diff --json`` prints."""
        return {change.node: (change.before or None, change.after or None) for change in self.pins}


def releases(project: Project) -> ReleasesView:
    """Every release and every switch."""
    metadata = project.store.metadata
    return ReleasesView(tuple(metadata.releases()), tuple(metadata.switches()))


def diff(project: Project, first: int, second: int) -> ReleaseDiff:
    """What release ``second`` has otherwise than release ``first``.

    Raises:
        Misuse: there is no such release.
    """
    old, new = _release(project, first), _release(project, second)
    changes = tuple(pin_changes(old.pins, new.pins))
    return ReleaseDiff(changes, tuple(_metric_changes(project, old, new)))


def pin_changes(old: Pins, new: Pins) -> Iterator[PinChange]:
    """The nodes of which two cuts pin different versions."""
    for node in {**old, **new}:
        if old.get(node) != new.get(node):
            yield PinChange(node, old.get(node, ""), new.get(node, ""))


def settings_to_keep(project: Project, release: Release) -> dict[str, dict[str, object]]:
    """Node → the settings of a released attempt that the project does not have yet.

    None where the working tree cannot be read: the release was made without it.
    """
    try:
        plan = project.plan()
    except FunadeError:
        return {}
    missing: dict[str, dict[str, object]] = {}
    for node, pin in release.pins.items():
        version = project.store.metadata.version(pin)
        for name, value in (version.recipe.get("settings", {}) if version else {}).items():
            if node in plan and plan[node].settings.get(name) != value:
                missing.setdefault(node, {})[name] = value
    return missing


def _release(project: Project, number: int) -> Release:
    release = project.store.metadata.release(number)
    if release is None:
        raise Misuse(f"diff expected a release, got {number}", do="see them: funade releases")
    return release


def _metric_changes(project: Project, old: Release, new: Release) -> Iterator[MetricChange]:
    for node, pin in new.pins.items():
        after = project.store.metadata.version(pin)
        before = project.store.metadata.version(old.pins.get(node, ""))
        for metric, value in (after.metrics if after else {}).items():
            earlier = before.metrics.get(metric) if before else None
            if earlier != value:
                yield MetricChange(node, metric, earlier, value)
