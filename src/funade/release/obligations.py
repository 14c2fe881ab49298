"""What an api promises: an owner, a fallback that keeps its contract, and nothing taken from those who use it."""

from __future__ import annotations

from collections.abc import Iterator

from funade.contract.breaks import breaks
from funade.declare.graph import Graph
from funade.declare.policy import Fallback, Owner, UsedBy
from funade.declare.spec import Spec
from funade.store.records import Finding


def findings(graph: Graph, current: Graph | None, release: int) -> Iterator[Finding]:
    """Every api's promises, and where the contract breaks one that the current release made."""
    for spec in graph.of_kind("api"):
        yield _owner(spec)
        yield _fallback(spec)
    for old in current.of_kind("api") if current else ():
        yield from _contract(old, graph, current, release)


def broken(old: Spec, graph: Graph) -> tuple[str, ...]:
    """Every way in which a graph breaks the contract of an api of the current release."""
    new = graph.specs.get(old.name)
    if new is None or new.contract is None:
        return ("the api was removed",)
    assert old.contract is not None
    return tuple(map(str, breaks(old.contract, new.contract)))


def _owner(spec: Spec) -> Finding:
    owner = spec.policy(Owner)
    return Finding(
        check="owner",
        expected=f"an owner of `{spec.name}`",
        got=owner.name if owner else "none",
        holds=owner is not None,
        at=spec.place,
        do='add fn.owner("your-team")',
    )


def _fallback(spec: Spec) -> Finding:
    fallback = spec.policy(Fallback)
    wrong = "none" if fallback is None else _stray(fallback, spec)
    return Finding(
        check="fallback",
        expected=f"a fallback of `{spec.name}` that keeps its contract",
        got=wrong or "one that does",
        holds=not wrong,
        at=spec.place,
        do="add fn.fallback(…) with a value for each field of its answer",
    )


def _stray(fallback: Fallback, spec: Spec) -> str:
    """Which field of a fallback its answer does not have; that the others hold is checked where it is declared."""
    fields = {field.name for field in spec.contract.gives_fields} if spec.contract else set()
    return next((f"object contains unknown field `{name}`" for name in fallback.answer if name not in fields), "")


def _contract(old: Spec, graph: Graph, current: Graph | None, release: int) -> Iterator[Finding]:
    expected = f"`{old.name}` to keep the contract of release {release}"
    at = graph.specs.get(old.name, old).place
    texts = broken(old, graph)
    if not texts:
        yield Finding(check="contract", expected=expected, got="no break", holds=True, at=at)
        return
    users = consumers(old.name, graph, current)
    used = f" (used by {', '.join(users)})" if users else ""
    for text in texts:
        yield Finding(check="contract", expected=expected, got=text + used, holds=False, at=at, do=_REMEDY)


_REMEDY = 'declare a new api beside it, or agree with who uses it: funade release --because "reason"'


def consumers(api: str, *graphs: Graph | None) -> list[str]:
    """Who calls an api: the apis that take it, and those whom ``fn.used_by`` names."""
    names: dict[str, None] = {}
    for graph in graphs:
        for spec in graph or ():
            if spec.kind == "api" and any(edge.node == api for edge in spec.edges):
                names[f"api `{spec.name}`"] = None
            if spec.name == api:
                names |= {p.name: None for p in spec.policies if isinstance(p, UsedBy)}
    return list(names)
