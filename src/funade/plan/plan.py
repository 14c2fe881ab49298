"""The plan: which version every node has under its present recipe, told by hashing alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

import msgspec

from funade.declare.graph import Graph
from funade.declare.setting import is_json
from funade.declare.spec import Edge, Spec
from funade.digest import of_value
from funade.errors import SettingError, closest
from funade.store.ports.metadata import Metadata
from funade.store.records import Hold, Pins, Version

Settings = Mapping[str, Mapping[str, Any]]
"""Node name → setting → value, as `funade.toml` or `--set` gives them."""


class Step(msgspec.Struct, frozen=True):
    """One node of a plan.

    ``version`` is "" when something it needs has never been loaded; ``missing`` then names that source.
    ``state``: ``held`` by a hold, ``found`` in the store, ``absent`` (to be built), ``bound`` (an api).
    """

    spec: Spec
    version: str
    recipe: dict[str, Any]
    inputs: Pins
    settings: dict[str, Any]
    state: Literal["held", "found", "absent", "bound"]
    missing: str = ""
    sequence: int | None = None


Plan = dict[str, Step]
"""Node name → step, in the graph's order."""


def plan(
    graph: Graph,
    metadata: Metadata,
    *,
    settings: Settings,
    holds: Mapping[str, Hold],
    timezone: str = "",
    attempt: Mapping[str, dict[str, Any]] | None = None,
) -> Plan:
    """The version of every node: held, or of its present recipe.

    ``settings`` are laid over the code's defaults; ``timezone`` is part of every recipe with a window; ``attempt``:
    node → what one attempt adds to its recipe (``settings``, ``again``).

    Raises:
        SettingError: a setting names nothing, or its value has another type than its default.
    """
    check_settings(graph, settings)
    held = _held(holds)
    steps: Plan = {}
    for spec in graph:
        steps[spec.name] = _step(spec, steps, metadata, held, settings, timezone, (attempt or {}).get(spec.name, {}))
    built = metadata.has_versions([s.version for s in steps.values() if s.version and s.state == "absent"])
    return {
        name: msgspec.structs.replace(step, state="found") if step.version in built and step.state == "absent" else step
        for name, step in steps.items()
    }


def check_settings(graph: Graph, settings: Settings, *, place: str = "") -> None:
    """Refuse settings of nodes or names that do not exist, and values of another type.

    ``place`` is where they were given; unless said, the node's section in ``funade.toml``.
    """
    for node, values in settings.items():
        at = place or f"[settings.{node}] in funade.toml"
        if node not in graph.specs:
            raise SettingError(
                f"settings expected a node of the project, got `{node}`",
                at=at,
                do=closest(node, graph.specs),
            )
        defaults = graph[node].settings
        for name, value in values.items():
            if name not in defaults:
                known = ", ".join(defaults) or "none"
                raise SettingError(
                    f"{graph[node].kind} `{node}` takes no setting `{name}` (its settings: {known})",
                    at=at,
                    do=closest(name, defaults),
                )
            _check_type(graph[node], name, defaults[name], value, at)


def setting_values(spec: Spec, *over: Mapping[str, Any]) -> dict[str, Any]:
    """A node's settings: its code's defaults with values laid over them; 2 for a default of 1.0 is 2.0."""
    values = dict(spec.settings)
    for layer in over:
        values |= layer
    return {name: float(v) if isinstance(spec.settings[name], float) else v for name, v in values.items()}


def _check_type(spec: Spec, name: str, default: object, value: object, at: str) -> None:
    title = f"{spec.kind} `{spec.name}` expected `{name}`"
    if not is_json(value):
        raise SettingError(f"{title} as a JSON value, got {value!r}", at=at)
    if default is None or type(value) is type(default):
        return
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return
    raise SettingError(
        f"{title} as {type(default).__name__}, got {value!r}", at=at, do=f"its default is {default!r} at {spec.place}"
    )


def _held(holds: Mapping[str, Hold]) -> Pins:
    """What the holds fix: each held version and, transitively, the exact inputs it was built from."""
    fixed: Pins = {}
    for hold in holds.values():
        fixed |= hold.pins
        fixed[hold.node] = hold.version
    return fixed


