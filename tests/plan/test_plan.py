from __future__ import annotations

from pathlib import Path

import pytest

from funade.build.run import Built
from funade.cli import main
from funade.digest import of_value
from funade.errors import HoldsDisagree, Misuse, NotBuilt, SettingError
from funade.plan.differences import differences
from funade.plan.status import Status
from funade.project.project import Project
from funade.store.naming import short
from funade.store.records import Hold, Version
from support import toy


def loaded(root: Path) -> Project:
    here = toy.project(root)
    toy.load(here)
    return here


def built(root: Path, *names: str) -> dict[str, Built]:
    """What a build as of now makes, by node; only what was made."""
    return {b.version.node: b for b in toy.project(root).build(*names) if b.made}


def ready(root: Path) -> dict[str, Version]:
    """The toy project, loaded and built."""
    loaded(root)
    return {node: b.version for node, b in built(root).items()}


def settings(root: Path, text: str) -> None:
    (root / "funade.toml").write_text(toy.TOML.lstrip() + text)


def status(root: Path) -> dict[str, Status]:
    return {s.node: s for s in toy.project(root).status()}


def attempt(root: Path, node: str = "line", **values: object) -> Version:
    """The version that one attempt makes."""
    made = [b for b in toy.project(root).build(node, settings=values) if b.version.node == node]
    return made[-1].version


# -- the present recipe ----------------------------------------------------------------------------


def test_a_build_makes_the_whole_chain_and_a_second_one_nothing(root: Path) -> None:
    loaded(root)
    assert list(built(root)) == ["clean", "line", "cut", "quality"]
    assert built(root) == {}


def test_a_node_is_built_with_what_it_needs_and_nothing_below_it(root: Path) -> None:
    loaded(root)
    assert list(built(root, "line")) == ["clean", "line"]
    assert list(built(root, "cut")) == ["cut"]


def test_an_id_is_the_digest_of_its_recipe_and_known_before_the_build(root: Path) -> None:
    steps = loaded(root).plan()
    versions = ready(root)
    for node, version in versions.items():
        assert version.id == steps[node].version == of_value(version.recipe)
        assert version.inputs == steps[node].inputs


def test_undoing_an_edit_finds_the_old_version_again(root: Path) -> None:
    before = ready(root)["line"].id
    toy.edit(root, "nodes", "* bend)", "* bend + 1)")
    assert "line" in built(root)
    toy.edit(root, "nodes", "* bend + 1)", "* bend)")
    assert built(root) == {}
    assert toy.project(root).plan()["line"].version == before


def test_a_setting_of_the_project_is_part_of_the_recipe_and_one_like_the_default_is_not(root: Path) -> None:
    before = ready(root)["line"].id
    settings(root, "[settings.line]\nbend = 1\n")
    assert toy.project(root).plan()["line"].version == before
    settings(root, "[settings.line]\nbend = 2\n")
    assert list(built(root)) == ["line", "cut", "quality"]


def test_new_periods_make_everything_below_the_source_anew(root: Path) -> None:
    here = toy.project(root)
    toy.load(here, last="2022-01-29")
    assert len(built(root)) == 4
    toy.load(toy.project(root))
    assert list(built(root)) == ["clean", "line", "cut", "quality"]


def test_nothing_is_built_from_a_source_that_was_never_loaded(root: Path) -> None:
    with pytest.raises(NotBuilt) as refused:
        built(root)
    assert str(refused.value) == (
        "source `points` expected a period loaded, got none - at toy/nodes.py:34; run: funade load points"
    )


def test_a_plan_imports_nothing_of_the_users_once_the_graph_is_remembered(root: Path) -> None:
    ready(root)
    here = toy.project(root)
    here.plan()
    here.status()
    list(here.build())
    assert "nodes" not in vars(here)


def test_a_store_beside_the_code_is_no_code(root: Path) -> None:
    settings(root, '[store]\npath = "store"\n')
    ready(root)
    candidate = toy.project(root).stage()
    toy.project(root).release()
    assert list((root / "store" / "code").glob("*/toy/nodes.py"))
    assert built(root) == {}
    assert toy.project(root).stage().id == candidate.id


