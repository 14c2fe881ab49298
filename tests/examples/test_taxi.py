"""The taxi example: its data, its windows, its numbers, and the demo that shows it."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow.parquet as pq
import pytest

from funade.clock import frozen
from funade.digest import of_file
from funade.errors import LoadFailed
from funade.project.project import Project
from support.repository import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "taxi"
REAL = REPOSITORY.parent / "shared" / "data" / "green_taxi_2022"
NEW_YORK = ZoneInfo("America/New_York")
APRIL = frozen(datetime(2022, 4, 1, 12, tzinfo=UTC))

needs_real_rides = pytest.mark.skipif(
    not REAL.is_dir() and not os.environ.get("CI"), reason="the real records are not on this machine"
)


def copied(folder: Path, tlc: Path) -> Project:
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".funade", "data", "__pycache__"))
    return Project(folder, clock=APRIL, environ={"FUNADE_PLACE_TLC": str(tlc)})


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a made-up city, as `python -m taxi.city` writes it."""
    folder = tmp_path_factory.mktemp("city")
    subprocess.run([sys.executable, "-m", "taxi.city", str(folder)], cwd=EXAMPLE, check=True, capture_output=True)
    return folder


def built(project: Project) -> dict[str, float | None]:
    """Load and build all; the evaluation's numbers."""
    source = project.graph["trips"]
    list(project.load(source, project.periods(source)))
    return {b.version.node: b.version.metrics for b in project.build()}["arrival_quality"]


def meets_its_bars(metrics: dict[str, Any]) -> bool:
    return bool(metrics["mae"] <= 3.4 and metrics["gain"] >= 0.2 and 0.88 <= metrics["kept"] <= 0.92)


@needs_real_rides
def test_the_real_files_hold_51_rides_of_other_months_and_all_are_set_aside(tmp_path: Path) -> None:
    project = copied(tmp_path / "taxi", REAL)
    source = project.graph["trips"]
    loaded = list(project.load(source, project.periods(source)))
    bad = {p.period: p.bad_rows for p in loaded if p.bad_rows}
    assert bad == {"2022-01-01": 4, "2022-02-01": 23, "2022-03-01": 24}
    assert sum(p.rows + p.bad_rows for p in loaded) == 62_495 + 69_399 + 78_537


@needs_real_rides
def test_on_real_rides_of_march_the_model_beats_the_rule_and_promises_are_kept(tmp_path: Path) -> None:
    project = copied(tmp_path / "taxi", REAL)
    metrics = built(project)
    assert meets_its_bars(metrics), metrics
    assert metrics["rule_mae"] is not None and metrics["rule_mae"] <= 4.56


@pytest.mark.slow
def test_in_the_made_up_city_every_bar_is_met_and_the_release_goes_through(tmp_path: Path, city: Path) -> None:
    project = copied(tmp_path / "taxi", city)
    metrics = built(project)
    assert meets_its_bars(metrics), metrics
    project.stage()
    release, judged = project.release()
    assert release.number == 1
    assert judged is not None and all(f.holds for f in judged.findings)


@pytest.mark.slow
def test_nothing_is_fitted_on_a_ride_of_march(tmp_path: Path, city: Path) -> None:
    project = copied(tmp_path / "taxi", city)
    built(project)
    assert reach(project, "eta") == datetime(2022, 2, 1, tzinfo=NEW_YORK)
    assert reach(project, "eta_rule") == datetime(2022, 2, 1, tzinfo=NEW_YORK)
    assert reach(project, "eta_promise") == datetime(2022, 3, 1, tzinfo=NEW_YORK)


def reach(project: Project, node: str) -> datetime | None:
    return project.find_version(node).reach


@pytest.mark.slow
def test_the_demo_ends_well(tmp_path: Path, city: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "examples" / "demo.py"), str(tmp_path)],
        env=os.environ | {"FUNADE_PLACE_TLC": str(city)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failed, 0 mixed" in done.stdout


def test_the_made_up_city_is_the_same_each_time(tmp_path: Path, city: Path) -> None:
    again = tmp_path / "again"
    subprocess.run([sys.executable, "-m", "taxi.city", str(again)], cwd=EXAMPLE, check=True, capture_output=True)
    assert {p.name: of_file(p) for p in again.iterdir()} == {p.name: of_file(p) for p in city.iterdir()}


@needs_real_rides
def test_the_made_up_city_has_the_columns_of_the_real_files(city: Path) -> None:
    for file in city.iterdir():
        assert pq.read_schema(file).names == pq.read_schema(REAL / file.name).names


def test_the_made_up_city_is_dirty(city: Path) -> None:
    rides = pd.read_parquet(city / "green_tripdata_2022-01.parquet")
    minutes = (rides["lpep_dropoff_datetime"] - rides["lpep_pickup_datetime"]).dt.total_seconds() / 60
    assert (rides["lpep_pickup_datetime"] < "2022-01-01").sum() == 20
    assert (rides["lpep_pickup_datetime"] < "2010-01-01").sum() == 1
    assert (minutes < 0).any() and (minutes > 60).any()
    assert (rides["trip_distance"] == 0).any() and (rides["trip_distance"] > 1000).any()


def test_a_month_without_a_file_says_what_to_do(tmp_path: Path) -> None:
    project = copied(tmp_path / "taxi", tmp_path / "nowhere")
    source = project.graph["trips"]
    with pytest.raises(LoadFailed) as failure:
        list(project.load(source, project.periods(source)))
    assert "green_tripdata_2022-01.parquet is not there; set FUNADE_PLACE_TLC, or run: python -m taxi.city data" in str(
        failure.value
    )


def test_features_know_the_hour_of_the_city(tmp_path: Path) -> None:
    project = copied(tmp_path / "taxi", tmp_path)
    assert project.nodes
    trips = pd.DataFrame(
        {
            "requested_at": pd.to_datetime(["2022-03-12T12:30:00Z", "2022-03-13T12:30:00Z"]),
            "pickup_zone": [74, 74],
            "dropoff_zone": [263, 263],
            "planned_miles": [2.4, 224_481.38],
        }
    )
    seen = importlib.import_module("taxi.features").features(trips)
    assert seen["hour"].tolist() == [7.5, 8.5]  # the clocks went forward in between
    assert seen["weekday"].tolist() == [5, 6]
    assert seen["planned_miles"].tolist() == [2.4, 50.0]


def test_the_rule_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    project = copied(tmp_path / "taxi", tmp_path)
    assert project.nodes
    rule = importlib.import_module("taxi.rule").HourlySpeed([6.0] * 24, 11.0, 3.0)
    rule.save(tmp_path)
    again = type(rule).load(tmp_path)
    seen = pd.DataFrame({"hour": [8.5, 23.0], "planned_miles": [2.0, 0.0]})
    assert again.predict(seen).tolist() == rule.predict(seen).tolist() == [15.0, 11.0]
