"""What one command sees of a project: its graph, its store, and the plan over them, made once."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from funade.clock import Clock
from funade.declare.graph import Graph
from funade.errors import Misuse, NotBuilt
from funade.plan import plan as plans
from funade.plan.plan import Plan, check_settings
from funade.plan.status import Status, status
from funade.project.config import Config
from funade.store.records import Hold, Pins, Release, Version
from funade.store.store import Store

Attempt = dict[str, dict[str, Any]]
"""Node → its ``settings`` and, for one made again, a mark that no other recipe has; empty for a build as usual."""


class Present:
    """A project as one command sees it. It is not kept for the next command: the store has moved on by then.

    ``graph`` is called when a node is first looked for.
    """

    def __init__(self, config: Config, store: Store, graph: Callable[[], Graph], clock: Clock) -> None:
        self.config = config
        self.store = store
        self.clock = clock
        self._graph = graph

    @cached_property
    def graph(self) -> Graph:
        """Every node as plain data."""
        return self._graph()

    @cached_property
    def plan(self) -> Plan:
        """Which version every node has under its present recipe or hold."""
        return self._plan(self.holds)

    @cached_property
    def plan_without_holds(self) -> Plan:
        """Which version every node has under its present recipe; the plan itself where nothing is held."""
        return self._plan({}) if self.holds else self.plan

    @cached_property
    def current(self) -> Release | None:
        """The current release; None before the first."""
        return self.store.metadata.current_release()

    @property
    def released(self) -> Pins:
        """The pins of the current release; empty before the first."""
        return self.current.pins if self.current else {}

    @cached_property
    def holds(self) -> dict[str, Hold]:
        """Node → hold."""
        return self.store.metadata.holds()

    def plan_of(self, attempt: Attempt) -> Plan:
        """The plan with what an attempt adds to the recipe of its node."""
        return self._plan(self.holds, attempt) if attempt else self.plan

    def _plan(self, holds: Mapping[str, Hold], attempt: Attempt | None = None) -> Plan:
        return plans.plan(
            self.graph,
            self.store.metadata,
            settings=self.config.settings,
            holds=holds,
            timezone=self.config.project.timezone,
            attempt=attempt,
        )

    def status(self) -> list[Status]:
        """How every node stands: newest, held, released, and exactly why something is stale."""
        return status(self.plan, self.plan_without_holds, self.store.metadata, holds=self.holds, released=self.released)

    # -- versions ----------------------------------------------------------------------------------

    def version(self, node: str) -> Version:
        """The version of a node's present recipe or hold.

        Raises:
            NotBuilt: it is not there.
        """
        step = self.plan[self.graph[node].name]
        if step.spec.kind == "source" and step.version:
            return plans.unbuilt(step, self.store.metadata, self.clock())
        version = self.store.metadata.version(step.version)
        if version is None:
            raise NotBuilt(
                f"{step.spec.kind} `{node}` expected its present version built, got none",
                at=step.spec.place,
                do=f"run: funade {'load' if step.spec.kind == 'source' else 'build'} {node}",
            )
        return version

    def pick(self, verb: str, node: str, *kinds: str, version: str = "") -> Version:
        """The version of a node that a verb is for: that of the present recipe unless its first digits are said.

        Raises:
            Misuse: the node is of none of the kinds.
        """
        kind = self.graph[node].kind
        if kind not in kinds:
            raise Misuse(f"{verb} expected a {', '.join(kinds[:-1])} or {kinds[-1]}, got {kind} `{node}`")
        return self.find(f"{node}@{version}") if version else self.version(node)

    def find(self, text: str) -> Version:
        """The version that ``node@abc123``, ``node@released``, a bare prefix or a node's name (its newest) means.

        Raises:
            Misuse: the node is not released, or the text fits several versions.
            UnknownVersion: it fits none.
            NotBuilt: the named node has no version.
        """
        node, _, prefix = text.partition("@")
        if prefix == "released":
            return self._released(node)
        if not prefix and (node in self.graph.specs or set(node.lower()) - set("0123456789abcdef")):
            versions = self.store.metadata.versions(self.graph[node].name)
            return self.version(node) if self.graph[node].kind == "source" or not versions else versions[-1]
        return self.store.metadata.find(text)

    def tables(self) -> dict[str, Version]:
        """Every source and dataset whose version of the present recipe or hold is there, by name."""
        return {
            name: self.version(name)
            for name, step in self.plan.items()
            if step.spec.kind in ("source", "dataset") and step.state in ("found", "held")
        }

    def _released(self, node: str) -> Version:
        pin = self.released.get(node)
        if not pin:
            raise Misuse(
                f"{self.graph[node].kind} `{node}` expected a version in the current release, got none",
                do="see them: funade releases",
            )
        return self.store.version(pin)


def attempt(graph: Graph, targets: Sequence[str], settings: Mapping[str, Any], *, again: bool) -> Attempt:
    """What a build with settings, or once more, adds to the recipe of its one target.

    Raises:
        Misuse: there is not exactly one target, or it is a source or an api.
        SettingError: a setting names nothing, or its value has another type than its default.
    """
    if not settings and not again:
        return {}
    if len(targets) != 1:
        raise Misuse(
            "an attempt expected one node, got " + (", ".join(targets) or "none"),
            do="name it: funade build NODE --set k=v",
        )
    node = targets[0]
    kind = graph[node].kind
    if kind in ("source", "api"):
        raise Misuse(
            f"an attempt expected a node that is built, got {kind} `{node}`",
            do=f"run: funade load {node} --again" if kind == "source" else "",
        )
    check_settings(graph, {node: settings}, place="--set")
    return {node: {"settings": dict(settings)} | ({"again": uuid.uuid4().hex} if again else {})}
