"""Pins → one callable per api: the one binding that builds, the gate and servers share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from funade.bind.api import BoundApi
from funade.contract.form import form_of_value
from funade.contract.from_frame import from_frame
from funade.contract.to_frame import to_frame
from funade.declare.graph import Graph
from funade.declare.node import Node
from funade.declare.spec import Edge, Spec
from funade.errors import CutIncomplete
from funade.store.records import Pins
from funade.store.store import Store


def bind(
    graph: Graph,
    nodes: Mapping[str, Node[Any, Any]],
    pins: Pins,
    store: Store,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    zone: ZoneInfo,
    only: Sequence[str] | None = None,
    replaced: Mapping[str, str] | None = None,
    artifacts: Mapping[str, Any] | None = None,
) -> dict[str, BoundApi]:
    """Api name → the api bound to its pinned inputs: ``only`` these apis (and those they take), or all.

    ``pins`` are of ``graph``, whose imported ``nodes`` are called, with the ``settings`` of their versions.
    ``replaced``, for the apis in ``only``: parameter → node that takes an input's place. ``artifacts``: node → a model
    in the place of what the store has for it.

    Raises:
        CutIncomplete: something an api takes is not pinned.
    """
    replacements = {name: replaced or {} for name in only or ()}
    binding = _Binding(graph, nodes, pins, store, settings, zone, replacements, artifacts=dict(artifacts or {}))
    for spec in graph.of_kind("api"):
        if only is None or spec.name in only:
            binding.api(spec.name)
    return binding.apis


@dataclass
class _Binding:
    """Apis being bound: each is bound once and each artifact loaded once, whoever takes it."""

    graph: Graph
    nodes: Mapping[str, Node[Any, Any]]
    pins: Pins
    store: Store
    settings: Mapping[str, Mapping[str, Any]]
    zone: ZoneInfo
    replacements: Mapping[str, Mapping[str, str]]
    artifacts: dict[str, Any]
    apis: dict[str, BoundApi] = field(default_factory=dict)

    def api(self, name: str) -> BoundApi:
        if name not in self.apis:
            spec = self.graph[name]
            inputs = {edge.parameter: self._input(spec, edge) for edge in spec.edges}
            settings = spec.settings | dict(self.settings.get(name, {}))
            self.apis[name] = BoundApi(spec, self.nodes[name], inputs, settings, self.zone)
        return self.apis[name]

    def _input(self, spec: Spec, edge: Edge) -> Any:
        name = self.replacements.get(spec.name, {}).get(edge.parameter, edge.node)
        kind = self.graph[name].kind
        if kind == "api":
            return _as_function(self.api(name))
        if name not in self.pins:
            raise CutIncomplete(
                f"api `{spec.name}` expected a version of `{name}`, got none", do=f"run: funade build {name}"
            )
        return self._table(name, edge) if kind == "dataset" else self._artifact(name)

    def _table(self, name: str, edge: Edge) -> Any:
        from funade.store.warehouse import versions  # Arrow, only for who takes a table

        version = self.store.version(self.pins[name])
        return versions.read(version, self.store, part=edge.part, form=edge.form)

    def _artifact(self, name: str) -> Any:
        if name not in self.artifacts:
            self.artifacts[name] = self.store.load(self.pins[name], project_types=self.graph.packages)
        return self.artifacts[name]


def _as_function(api: BoundApi) -> Any:
    """An api as another api's input: a frame of rows in, a frame of answers out."""

    def answer(batch: Any) -> Any:
        form = form_of_value(batch)
        rows = len(next(iter(batch.values()))) if form == "columns" else len(batch)
        there = batch if isinstance(batch, Mapping) else getattr(batch, "column_names", batch.columns)
        names = [f.name for f in api.contract.takes_fields if not f.filled or f.name in there]
        columns = from_frame(batch, form=form, rows=rows, wanted=names, api=api.name, zone=api.zone)
        return to_frame(api.call(api.requests.fill_defaults(columns, rows).columns, rows), form)

    return answer
