"""The consistent cut: every pinned version was built from the other pinned versions, by one state of the code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from funade.declare.graph import Graph
from funade.errors import HoldsDisagree
from funade.store.naming import short
from funade.store.ports.metadata import Metadata
from funade.store.records import Hold, Pins, Version


class Disagreement(msgspec.Struct, frozen=True):
    """One pair that does not agree: ``node@version`` was made from something else than what is pinned.

    ``needs`` is the other node (or, for code, the symbol); ``had`` is what ``node`` was made with, ``pinned`` what
    the cut holds. ``do`` mends it.
    """

    node: str
    version: str
    needs: str
    had: str
    pinned: str
    do: str
    code: bool = False

    def __str__(self) -> str:
        if self.code:
            return f"release expected one state of `{self.needs}`, got another in `{self.at}`"
        wanted, had = short(self.needs, self.pinned), short(self.needs, self.had)
        return f"release expected `{self.node}` built from `{wanted}`, got `{had}`"

    @property
    def at(self) -> str:
        """The version that disagrees."""
        return short(self.node, self.version)


def disagreements(pins: Pins, graph: Graph, metadata: Metadata) -> list[Disagreement]:
    """Every pair of the cut that does not agree, upstream first; empty when the cut is consistent.

    A pin that is "" or not in the store stands for `nothing built yet` and disagrees with whoever needs it.
    """
    versions = {name: metadata.version(pins[name]) for name in pins if pins[name]}
    pairs: list[Disagreement] = []
    for spec in graph:
        version = versions.get(spec.name)
        if version is None:
            continue
        for needed, had in version.inputs.items():
            pinned = pins.get(needed, "")
            if pinned != had:
                pairs.append(Disagreement(spec.name, version.id, needed, had, pinned, mending(version, pins, metadata)))
        pairs.extend(_code_disagreements(version, pins, graph, metadata))
    return pairs


def mending(version: Version, pins: Pins, metadata: Metadata) -> str:
    """The command that replaces a version by one that fits the pins: one that exists, or a new build."""
    for other in reversed(metadata.versions(version.node)):
        if other.inputs and all(pins.get(node) == had for node, had in other.inputs.items()):
            return f"run: funade stage {short(other.node, other.id)}"
    return f"run: funade build {version.node}"


def _code_disagreements(version: Version, pins: Pins, graph: Graph, metadata: Metadata) -> list[Disagreement]:
    """Symbols that the version and an api both reach, or that loading it needs, in another state than the cut's."""
    if version.kind in ("api", "source"):
        return []
    now: dict[str, str] = dict(graph[version.node].classes)
    changed = {s: d for s, d in version.classes.items() if s in now and now[s] != d}
    for api in graph.of_kind("api"):
        if api.name in pins:
            changed |= {s: d for s, d in version.symbols.items() if s in api.symbols and api.symbols[s] != d}
            now |= api.symbols
    do = f"run: funade unstage {_holder(version, metadata)}" if changed else ""
    return [
        Disagreement(version.node, version.id, symbol, had, now[symbol], do, code=True)
        for symbol, had in sorted(changed.items())
    ]


def _holder(version: Version, metadata: Metadata) -> str:
    """The node whose hold holds the version: its own, or that of something built from it."""
    holds = metadata.holds()
    with_it = [hold.node for hold in holds.values() if hold.pins.get(version.node) == version.id]
    return version.node if version.node in holds or not with_it else with_it[0]


def closure(version: Version, metadata: Metadata) -> Pins:
    """The exact inputs a version was built from, transitively (without itself)."""
    pins: Pins = {}
    waiting = [version]
    while waiting:
        for node, needed in waiting.pop().inputs.items():
            if node not in pins:
                pins[node] = needed
                record = metadata.version(needed)
                if record is not None:
                    waiting.append(record)
    return pins


def check_holds(hold: Hold, others: Iterable[Hold], metadata: Metadata) -> None:
    """Refuse a hold that wants another version of some node than a hold that stands.

    Raises:
        HoldsDisagree: names the node, both versions and the command that makes room.
    """
    wants = {**hold.pins, hold.node: hold.version}
    for other in others:
        if other.node == hold.node:
            continue
        has = {**other.pins, other.node: other.version}
        for node in has:
            if node in wants and wants[node] != has[node]:
                raise HoldsDisagree(
                    f"hold of `{short(hold.node, hold.version)}` expected `{short(node, wants[node])}`, "
                    f"got `{short(node, has[node])}` held with `{short(other.node, other.version)}`",
                    do=_room(other, wants, metadata),
                )


def _room(other: Hold, wants: Mapping[str, str], metadata: Metadata) -> str:
    """The command after which the other hold agrees: a version of it that fits, or no hold."""
    for version in reversed(metadata.versions(other.node)):
        has = {**closure(version, metadata), other.node: version.id}
        if version.id != other.version and all(wants.get(node, had) == had for node, had in has.items()):
            return f"run: funade stage {short(version.node, version.id)}"
    return f"run: funade unstage {other.node}"
