"""A node as plain data: everything planning, comparing and showing need, without importing the user's code."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from funade.contract.field import Contract
from funade.contract.form import Form
from funade.contract.wire import Wire, wire
from funade.declare.policy import CHECKS, Key, Policy, Time
from funade.declare.window import Window
from funade.digest import of_value

P = TypeVar("P", bound=msgspec.Struct)

Kind = Literal["source", "dataset", "model", "threshold", "api", "evaluation"]


class Edge(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input of a node: which version of what reaches which parameter.

    ``api`` is set when the rows are first answered by that api (``screen.on(rows)``); ``replaced`` then names
    the api's inputs that another node takes the place of.
    """

    parameter: str
    node: str
    window: Window | None = None
    part: str = ""
    trust: str = ""
    api: str = ""
    replaced: dict[str, str] = {}
    form: Form = ""


class Spec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One declared node.

    ``settings`` are the code's defaults. ``batch`` is the parameter left over: a source's period, an api's rows.
    ``symbols`` maps every project symbol its code reaches to that symbol's digest.
    ``codec``, ``runtime`` (distribution → version) and ``classes`` (project symbols that loading the artifact needs)
    follow from a model's annotated return type.
    """

    kind: Kind
    name: str
    place: str
    module: str
    function: str
    doc: str = ""
    edges: tuple[Edge, ...] = ()
    settings: dict[str, Any] = {}
    places: dict[str, str] = {}
    secrets: dict[str, str] = {}
    batch: str = ""
    batch_form: Form = ""
    result_form: Form = ""
    policies: tuple[Policy, ...] = ()
    contract: Contract | None = None
    codec: str = ""
    runtime: dict[str, str] = {}
    classes: dict[str, str] = {}
    fingerprint: str = ""
    symbols: dict[str, str] = {}
    warnings: tuple[str, ...] = ()

    def policy(self, kind: type[P]) -> P | None:
        """The node's policy of one kind, or None."""
        return next((p for p in self.policies if isinstance(p, kind)), None)

    @property
    def time(self) -> str:
        """The column declared to date its rows, or ""."""
        policy = self.policy(Time)
        return policy.column if policy else ""

    @property
    def key(self) -> tuple[str, ...]:
        """The columns declared to name its rows, or none."""
        policy = self.policy(Key)
        return policy.columns if policy else ()

    def upstream(self) -> tuple[str, ...]:
        """Names of the nodes this one needs, in order of declaration, without repeats."""
        names: dict[str, None] = {}
        for edge in self.edges:
            for name in (edge.node, edge.api, *edge.replaced.values()):
                if name:
                    names[name] = None
        return tuple(names)

    @property
    def checks(self) -> tuple[Policy, ...]:
        """The policies that the node's rows are held against."""
        return tuple(p for p in self.policies if isinstance(p, CHECKS))

    @property
    def checks_digest(self) -> str:
        """Names what the rows are held against: a check made under the same policies need not be made again."""
        return of_value([msgspec.to_builtins(p) for p in self.checks])


def wires(specs: Iterable[Spec], before: Mapping[str, Wire]) -> dict[str, Wire]:
    """Api → which numbers its fields bear over gRPC; those in ``before`` stay, also of apis that are gone."""
    known = dict(before)
    for spec in specs:
        if spec.contract is not None:
            known[spec.name] = wire(spec.name, spec.contract, known.get(spec.name), spec.module)
    return known
