"""The project's graph: read from the cache, or from the project's modules, and checked against its configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from funade.declare.graph import Graph
from funade.declare.node import Node
from funade.declare.policy import Every, Time
from funade.declare.spec import Spec
from funade.errors import ProjectError
from funade.project import graph_cache
from funade.project.config import FILE, ProjectSection


def read_graph(
    root: Path, section: ProjectSection, cache: Path, declared: Callable[[], Collection[Node[Any, Any]]]
) -> Graph:
    """Every node as plain data; kept in the folder ``cache`` while no file of the project changes.

    Args:
        root: the project's folder.
        section: ``[project]`` of its configuration.
        cache: a folder of this machine.
        declared: gives the imported nodes; called only where the cache has no graph.

    Raises:
        ProjectError: there is no node, or one is dated and the project has no time zone.
        DeclarationError: a model's return type is missing, or no codec fits it.
    """
    key = graph_cache.key(root)
    specs = graph_cache.read(cache, key, root)
    if specs is None:
        from funade.project.specs import specs_of_nodes

        specs = specs_of_nodes(root, list(declared()))
        graph_cache.write(cache, key, root, specs)
    _check(specs, section, root)
    return Graph(specs)


def _check(specs: Sequence[Spec], section: ProjectSection, root: Path) -> None:
    if not specs:
        raise ProjectError(
            f"project `{section.name}` expected nodes in {', '.join(section.modules) or 'its modules'}, got none",
            at=str(root / FILE),
            do="decorate a function: @fn.source(…)",
        )
    dated = next((s for s in specs if s.policy(Every) or s.policy(Time)), None)
    if dated is not None and not section.timezone:
        raise ProjectError(
            f"project `{section.name}` expected a time zone, got none, and {dated.kind} `{dated.name}` is dated",
            at=str(root / FILE),
            do='add timezone = "Asia/Tokyo" (or yours) under [project]',
        )
