"""One release (or candidate) loaded into this process: its code, its bound apis, its golden rows."""

from __future__ import annotations

import types
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from funade.bind.api import BoundApi
from funade.bind.bind import bind
from funade.bind.golden import difference
from funade.contract.wire import Wire
from funade.declare.graph import Graph, nodes_of
from funade.declare.node import Node
from funade.declare.spec import wires
from funade.errors import ServeError
from funade.fingerprint.importing import import_project
from funade.store import code_snapshot
from funade.store.records import Candidate, GoldenRows
from funade.store.store import Store


class LoadedRelease(msgspec.Struct):
    """One release (or candidate) in this process: its code imported from its own snapshot, its apis bound."""

    release: int
    candidate: str
    graph: Graph
    nodes: dict[str, Node[Any, Any]]
    modules: list[types.ModuleType]
    apis: dict[str, BoundApi]
    golden: tuple[GoldenRows, ...] = ()
    wires: dict[str, Wire] = {}

    def warm(self) -> None:
        """Answer every golden row as the gate did.

        Raises:
            ServeError: one answer differs; names the api, the row and both answers.
        """
        for golden in self.golden:
            differs = difference(self.apis[golden.api], golden)
            if differs:
                raise ServeError(differs)


def load_candidate(
    store: Store, candidate: Candidate, *, release: int = 0, golden: tuple[GoldenRows, ...] = ()
) -> LoadedRelease:
    """A candidate's code imported from its snapshot and its apis bound to its pins."""
    folder = code_snapshot.unpack(store.blobs, candidate.code, store.code_folder)
    graph = Graph(candidate.specs)
    modules = import_project(folder, sorted({spec.module for spec in candidate.specs}))
    nodes = {node.name: node for node in nodes_of(modules)}
    apis = bind(
        graph,
        nodes,
        candidate.pins,
        store,
        settings=candidate.settings,
        zone=ZoneInfo(candidate.timezone or "UTC"),
    )
    return LoadedRelease(
        release, candidate.id, graph, nodes, modules, apis, golden, wires(candidate.specs, candidate.wires)
    )


def load_release(argument: dict[str, Any]) -> LoadedRelease:
    """The release that ``{"store": address, "release": number}`` names, ready to answer: what a worker starts from."""
    store = Store.open(argument["store"])
    release = store.metadata.release(argument["release"])
    if release is None:
        raise ServeError(f"release {argument['release']} expected in the store, got none")
    candidate = store.metadata.candidate(release.candidate)
    assert candidate is not None  # the switch that made the release checked it
    golden = tuple(msgspec.json.decode(store.blobs.read(digest), type=GoldenRows) for digest in release.golden.values())
    return load_candidate(store, candidate, release=release.number, golden=golden)
