"""Views: what is shown of a project, as data."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from funade.errors import Misuse
from funade.project.project import Project
from funade.project.views import nodes, releases, versions
from funade.project.views.bad_rows import bad_rows
from funade.project.views.releases import MetricChange, PinChange
from support import toy


@pytest.fixture
def here(root: Path) -> Project:
    """The toy project with two releases, the second with a steeper `line`."""
    project = toy.project(root)
    toy.load(project)
    toy.ship(project)
    toy.edit(root, "funade", "[project]", "[settings.line]\nbend = 1.01\n\n[project]")
    moved = toy.project(root)
    list(moved.build())
    moved.stage()
    moved.release(because="steeper")
    return moved


def test_a_diff_has_every_pin_and_every_number_that_changed(here: Project) -> None:
    view = releases.diff(here, 1, 2)
    first, second = (here.store.metadata.release(number) for number in (1, 2))
    assert first is not None
    assert second is not None

    assert [change.node for change in view.pins] == ["line", "cut", "quality"]
    assert view.pins[0] == PinChange("line", first.pins["line"], second.pins["line"])
    (metric,) = view.metrics
    assert (metric.node, metric.metric, metric.before) == ("quality", "mae", 0.0)
    assert view.json() == {c.node: (c.before, c.after) for c in view.pins}


def test_a_node_that_only_one_release_pins_has_no_version_in_the_other(here: Project) -> None:
    assert list(releases.pin_changes({"line": "a"}, {"cut": "b"})) == [
        PinChange("line", "a", ""),
        PinChange("cut", "", "b"),
    ]
    view = releases.ReleaseDiff((PinChange("cut", "", "b"),), (MetricChange("quality", "mae", None, 1.0),))
    assert view.json() == {"cut": (None, "b")}


def test_a_comparison_has_the_builds_and_the_names_that_any_of_them_has(here: Project) -> None:
    view = versions.compare(here, "line")

    assert [row.build.settings for row in view.builds] == [{"bend": 1.0}, {"bend": 1.01}]
    assert (view.settings, view.metrics, view.inputs) == (("bend",), (), ("clean",))
    assert view.json() == [row.build for row in view.builds]


def test_a_version_says_which_releases_pin_it(here: Project) -> None:
    assert versions.show(here, "line@released").releases == (2,)
    assert versions.show(here, "clean").releases == (1, 2)


def test_a_sources_version_has_its_loads(here: Project) -> None:
    assert len(versions.show(here, "points").revisions) == 30
    assert versions.show(here, "line").revisions == ()


def test_the_settings_of_a_released_attempt_are_to_be_kept(here: Project) -> None:
    second = here.store.metadata.release(2)
    assert second is not None
    assert releases.settings_to_keep(here, second) == {}

    toy.edit(here.root, "funade", "bend = 1.01", "bend = 3.0")

    assert releases.settings_to_keep(toy.project(here.root), second) == {"line": {"bend": 1.01}}


def test_stale_dependants_are_those_that_are_to_be_built(here: Project) -> None:
    assert nodes.stale_dependants(here, "line") == []

    toy.edit(here.root, "funade", "bend = 1.01", "bend = 3.0")

    assert nodes.stale_dependants(toy.project(here.root), "line") == ["cut", "quality"]


def test_a_version_without_bad_rows_has_none_to_show(here: Project) -> None:
    assert bad_rows(here, here.find_version("clean")) == []


def test_a_view_of_every_release_is_its_own_json(here: Project) -> None:
    view = msgspec.json.decode(msgspec.json.encode(releases.releases(here)))

    assert [release["number"] for release in view["releases"]] == [1, 2]
    assert [switch.get("because") for switch in view["switches"]] == [None, "steeper"]


def test_a_diff_with_a_release_that_is_none_is_refused(here: Project) -> None:
    with pytest.raises(Misuse, match=r"^diff expected a release, got 9; see them: funade releases$"):
        releases.diff(here, 1, 9)
