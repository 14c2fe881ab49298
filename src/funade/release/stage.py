"""Staging: holds, and the candidate: an immutable cut with the graph and the code it was written from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from funade.declare.graph import Graph
from funade.digest import of_value
from funade.errors import CutIncomplete, CutInconsistent, Misuse
from funade.plan import plan as plans
from funade.plan.differences import differences
from funade.plan.plan import Plan
from funade.release import cut
from funade.store import code_snapshot
from funade.store.naming import short
from funade.store.ports.metadata import Metadata
from funade.store.records import Candidate, Hold, Version
from funade.store.store import Store


def hold(version: Version, metadata: Metadata, now: datetime) -> Hold:
    """Hold a version for its dependents, and with it the exact inputs it was built from.

    Raises:
        HoldsDisagree: another hold wants another version of some node.
        Misuse: an api, source or evaluation, which are not held.
    """
    if version.kind in ("source", "api", "evaluation"):
        raise Misuse(f"hold expected a dataset, model or threshold, got {version.kind} `{version.node}`")
    made = Hold(version.node, version.id, cut.closure(version, metadata), now)
    cut.check_holds(made, metadata.holds().values(), metadata)
    metadata.hold(made)
    return made


def candidate(
    steps: Plan, graph: Graph, store: Store, *, root: Path, files: Sequence[Path], timezone: str, now: datetime
) -> Candidate:
    """Write the candidate: holds, and of every other node of the line the version of its present recipe.

    ``steps`` is the plan, holds included; ``files``, below the project's folder ``root``, make the code snapshot.

    Raises:
        CutIncomplete: there is no api, or a node of the line is not built; names the command.
        CutInconsistent: a version was built from something that is not pinned; names the pair and the command.
    """
    line = graph.line()
    if not line:
        raise CutIncomplete("release expected an api, got none", do="declare one: @fn.api(…)")
    _check_built(steps, line, graph, store.metadata)
    pins = {name: steps[name].version for name in line}
    for name in line:
        if steps[name].spec.kind in ("api", "source") and store.metadata.version(pins[name]) is None:
            store.metadata.add_version(plans.unbuilt(steps[name], store.metadata, now))
    pairs = cut.disagreements(pins, graph, store.metadata)
    if pairs:
        raise CutInconsistent(str(pairs[0]), at=pairs[0].at, do=pairs[0].do, pairs=pairs)
    snapshot = code_snapshot.keep(store.blobs, root, files)
    specs = tuple(graph[name] for name in line)
    settings = {name: steps[name].settings for name in line}
    content = of_value([pins, msgspec.to_builtins(specs), snapshot, settings, timezone])
    return store.metadata.add_candidate(Candidate(content, pins, specs, snapshot, settings, timezone, now))


def _check_built(steps: Plan, line: Sequence[str], graph: Graph, metadata: Metadata) -> None:
    missing = [name for name in line if steps[name].state == "absent"]
    if not missing:
        return
    first = steps[missing[0]]
    unloaded = next((steps[n].missing for n in missing if steps[n].missing), "")
    if unloaded:
        raise CutIncomplete(f"release expected `{unloaded}` loaded, got nothing", do=f"run: funade load {unloaded}")
    newest = {name: plans.newest(name, metadata) for name in missing}
    pairs = [
        cut.Disagreement(name, old.id, needed, had, steps[name].inputs[needed], f"run: funade build {name}")
        for name, old in newest.items()
        if old is not None
        for needed, had in old.inputs.items()
        if steps[name].inputs.get(needed, had) != had
    ]
    do = f"run: funade build {' '.join(_ends(missing, graph))}"
    if pairs and pairs[0].node == missing[0]:
        raise CutInconsistent(str(pairs[0]), at=pairs[0].at, do=do, pairs=pairs, missing=missing)
    old = newest[missing[0]]
    why = "; ".join(differences(old, first)) if old else ""
    raise CutIncomplete(
        f"release expected `{short(missing[0], first.version)}` built, got "
        + (f"`{short(old.node, old.id)}` ({why})" if old else "none"),
        at=first.spec.place,
        do=do,
        pairs=pairs,
        missing=missing,
    )


def _ends(names: Sequence[str], graph: Graph) -> list[str]:
    """Those of the nodes that no other of them needs: building them builds all."""
    return [n for n in names if not graph.dependants(n) & set(names)]
