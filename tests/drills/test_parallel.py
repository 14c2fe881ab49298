"""Many processes at one store: one recipe makes one version, and nobody is in anybody's way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from funade.project.project import Project
from funade.store.fsck import fsck
from support import toy
from support.forks import Ended, Forks, Run

pytestmark = pytest.mark.slow

CROWD = 50

BUILD = f"""
import json
from datetime import datetime
from funade.clock import frozen
from funade.project.project import Project
here = Project(root, clock=frozen(datetime.fromisoformat("{toy.NOW.isoformat()}")), environ={{}})
"""

ONE_RECIPE = (
    BUILD
    + """
built = [b for b in here.build("line") if b.version.node == "line"][-1]
print(json.dumps([built.version.id, built.made, here.artifact("line").slope]))
"""
)

NOTEBOOK = (
    BUILD
    + """
import time
until, looks, seen = time.monotonic() + 600, 0, 0
while seen < wanted and time.monotonic() < until:
    again = Project(root, clock=here.clock, environ={})
    for reading in (here, again):
        assert len(reading.rows("points")) == 1500
        stands = {s.node: s.state for s in reading.status()}
        assert stands["points"] == "found", stands
        if stands["clean"] == "found":
            assert len(reading.rows("clean", last=7)) == 350
            assert reading.sql("SELECT count(*) AS n FROM clean", form="columns")["n"][0] == 1500
        seen = len(reading.store.metadata.builds("line"))
        for version in reading.store.metadata.versions("line")[-3:]:
            assert reading.artifact("line", version.id).slope > 1
        looks += 1
print(json.dumps([looks, seen]))
"""
)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as server:
        yield server


@pytest.fixture
def loaded(root: Path, forks: Forks) -> Path:
    # A training that takes long enough for all fifty to be in it together, and notes that it runs.
    toy.edit(root, "nodes", "    x = feature(rows", "    import time; time.sleep(0.2)\n    x = feature(rows")
    assert forks.run(Run(str(root), ("--at", toy.NOW.isoformat(), "load"))).status == 0
    return root


def said(ended: Ended) -> Any:
    assert ended.status == 0 and not ended.err, ended
    return json.loads(ended.out)


def sound(root: Path) -> Project:
    here = toy.project(root)
    assert fsck(here.store.metadata, here.store.blobs) == []
    return here


def test_fifty_builds_of_one_recipe_make_one_version_and_all_return_it(loaded: Path, forks: Forks) -> None:
    builders = [Run(str(loaded), code=ONE_RECIPE)] * CROWD
    *ended, notebook = forks.together(*builders, Run(str(loaded), code=NOTEBOOK.replace("wanted", "1")))
    told = [said(one) for one in ended]
    here = sound(loaded)
    (version,) = here.store.metadata.versions("line")
    assert {id for id, _, _ in told} == {version.id}
    assert sum(made for _, made, _ in told) == 1
    assert {slope for _, _, slope in told} == {1.5}
    builds = here.store.metadata.builds("line")
    assert len({b.id for b in builds}) == len(builds) == 1 + sum(b.id != version.build for b in builds)
    assert {b.state for b in builds} == {"built"} and {b.version for b in builds} == {version.id}
    assert len(here.store.metadata.versions("clean")) == len(here.store.metadata.versions("points")) == 1
    assert said(notebook)[0] > 0
    print(f"\n{len(builds)} of {CROWD} trained it at once; a notebook looked {said(notebook)[0]} times meanwhile")


def test_drill_W26_fifty_trainings_at_once_are_fifty_versions_and_a_notebook_reads_meanwhile(
    loaded: Path, forks: Forks
) -> None:
    now = toy.NOW.isoformat()
    bends = [round(1.01 + i / 100, 2) for i in range(CROWD)]
    trainings = [Run(str(loaded), ("--at", now, "build", "line", "--set", f"bend={bend}")) for bend in bends]
    *ended, notebook = forks.together(*trainings, Run(str(loaded), code=NOTEBOOK.replace("wanted", str(CROWD))))
    for one in ended:
        assert one.status == 0 and not one.err and "built line@" in one.out, one
    here = sound(loaded)
    versions = here.store.metadata.versions("line")
    assert len({v.id for v in versions}) == len(versions) == CROWD
    slopes = {v.recipe["settings"]["bend"]: here.artifact("line", v.id).slope for v in versions}
    assert slopes == pytest.approx({bend: 1.5 * bend for bend in bends})
    assert len({b.id for b in here.store.metadata.builds("line")}) == CROWD
    assert all(b.attempt for b in here.store.metadata.builds("line"))
    looks, seen = said(notebook)
    assert looks > 0 and seen == CROWD
    print(f"\na notebook looked {looks} times meanwhile")


def test_fifty_loads_of_the_same_periods_bring_each_in_once(root: Path, forks: Forks) -> None:
    ended = forks.together(*[Run(str(root), ("--at", toy.NOW.isoformat(), "load"))] * CROWD)
    assert [one.status for one in ended] == [0] * CROWD, ended
    here = sound(root)
    revisions = here.store.metadata.all_revisions()
    assert len(revisions) == 30 and len({r.period for r in revisions}) == 30
    assert len(here.rows("points")) == 1500


def test_of_many_releases_at_once_one_switches_and_the_others_find_it_done_or_lost(root: Path, forks: Forks) -> None:
    at = ("--at", toy.NOW.isoformat())
    for verb in ("load", "build", "stage"):
        assert forks.run(Run(str(root), (*at, verb))).status == 0
    ended = forks.together(*[Run(str(root), (*at, "release"))] * 8)
    here = sound(root)
    assert len(here.store.metadata.releases()) == len(here.store.metadata.switches()) == 1
    assert sum("release 1 is current" in one.out for one in ended) == 1
    for one in ended:
        if one.status:
            assert one.err.startswith("SwitchLost: release expected generation 0 to be the current one, got 1"), one
            assert one.err.endswith("; run: funade release\n")
        else:
            assert "release 1" in one.out
    assert forks.run(Run(str(root), (*at, "release"))).out == "nothing to release: the candidate is release 1\n"
