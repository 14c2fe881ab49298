"""The nodes: whether their declarations hold, and how each stands."""

from __future__ import annotations

from typing import get_args

import msgspec

from funade.declare.spec import Kind
from funade.plan.plan import check_settings
from funade.plan.status import Status
from funade.project.project import Project
from funade.store.records import Release


class Declarations(msgspec.Struct, frozen=True):
    """A project whose declarations hold: its warnings, and how many nodes it has of each kind that it has."""

    warnings: tuple[str, ...]
    kinds: dict[Kind, int]


class NodesView(msgspec.Struct, frozen=True):
    """How every node stands, in the graph's order, and the current release."""

    nodes: tuple[Status, ...]
    release: Release | None

    def json(self) -> object:
        """What ``status --json`` prints."""
        return self.nodes


def declarations(project: Project) -> Declarations:
    """Import the project, if its graph is not cached, and check every declaration and setting.

    Raises:
        DeclarationError: a declaration does not hold.
        SettingError: a setting names nothing, or its value has another type than its default.
    """
    check_settings(project.graph, project.config.settings)
    warnings = [warning for spec in project.graph for warning in spec.warnings] + project.deprecated()
    numbers = {kind: len(project.graph.of_kind(kind)) for kind in get_args(Kind)}
    return Declarations(tuple(warnings), {kind: number for kind, number in numbers.items() if number})


def status(project: Project) -> NodesView:
    """How every node stands."""
    now = project.present()
    return NodesView(tuple(now.status()), now.current)


def stale_dependants(project: Project, node: str) -> list[str]:
    """The nodes that need this one, directly or not, and are to be built; sorted."""
    names = sorted(project.graph.dependants(node))
    plan = project.plan() if names else {}
    return [name for name in names if plan[name].state == "absent"]
