"""What goes wrong for a row of a batch means what it means at a door, where it can be there at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from funade.errors import FunadeError, ServeError
from funade.project.project import Project
from support.doors import Row
from support.situations import GOOD, SITUATIONS, idle

ENDS = {
    "a contract's own check fails": "batch expected its process to work, got RuntimeError: a private detail",
    "a function exits": "batch expected its process to work, got SystemExit: 3",
    "a function ends the process": "batch expected part 0 answered, got twice: its process ended with exit status 9",
}
"""What ends a run, which says so and can be begun again: nobody waits for its rows as a client does."""

NOT_HERE = {
    *ENDS,
    "a function exits, no fallback",  # as with one
    "an unknown field",  # a column that the contract has not stands beside the answers
}

BY_API: dict[str, list[str]] = {}
for _name, _situation in SITUATIONS.items():
    if _name not in NOT_HERE and _situation.amid is idle and not _situation.padding and _situation.copies == 1:
        BY_API.setdefault(_situation.api, []).append(_name)  # the others are a server's: it has no time and no bounds


@pytest.fixture(scope="module")
def project(failing: Path) -> Project:
    return Project(failing)


def select(rows: Sequence[Row]) -> str:
    """Rows as a query; what a row has not is null."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    values = [", ".join(f"{repr(row[n]) if n in row else 'NULL'} AS {n}" for n in names) for row in rows]
    return " UNION ALL ".join(f"SELECT {number} AS number, {text}" for number, text in enumerate(values))


@pytest.mark.parametrize("api", BY_API)
def test_a_row_is_answered_or_refused_as_at_a_door(project: Project, api: str) -> None:
    names = BY_API[api]
    rows = [GOOD[api], *(GOOD[api] | SITUATIONS[name].change for name in names)]
    done = project.batch(api, rows=select(rows), into=f"{api}_rows", most_refused=1.0, workers=1)
    answers = {
        row["number"]: row["fallback"] for row in project.sql(f"SELECT * FROM {api}_rows", form="arrow").to_pylist()
    }
    meanings = [SITUATIONS[name].meaning for name in names]
    expected = {number: meaning.fallback for number, meaning in enumerate(meanings, 1) if meaning.status == 200}
    assert answers == {0: ""} | expected
    assert done.refused == len(names) - len(expected)


@pytest.mark.parametrize("name", ENDS)
def test_a_run_that_ends_says_why(project: Project, name: str) -> None:
    situation = SITUATIONS[name]
    rows = [GOOD[situation.api], GOOD[situation.api] | situation.change]
    with pytest.raises(ServeError) as ended:
        project.batch(situation.api, rows=select(rows), into="ended", most_refused=1.0, workers=1)
    assert str(ended.value).startswith(ENDS[name])
    with pytest.raises(FunadeError, match="ended"):
        project.sql("SELECT * FROM ended")
