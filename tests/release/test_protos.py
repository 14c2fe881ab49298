"""The .proto files that are exported have the numbers that the store kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from funade import clock
from funade.contract.field import Contract, Field
from funade.declare.spec import Spec
from funade.errors import CutIncomplete, Misuse
from funade.release.protos import protos
from funade.store.records import Candidate
from funade.store.sqlite.metadata import SqliteMetadata

NOW = clock.system()


def candidate(id: str, *names: str) -> Candidate:
    contract = Contract("A", "B", tuple(Field(name, "int") for name in names), (Field("eta", "float"),))
    spec = Spec("api", "arrival", "taxi/eta.py:1", "taxi.eta", "arrival", contract=contract)
    return Candidate(id * 64, {}, (spec,), "", {}, "UTC", NOW)


def numbers(text: str) -> dict[str, str]:
    lines = [line.split() for line in text.splitlines() if line.startswith("  optional")]
    return {line[2]: line[4].rstrip(";") for line in lines}


def test_numbers_are_stable_from_candidate_to_candidate(tmp_path: Path) -> None:
    metadata = SqliteMetadata(tmp_path / "records.db", clock=clock.system)
    try:
        found = []
        for step in (
            candidate("a", "x", "y"),
            candidate("b", "y", "z"),
            candidate("a", "x", "y"),
            candidate("c", "w", "x"),
        ):
            metadata.add_candidate(step)
            (text,) = protos(metadata, candidate=True).values()
            found.append(numbers(text))
        assert found == [{"x": "1", "y": "2"}, {"y": "2", "z": "3"}, {"x": "1", "y": "2"}, {"w": "4", "x": "1"}]
        assert list(protos(metadata, ["arrival"], candidate=True)) == ["funade_taxi/arrival.proto"]
        with pytest.raises(
            Misuse, match=r"export expected one of its apis \(arrival\), got `arival`; did you mean `arrival`"
        ):
            protos(metadata, ["arival"], candidate=True)
        with pytest.raises(CutIncomplete, match="export expected a release, got none"):
            protos(metadata)
    finally:
        metadata.close()
