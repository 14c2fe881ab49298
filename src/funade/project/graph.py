"""The project's graph: read from the cache, or from the project's modules, and checked against its configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from funade.declare.graph import Graph, specs_of
from funade.declare.node import Node
from funade.declare.policy import Every, Onnx, Time
from funade.declare.spec import Spec
from funade.errors import ProjectError
from funade.fingerprint.fingerprint import symbol_reach
from funade.project import graph_cache
from funade.project.config import FILE, ProjectSection


def read_graph(
    root: Path, section: ProjectSection, cache: Path, declared: Callable[[], Collection[Node[Any, Any]]]
) -> Graph:
    """Every node as plain data; kept in the folder ``cache`` while no file of the project changes.

    ``declared`` gives the imported nodes; it is called only where the cache has no graph.

    Raises:
        ProjectError: there is no node, or one is dated and the project has no time zone.
        DeclarationError: a model's return type is missing, or no codec fits it.
    """
    key = graph_cache.key(root)
    specs = graph_cache.read(cache, key, root)
    if specs is None:
        specs = _declared(list(declared()), root)
        graph_cache.write(cache, key, root, specs)
    _check(specs, section, root)
    return Graph(specs)


def _declared(nodes: Sequence[Node[Any, Any]], root: Path) -> list[Spec]:
    by_name = {node.name: node for node in nodes}
    specs = [_with_codec(spec, by_name[spec.name], root) for spec in specs_of(nodes, root)]
    # As the graph's cache will have them: a bound declared as 0 is 0.0 from the first use on, so digests never differ.
    return msgspec.json.decode(msgspec.json.encode(specs), type=list[Spec])


def _with_codec(spec: Spec, node: Node[Any, Any], root: Path) -> Spec:
    """A model's codec, and what its artifacts need to be loaded again, follow from its annotated return type."""
    if spec.kind != "model":
        return spec
    from funade.store import codecs  # NumPy, which a cached graph does not need

    codec = codecs.codec_for(node.returns, place=spec.place, what=f"model `{spec.name}`")
    if spec.policy(Onnx) is not None:
        codec = codecs.converted(codec, place=spec.place, what=f"model `{spec.name}`")
    classes = symbol_reach(node.returns, root=root) if codec == "python" else {}
    return msgspec.structs.replace(spec, codec=codec, runtime=codecs.runtime(codec, node.returns), classes=classes)


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
