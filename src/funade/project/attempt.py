"""An attempt: what one build adds to the recipe of one node."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from funade.declare.graph import Graph
from funade.errors import Misuse
from funade.plan.plan import check_settings

Attempt = dict[str, dict[str, Any]]
"""Node → its ``settings`` and, for one made again, a mark that no other recipe has; empty for a build as usual."""


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
