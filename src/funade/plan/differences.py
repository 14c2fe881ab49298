"""Why a version is not the one of the present recipe, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from funade.declare.spec import Spec
from funade.declare.window import Window
from funade.digest import canonical, of_value
from funade.plan.plan import Step
from funade.store.naming import short
from funade.store.records import Revision, Version


def differences(old: Version, step: Step) -> list[str]:
    """Why a version is not the one of the present recipe, one line each; empty when it is.

    Names the code that changed, the settings with both values, and the inputs with both versions.
    """
    if old.id == step.version:
        return []
    was, now = old.recipe, msgspec.json.decode(canonical(step.recipe))  # as the old one was kept: no tuples
    lines: list[str] = []
    if was.get("fingerprint") != now.get("fingerprint"):
        lines.append(f"code changed: {_changed_symbols(old.symbols, step.spec.symbols)}")
    before, after = was.get("settings", {}), now.get("settings", {})
    lines += [f"setting {name}: {before.get(name)!r} -> {after.get(name)!r}" for name in _changed(before, after)]
    # An api's inputs are bound by the release; they are no part of its version.
    for node in _changed(old.inputs, step.inputs) if old.kind != "api" else ():
        versions = [short(node, inputs.get(node, "")) for inputs in (old.inputs, step.inputs)]
        lines.append(f"input {node}: {' -> '.join(versions)}")
    for part in ("policies", "contract", "codec", "timezone", "revisions"):
        if of_value(was.get(part)) != of_value(now.get(part)):
            lines.append({"revisions": "new periods or revisions were loaded"}.get(part, f"{part} changed"))
    if was.get("runtime") != now.get("runtime"):
        lines.append(f"runtime changed: {_changed_runtime(was.get('runtime', {}), now.get('runtime', {}))}")
    lines += _changed_edges(was.get("inputs", {}), now.get("inputs", {}))
    if "again" in was:
        lines.append("built again as an attempt")
    return lines or ["how its inputs are taken changed"]


def loaded_otherwise(spec: Spec, revisions: Sequence[Revision]) -> list[str]:
    """Which of a source's periods were loaded by other code than the present, in one line; none, no line."""
    other = [r.period for r in revisions if r.code != spec.fingerprint]
    if not other:
        return []
    which = other[0] if len(other) == 1 else f"{len(other)} periods ({other[0]} to {other[-1]})"
    return [f"{which} loaded by other code; to load again: funade load {spec.name} --again"]


def _changed_symbols(old: dict[str, str], new: dict[str, str]) -> str:
    return ", ".join(sorted(_changed(old, new))) or "a file or a default value"


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def _changed_edges(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Inputs that come, go, or are taken otherwise: another window, part, form or replacement."""
    pairs = [(name, _taken(old.get(name)), _taken(new.get(name))) for name in {**old, **new}]
    return [f"input {name} taken: {before} -> {after}" for name, before, after in pairs if before != after]


def _taken(edge: Any) -> str:
    """How an input is taken, whatever its version: ``clean last 7 days as pandas``."""
    if not isinstance(edge, Mapping):
        return str(edge or "not at all")
    window = str(msgspec.convert(edge["window"], Window)) if "window" in edge else ""
    form = f"as {edge['form']}" if "form" in edge else ""
    rows = " ".join(filter(None, [edge["node"], window, edge.get("part", ""), form]))
    if "api" not in edge:
        return rows
    return f"{edge['api']}.on({', '.join([rows, *(f'{k}={v}' for k, v in edge['replaced'].items())])})"


def _changed_runtime(old: dict[str, str], new: dict[str, str]) -> str:
    return ", ".join(f"{k} {old.get(k, 'none')} -> {new.get(k, 'none')}" for k in sorted(_changed(old, new)))