# -- attempts --------------------------------------------------------------------------------------


def test_twenty_attempts_build_nothing_else_and_are_input_of_nothing(root: Path) -> None:
    before = ready(root)
    attempts = [attempt(root, bend=1 + i / 10) for i in range(1, 21)]
    here = toy.project(root)
    assert len({v.id for v in attempts}) == 20
    assert [b.node for b in here.store.metadata.builds()][4:] == ["line"] * 20
    assert [b.settings["bend"] for b in here.builds("line")] == [1.0] + [1 + i / 10 for i in range(1, 21)]
    inputs = {id for version in here.store.metadata.versions() for id in version.inputs.values()}
    assert inputs.isdisjoint(version.id for version in attempts)
    assert {n: s.version for n, s in here.plan().items() if n in before} == {n: v.id for n, v in before.items()}
    assert built(root) == {}
    assert here.artifact("line").slope != here.artifact("line", attempts[-1].id).slope


def test_attempts_make_nothing_stale_and_status_shows_what_is_in_use(root: Path) -> None:
    before = ready(root)
    attempt(root, bend=3.0)
    line = status(root)["line"]
    assert (line.newest, line.state, line.why) == (before["line"].id, "found", ())


def test_a_held_attempt_is_used_with_exactly_its_inputs_until_it_is_unheld(root: Path) -> None:
    toy.load(toy.project(root), last="2022-01-29")
    before = {node: b.version for node, b in built(root).items()}
    held = attempt(root, bend=2.0)
    hold = toy.project(root).hold(f"line@{held.id[:8]}")
    assert set(hold.pins) == {"clean", "points"}
    toy.load(toy.project(root))  # the data moves on, what is held does not
    made = built(root)
    assert list(made) == ["cut", "quality"]
    assert made["cut"].version.inputs == {"line": held.id, "clean": before["clean"].id}
    assert toy.project(root).artifact("line").slope == pytest.approx(2 * 1.5)
    assert toy.project(root).unhold("line")
    assert list(built(root)) == ["clean", "line", "cut", "quality"]
    assert toy.project(root).artifact("line").slope == pytest.approx(1.5)


def test_a_hold_makes_what_depends_on_it_stale_transitively_and_says_why(root: Path) -> None:
    before = ready(root)
    held = attempt(root, bend=2.0)
    toy.project(root).hold(f"line@{held.id[:8]}")
    found = status(root)
    moved = f"input line: {short('line', before['line'].id)} -> {short('line', held.id)}"
    assert (found["clean"].state, found["clean"].why) == ("held", ())
    assert (found["line"].state, found["line"].held) == ("held", held.id)
    assert found["line"].why == ("setting bend: 2.0 -> 1.0",)
    assert (found["cut"].state, found["cut"].why) == ("absent", (moved,))
    assert found["quality"].state == "absent"
    assert moved in found["quality"].why and any(w.startswith("input cut: ") for w in found["quality"].why)


def test_a_held_node_can_be_trained_again_beside_its_held_version(root: Path) -> None:
    ready(root)
    held = attempt(root, bend=2.0)
    toy.project(root).hold(f"line@{held.id[:8]}")
    other = attempt(root, bend=5.0)
    assert other.id != held.id and other.inputs == held.inputs
    assert toy.project(root).plan()["line"].version == held.id


def test_an_attempt_again_is_a_version_of_its_own_each_time(root: Path) -> None:
    ready(root)
    ids = {b.version.id for _ in range(2) for b in toy.project(root).build("cut", again=True) if b.made}
    assert len(ids) == 2
    builds = [(b.attempt, b.settings) for b in toy.project(root).builds("cut")]
    assert builds == [(False, {"share": 0.9}), (True, {"share": 0.9}), (True, {"share": 0.9})]


def test_an_attempt_with_the_present_settings_is_the_present_version(root: Path) -> None:
    before = ready(root)
    assert attempt(root, bend=1).id == before["line"].id
    assert len(toy.project(root).builds("line")) == 1


