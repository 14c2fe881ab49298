"""What one command sees: one plan, whatever it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from funade.cli import main
from funade.plan.plan import plan
from funade.project.project import Project
from support import toy
from support.calls import calls_of


@pytest.fixture
def here(root: Path) -> Project:
    """The toy project, loaded and built."""
    project = toy.project(root)
    toy.load(project)
    list(project.build())
    return project


VERBS: dict[str, Callable[[Project], object]] = {
    "sql": lambda here: here.sql("SELECT count(*) FROM points JOIN clean USING (row)"),
    "status": lambda here: here.status(),
    "build": lambda here: list(here.build()),
    "an attempt": lambda here: list(here.build("line", settings={"bend": 1.5})),
    "stage": lambda here: here.stage(),
    "read": lambda here: here.rows("clean", last=7),
    "load of an artifact": lambda here: here.artifact("line"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_makes_one_plan(here: Project, verb: str) -> None:
    assert calls_of(plan, lambda: VERBS[verb](here)) == 1


COMMANDS = {
    "status": 1,
    "build": 1,
    "stage": 1,
    "check": 0,
    "graph": 0,
    "compare line": 0,
    "show line": 0,
    "releases": 0,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_makes_one_plan_or_none(here: Project, command: str) -> None:
    run = ["-C", str(here.root), "--at", toy.NOW.isoformat(), *command.split()]

    assert calls_of(plan, lambda: main(run)) == COMMANDS[command]


def test_status_makes_a_second_plan_only_where_something_is_held(here: Project) -> None:
    here.hold("line")

    assert calls_of(plan, lambda: here.status()) == 2


def test_a_batch_over_a_query_of_several_tables_makes_one_plan(here: Project, tmp_path: Path) -> None:
    here.stage()
    here.release()

    def run() -> object:
        query = "SELECT points.x FROM points JOIN clean USING (row) LIMIT 10"
        return here.batch("judge", rows=query, into=str(tmp_path / "answers.parquet"), workers=1)

    assert calls_of(plan, run) == 1


def test_the_next_verb_sees_what_was_built_meanwhile(here: Project) -> None:
    before = here.plan()["line"].version
    toy.edit(here.root, "funade", "[project]", "[settings.line]\nbend = 2.0\n\n[project]")
    moved = toy.project(here.root)
    assert moved.plan()["line"].state == "absent"

    list(moved.build("line"))

    assert moved.plan()["line"].state == "found"
    assert moved.plan()["line"].version != before
