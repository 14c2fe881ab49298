"""What an api promises: an owner, a fallback that keeps its contract, and nothing taken from those who use it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec

from funade.contract.breaks import breaks
from funade.contract.field import Contract, Field
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
        yield from _kept(old, graph, current, release)


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
    wrong = "none" if fallback is None else _misfit(fallback.answer, spec.contract)
    return Finding(
        check="fallback",
        expected=f"a fallback of `{spec.name}` that keeps its contract",
        got=wrong or "one that does",
        holds=not wrong,
        at=spec.place,
        do="add fn.fallback(…) with a value for each field of its answer",
    )


def _misfit(answer: dict[str, Any], contract: Contract | None) -> str:
    """How an answer breaks the contract; "" when it keeps it."""
    if contract is None:
        return "no contract"
    fields = [(f.name, _type(f)) if f.required else (f.name, _type(f), f.default) for f in contract.gives_fields]
    kind = msgspec.defstruct(contract.gives or "Answer", fields, kw_only=True, forbid_unknown_fields=True)
    try:
        msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        return str(error)[:1].lower() + str(error)[1:]
    return ""


_TYPES: dict[str, type] = {
    "bool": bool, "int": int, "float": float, "str": str, "datetime": datetime, "date": date,
}  # fmt: skip
_LIMITS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern", "tz")


def _type(field: Field) -> Any:
    kind: Any = Literal[field.values] if field.values else _TYPES[field.type]
    limits = {name: value for name in _LIMITS if (value := getattr(field, name)) is not None}
    if limits and not field.values:
        whole = ("ge", "gt", "le", "lt", "multiple_of") if field.type == "int" else ()
        limits = {name: int(value) if name in whole else value for name, value in limits.items()}
        kind = Annotated[kind, msgspec.Meta(**limits)]
    return kind | None if field.nullable else kind


def _kept(old: Spec, graph: Graph, current: Graph | None, release: int) -> Iterator[Finding]:
    expected = f"`{old.name}` to keep the contract of release {release}"
    at = graph.specs.get(old.name, old).place
    found = broken(old, graph)
    if not found:
        yield Finding(check="contract", expected=expected, got="no break", holds=True, at=at)
        return
    users = consumers(old.name, graph, current)
    used = f" (used by {', '.join(users)})" if users else ""
    for text in found:
        yield Finding(check="contract", expected=expected, got=text + used, holds=False, at=at, do=_REMEDY)


_REMEDY = 'declare a new api beside it, or agree with who uses it: funade release --because "reason"'


def consumers(api: str, *graphs: Graph | None) -> list[str]:
    """Who calls an api: the apis that take it, and those whom ``fn.used_by`` names."""
    found: dict[str, None] = {}
    for graph in graphs:
        for spec in graph or ():
            if spec.kind == "api" and any(edge.node == api for edge in spec.edges):
                found[f"api `{spec.name}`"] = None
            if spec.name == api:
                found |= {p.name: None for p in spec.policies if isinstance(p, UsedBy)}
    return list(found)