def test_a_setting_that_an_attempt_had_is_found_when_the_project_takes_it(root: Path) -> None:
    ready(root)
    tried = attempt(root, bend=2.0)
    settings(root, "[settings.line]\nbend = 2.0\n")
    assert list(built(root)) == ["cut", "quality"]
    assert status(root)["line"].newest == tried.id or status(root)["line"].state == "found"
    assert toy.project(root).plan()["line"].version == tried.id


BUILT = "an attempt expected a node that is built"
UNKNOWN = "model `line` takes no setting `bnd` (its settings: bend)"
DEFAULT = "its default is 1.0 at toy/nodes.py:50"


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        ((), {"bend": 2.0}, "an attempt expected one node, got none; name it: funade build NODE --set k=v"),
        (("line", "cut"), {}, "an attempt expected one node, got line, cut; name it: funade build NODE --set k=v"),
        (("points",), {}, f"{BUILT}, got source `points`; run: funade load points --again"),
        (("judge",), {}, f"{BUILT}, got api `judge`"),
        (("line",), {"bnd": 2}, f"{UNKNOWN} - at --set; did you mean `bend`?"),
        (("line",), {"bend": "2"}, f"model `line` expected `bend` as float, got '2' - at --set; {DEFAULT}"),
        (("lien",), {}, "project has no node `lien`; did you mean `line`?"),
    ],
)
def test_an_attempt_that_makes_no_sense_is_refused(
    root: Path, names: tuple[str, ...], values: dict[str, object], message: str
) -> None:
    with pytest.raises((Misuse, SettingError)) as refused:
        list(loaded(root).build(*names, settings=values or {}, again=not values))
    assert str(refused.value) == message


def test_settings_in_the_file_are_checked_against_the_graph(root: Path) -> None:
    settings(root, "[settings.lien]\nbend = 2.0\n")
    with pytest.raises(SettingError) as refused:
        loaded(root).plan()
    assert str(refused.value) == (
        "settings expected a node of the project, got `lien` - at [settings.lien] in funade.toml; did you mean `line`?"
    )


# -- holds -----------------------------------------------------------------------------------------


def test_two_holds_hold_together_or_the_second_is_refused(root: Path) -> None:
    ready(root)
    first = attempt(root, bend=2.0)
    here = toy.project(root)
    old_cut = here.store.metadata.versions("cut")[-1]
    here.hold(f"line@{first.id[:8]}")
    with pytest.raises(HoldsDisagree, match="run: funade stage line@"):
        here.hold(f"cut@{old_cut.id[:8]}")
    new_cut = built(root, "cut")["cut"].version
    assert isinstance(toy.project(root).hold(f"cut@{new_cut.id[:8]}"), Hold)


# -- reasons ---------------------------------------------------------------------------------------


def why(root: Path, node: str) -> tuple[str, ...]:
    return status(root)[node].why


def test_a_reason_names_the_function_that_changed(root: Path) -> None:
    ready(root)
    toy.edit(root, "shared", "return x * SCALE", "return x * SCALE + 0")
    assert why(root, "line") == ("code changed: toy.shared:feature",)
    toy.edit(root, "shared", "SCALE = 2.0", "SCALE = 2.5")
    assert why(root, "line") == ("code changed: toy.shared:SCALE, toy.shared:feature",)


def test_a_reason_names_the_setting_and_both_values(root: Path) -> None:
    ready(root)
    settings(root, "[settings.cut]\nshare = 0.5\n")
    assert why(root, "cut") == ("setting share: 0.9 -> 0.5",)
    assert len(why(root, "quality")) == 1 and why(root, "quality")[0].startswith("input cut: cut@")


def test_a_reason_names_the_input_and_both_versions(root: Path) -> None:
    toy.load(toy.project(root), last="2022-01-29")
    before = {node: b.version for node, b in built(root).items()}
    toy.load(toy.project(root))
    now = toy.project(root).plan()
    for node, inputs in (("clean", ["points"]), ("line", ["clean"]), ("cut", ["line", "clean"])):
        assert why(root, node) == tuple(
            f"input {i}: {short(i, before[node].inputs[i])} -> {short(i, now[i].version)}" for i in inputs
        )
    assert why(root, "points") == ("new periods or revisions were loaded",)


