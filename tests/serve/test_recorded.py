"""Every door answers recorded requests with the recorded bytes (see ``recorded/record.py``)."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.doors_project import released, served
from support.exchanges import Exchange, profile_of, read, replayed

RECORDS = {path.stem: read(path) for path in sorted((Path(__file__).parent / "recorded").glob("*.json"))}
CASES = [(record, exchange.name) for record, exchanges in RECORDS.items() for exchange in exchanges]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released(tmp_path_factory.mktemp("recorded") / "project")


@pytest.fixture(scope="module")
def answers(root: Path) -> dict[tuple[str, str], Exchange]:
    """Every exchange as the present server answers it; a file of them is one server's."""
    answered: dict[tuple[str, str], Exchange] = {}
    for record, exchanges in RECORDS.items():
        with served(root, profile_of(record)) as server:
            answered |= {(record, exchange.name): exchange for exchange in replayed(exchanges, server)}
        assert server.events("defect") == []
    return answered


@pytest.mark.parametrize(("record", "name"), CASES)
def test_an_answer_is_the_recorded_one(answers: dict[tuple[str, str], Exchange], record: str, name: str) -> None:
    (recorded,) = [exchange for exchange in RECORDS[record] if exchange.name == name]
    assert answers[record, name] == recorded
