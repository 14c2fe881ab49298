"""Which numbers the fields of a release's apis bear over gRPC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from funade.contract.wire import Wire, wire
from funade.declare.spec import Spec


def wires(specs: Iterable[Spec], before: Mapping[str, Wire]) -> dict[str, Wire]:
    """Api → its messages over gRPC; those in ``before`` stay, also of apis that are gone."""
    known = dict(before)
    for spec in specs:
        if spec.contract is not None:
            known[spec.name] = wire(spec.name, spec.contract, known.get(spec.name), spec.module)
    return known