ROWS = "clean last 21 days but the last 14"
LESS = ROWS.replace("14", "13")
ANSWERS = "judge.on(clean last 7 days as columns)"
FEWER = ANSWERS.replace("7", "6")


@pytest.mark.parametrize(
    ("old", "new", "node", "reason"),
    [
        ("line(rows: fn.Columns", "line(rows: pa.Table", "line", f"rows taken: {ROWS} as columns -> {ROWS} as arrow"),
        ("days=(21, 14)", "days=(21, 13)", "line", f"rows taken: {ROWS} as columns -> {LESS} as columns"),
        ("clean.last(days=7)", "clean.last(days=6)", "quality", f"answers taken: {ANSWERS} -> {FEWER}"),
    ],
)
def test_a_reason_says_how_else_an_input_is_taken(root: Path, old: str, new: str, node: str, reason: str) -> None:
    ready(root)
    toy.edit(root, "nodes", old, new)
    assert f"input {reason}" in why(root, node)


def test_a_reason_says_when_a_policy_that_remakes_changed(root: Path) -> None:
    ready(root)
    toy.edit(root, "nodes", 'fn.not_null("y"), points', 'fn.key("row"), fn.not_null("y"), points')
    assert why(root, "clean") == ("policies changed",)


def test_a_reason_names_the_runtime_that_changed(root: Path) -> None:
    step = loaded(root).plan()["line"]
    old = toy.project(root).build("line")
    version = [b.version for b in old][-1]
    moved = {**version.recipe, "runtime": {**version.recipe["runtime"], "python": "3.10", "numpy": "1.0"}}
    import msgspec

    told = differences(msgspec.structs.replace(version, id="0" * 64, recipe=moved), step)
    assert len(told) == 1 and told[0].startswith("runtime changed: ")
    assert "numpy 1.0 -> none" in told[0] and "python 3.10 -> 3." in told[0]


def test_the_project_time_zone_is_part_of_what_a_window_takes(root: Path) -> None:
    ready(root)
    path = root / "funade.toml"
    path.write_text(path.read_text().replace("Asia/Tokyo", "Asia/Kolkata"))
    assert "timezone changed" in why(root, "line")


def test_what_nothing_of_the_recipe_says_makes_nothing_stale(root: Path) -> None:
    ready(root)
    toy.edit(root, "nodes", 'fn.owner("toy-team")', 'fn.owner("other-team")')
    toy.edit(root, "nodes", "fn.at_most(mae=0.5)", "fn.at_most(mae=0.4)")
    toy.edit(root, "nodes", "def line(", "# trained on Sundays\ndef line(")
    assert built(root) == {}
    assert all(s.why == () for s in status(root).values())


def test_drill_W18_a_helpers_change_reaches_every_step_that_calls_it_and_no_other(root: Path) -> None:
    ready(root)
    toy.edit(root, "shared", "SCALE = 2.0", "SCALE = 4.0")
    found = status(root)
    assert {n for n, s in found.items() if s.state == "absent"} == {"line", "cut", "quality"}
    assert found["line"].why == ("code changed: toy.shared:SCALE",)
    assert list(built(root)) == ["line", "cut", "quality"]


def test_drill_W20_no_light_is_green_below_what_was_not_rebuilt(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready(root)
    toy.edit(root, "nodes", "    return points\n", "    return points.slice(0)\n")
    assert list(built(root, "clean")) == ["clean"]
    main(["-C", str(root), "--at", toy.NOW.isoformat(), "status"])
    shown = {line.split()[0]: line.split()[2] for line in capsys.readouterr().out.splitlines()[1:8]}
    assert shown["clean"] == "present"
    assert [shown[node] for node in ("line", "cut", "quality")] == ["stale"] * 3
