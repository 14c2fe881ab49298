"""Pins → one callable per api: the one binding that builds, the gate and servers share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from funade.bind.api import BoundApi
from funade.contract.from_frame import from_frame
from funade.contract.to_frame import to_frame
from funade.declare.graph import Graph
from funade.declare.node import Node
from funade.declare.spec import Spec
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
    project_types: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
) -> dict[str, BoundApi]:
    """Api name → the api bound to its pinned inputs.

    Args:
        graph: the specs the pins belong to.
        nodes: the same nodes, imported.
        pins: node → version id of everything the apis take.
        store: where the versions are.
        settings: node → the settings its versions were made with.
        zone: the project's time zone.
        only: these apis (and those they take); every api unless given.
        replaced: for the apis in ``only``: parameter → node that takes an input's place.
        project_types: packages whose classes an artifact may be made of.
        given: node → a model that takes the place of what the store has for it.

    Raises:
        CutIncomplete: something an api takes is not pinned.
    """
    found: dict[str, BoundApi] = {}
    loaded: dict[str, Any] = dict(given or {})

    def value(spec: Spec, parameter: str) -> Any:
        edge = next(e for e in spec.edges if e.parameter == parameter)
        name = (replaced or {}).get(parameter, edge.node) if spec.name in (only or ()) else edge.node
        if graph[name].kind == "api":
            return _as_function(one(name), edge.form)
        if name not in pins:
            raise CutIncomplete(
                f"api `{spec.name}` expected a version of `{name}`, got none", do=f"run: funade build {name}"
            )
        if graph[name].kind == "dataset":
            version = store.version(pins[name])
            from funade.store.warehouse import versions  # Arrow, only for who takes a table

            return versions.read(version, store.metadata, store.blobs, part=edge.part, form=edge.form)
        if name not in loaded:
            loaded[name] = store.load(pins[name], project_types=project_types)
        return loaded[name]

    def one(name: str) -> BoundApi:
        if name not in found:
            spec = graph[name]
            inputs = {e.parameter: value(spec, e.parameter) for e in spec.edges}
            found[name] = BoundApi(spec, nodes[name], inputs, spec.settings | dict(settings.get(name, {})), zone)
        return found[name]

    for spec in graph.of_kind("api"):
        if only is None or spec.name in only:
            one(spec.name)
    return found


def _as_function(api: BoundApi, form: str) -> Any:
    """An api as another api's input: a frame of rows in, a frame of answers out."""

    def answer(batch: Any) -> Any:
        from funade.contract.form import form_of

        given = form_of(type(batch)) if not isinstance(batch, dict) else "columns"
        rows = len(batch) if not isinstance(batch, dict) else len(next(iter(batch.values())))
        there = batch if isinstance(batch, Mapping) else getattr(batch, "column_names", batch.columns)
        names = [f.name for f in api.contract.takes_fields if not f.filled or f.name in there]
        columns = from_frame(batch, form=given, rows=rows, names=names, api=api.name, zone=api.zone, extra=True)
        return to_frame(api.call(api.requests.fill_defaults(columns, rows).columns, rows), given)

    return answer
