"""A month of nights on the real rides: each moves the data on, and a second run of one night does nothing."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from funade.cli import main
from funade.clock import frozen
from funade.project.project import Project
from support import toy
from support.repository import REPOSITORY

pytestmark = pytest.mark.slow

EXAMPLE = REPOSITORY / "examples" / "taxi"
RIDES = REPOSITORY.parent / "shared" / "data" / "green_taxi_2022"
NEW_YORK = ZoneInfo("America/New_York")
NIGHTS = 31

EDITS = {
    'FIT = rides.between("2022-01-01", "2022-02-01")': "FIT = rides.before(days=14)",
    'PROMISE = rides.between("2022-02-01", "2022-03-01")': "PROMISE = rides.between(days=(14, 7))",
    'JUDGE = rides.between("2022-03-01", "2022-04-01")': "JUDGE = rides.last(days=7)",
    # Bars that every week of a spring keeps: what is shown here is that the nights go through, not how good they are.
    "fn.at_most(mae=3.4)": "fn.at_most(mae=4)",
    "fn.at_least(gain=0.2)": "fn.at_least(gain=0.05)",
    "fn.inside(kept=(0.88, 0.92))": "fn.inside(kept=(0.80, 0.97))",
    'fn.may_rise(mae="2%")': 'fn.may_rise(mae="10%")',
    "trees: int = 200": "trees: int = 40",
}


@pytest.fixture
def taxi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not RIDES.is_dir() and not os.environ.get("CI"):
        pytest.skip("the real records are not on this machine")
    monkeypatch.setenv("FUNADE_PLACE_TLC", str(RIDES))
    root = tmp_path / "taxi"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns(".funade", "data", "__pycache__"))
    for old, new in EDITS.items():
        toy.edit(root, "arrival", old, new)
    return root


def midnight(day: datetime) -> datetime:
    return day.replace(tzinfo=NEW_YORK).astimezone(UTC)


def test_thirty_one_nights_move_the_data_on_and_a_second_run_says_that_there_is_nothing_to_do(
    taxi: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(now: datetime, *arguments: str) -> str:
        main(["-C", str(taxi), "--at", now.isoformat(), *arguments])
        return capsys.readouterr().out

    def morning(day: datetime) -> Project:
        return Project(taxi, clock=frozen(day))

    run(midnight(datetime(2022, 3, 1, 6)), "load", "--to", "2022-02-28")
    pins: list[dict[str, str]] = []
    for night in range(1, NIGHTS + 1):
        day = datetime(2022, 3, 1) + timedelta(days=night - 1)
        now = midnight(day + timedelta(days=1, hours=6))
        said = run(now, "load")
        assert said.startswith(f"loaded trips {day:%Y-%m-%d} to {day:%Y-%m-%d}: 1 period, "), said
        assert run(now, "build").count("built ") == 5
        run(now, "stage")
        assert f"release {night} is current (7 pins)" in run(now, "release")

        here = morning(now)
        released = here.released()
        assert here.store.version(released["rides"]).end == midnight(day + timedelta(days=1))
        assert here.store.version(released["eta"]).reach == midnight(day - timedelta(days=13))
        assert all(not s.why and not s.behind for s in here.status() if s.kind != "source")
        pins.append(released)

        later = now + timedelta(hours=1)
        assert run(later, "load").startswith("nothing to load: trips; ")
        assert run(later, "build").startswith("nothing to build: ")
        run(later, "stage")
        assert run(later, "release") == f"nothing to release: the candidate is release {night}\n"

    here = morning(now)
    assert [r.number for r in here.store.metadata.releases()] == list(range(1, NIGHTS + 1))
    assert [s.generation for s in here.store.metadata.switches()] == list(range(1, NIGHTS + 1))
    for node in ("trips", "rides", "eta", "eta_rule", "eta_promise", "arrival_quality"):
        assert len({released[node] for released in pins}) == NIGHTS, node
        assert here.released()[node] == here.plan()[node].version
    assert len({released["arrival"] for released in pins}) == 1
    assert run(now, "fsck") == "the store is sound\n"