def _step(
    spec: Spec, steps: Plan, metadata: Metadata, held: Pins, settings: Settings, timezone: str, attempt: dict[str, Any]
) -> Step:
    values = setting_values(spec, settings.get(spec.name, {}), attempt.get("settings", {}))
    # An attempt at a held node is made beside the held version, from the same held inputs.
    fixed = metadata.version(held[spec.name]) if spec.name in held and not attempt else None
    if fixed is not None:
        return Step(spec, fixed.id, fixed.recipe, fixed.inputs, values, "held", sequence=fixed.sequence)
    if spec.kind == "source":
        return _source_step(spec, metadata, values)
    inputs: Pins = {}
    edges = {edge.parameter: _edge_recipe(edge, steps, inputs) for edge in spec.edges}
    missing = next((steps[name].missing for name in spec.upstream() if steps[name].missing), "")
    recipe = _recipe(spec, values, edges, timezone) | ({"again": attempt["again"]} if "again" in attempt else {})
    version = "" if missing and spec.kind != "api" else of_value(recipe)
    return Step(spec, version, recipe, inputs, values, "bound" if spec.kind == "api" else "absent", missing)


def _source_step(spec: Spec, metadata: Metadata, values: dict[str, Any]) -> Step:
    revisions = metadata.revisions(spec.name)
    if not revisions:
        return Step(spec, "", {}, {}, values, "absent", missing=spec.name)
    content = of_value([[r.period, r.digest, r.bad_digest] for r in revisions])
    recipe = {"kind": "source", "name": spec.name, "policies": _remaking(spec), "revisions": content}
    sequence = max(r.sequence for r in revisions)
    return Step(spec, of_value(recipe), recipe, {}, values, "found", sequence=sequence)


def _recipe(spec: Spec, values: dict[str, Any], edges: dict[str, Any], timezone: str) -> dict[str, Any]:
    recipe: dict[str, Any] = {"kind": spec.kind, "name": spec.name, "fingerprint": spec.fingerprint, "settings": values}
    if spec.kind == "api":
        return recipe | {
            "inputs": {edge.parameter: edge.node for edge in spec.edges},
            "contract": msgspec.to_builtins(spec.contract),
        }
    recipe |= {"inputs": edges, "policies": _remaking(spec)}
    if spec.kind == "dataset" or any(edge.window for edge in spec.edges):  # naive times and days are read in it
        recipe["timezone"] = timezone
    if spec.kind == "model":
        recipe |= {"codec": spec.codec, "runtime": spec.runtime}
    return recipe


def _remaking(spec: Spec) -> list[Any]:
    return [msgspec.to_builtins(policy) for policy in spec.policies if policy.effect == "remakes"]


def _edge_recipe(edge: Edge, steps: Plan, inputs: Pins) -> dict[str, Any]:
    recipe: dict[str, Any] = {"node": edge.node, "version": steps[edge.node].version}
    inputs[edge.node] = steps[edge.node].version
    if edge.window:
        recipe["window"] = msgspec.to_builtins(edge.window)
    if edge.part:
        recipe["part"] = edge.part
    if edge.form:
        recipe["form"] = edge.form
    if edge.api:
        behind = bound(edge.api, steps, edge.replaced)
        inputs |= behind
        recipe |= {"api": edge.api, "replaced": edge.replaced, "behind": behind}
    return recipe


def bound(api: str, steps: Plan, replaced: Mapping[str, str] | None = None) -> Pins:
    """The versions behind an api: itself and, through the apis it takes, everything they are bound to."""
    behind: Pins = {api: steps[api].version}
    for edge in steps[api].spec.edges:
        node = (replaced or {}).get(edge.parameter, edge.node)
        if steps[node].spec.kind == "api":
            behind |= bound(node, steps)
        else:
            behind[node] = steps[node].version
    return behind


def unbuilt(step: Step, metadata: Metadata, now: datetime) -> Version:
    """The record of a version that no function makes: an api's, or what a source has loaded."""
    spec = step.spec
    revisions = metadata.revisions(spec.name, up_to=step.sequence) if spec.kind == "source" else []
    end = max((r.end for r in revisions), default=None)
    return Version(
        id=step.version,
        node=spec.name,
        kind=spec.kind,
        recipe=step.recipe,
        made_at=max((r.loaded_at for r in revisions), default=now),
        inputs=step.inputs if spec.kind != "api" else {},
        end=end,
        reach=end,
        symbols=spec.symbols if spec.kind == "api" else {},
        time=spec.time,
        key=spec.key,
        sequence=step.sequence,
    )


def newest(node: str, metadata: Metadata) -> Version | None:
    """The node's newest version that is no attempt; else its newest attempt; None when nothing was ever built.

    An attempt that is released is one no longer.
    """
    versions, builds = metadata.versions(node), metadata.builds(node)
    attempts = {b.version for b in builds if b.attempt} - {b.version for b in builds if not b.attempt}
    release = metadata.current_release() if attempts else None
    attempts.discard(release.pins.get(node, "") if release else "")
    return next((v for v in reversed(versions) if v.id not in attempts), next(reversed(versions), None))
