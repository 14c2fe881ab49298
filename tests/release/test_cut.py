"""The consistent cut: holds, one code state, and the commands that refusals name."""

from __future__ import annotations

from pathlib import Path

import pytest

from funade.errors import CutIncomplete, CutInconsistent, HoldsDisagree, Misuse
from funade.project.project import Project
from funade.release import cut
from support import toy


def built(root: Path) -> Project:
    here = toy.project(root)
    toy.load(here)
    list(here.build())
    return toy.project(root)


def pin(here: Project, node: str) -> str:
    return here.plan()[node].version


def test_a_candidate_pins_what_the_apis_and_their_evaluations_reach(root: Path) -> None:
    here = built(root)
    candidate = here.stage()
    assert set(candidate.pins) == {"points", "clean", "line", "cut", "judge", "quality"}
    assert cut.disagreements(candidate.pins, here.graph, here.store.metadata) == []


def test_staging_twice_writes_one_candidate(root: Path) -> None:
    here = built(root)
    assert here.stage().id == toy.project(root).stage().id


def test_drill_W20_rebuilding_only_the_far_end_is_refused_transitively(root: Path) -> None:
    here = built(root)
    toy.edit(root, "nodes", "    return points\n", "    return points.slice(1)\n")
    here = toy.project(root)
    list(here.build("line"))  # the model follows the new data; threshold and evaluation do not
    stale = {s.node for s in here.status() if s.state == "absent"}
    assert stale == {"cut", "quality"}
    with pytest.raises(CutInconsistent) as refused:
        here.stage()
    line, old = pin(here, "clean"), here.store.metadata.versions("cut")[-1]
    told = {(p.node, p.needs, p.had, p.pinned) for p in refused.value.facts["pairs"]}  # type: ignore[attr-defined]
    assert ("cut", "clean", old.inputs["clean"], line) in told
    assert ("cut", "line", old.inputs["line"], pin(here, "line")) in told
    assert refused.value.do == "run: funade build quality"


def test_drill_T6_a_rebuilt_input_refuses_the_dependent_that_was_not(root: Path) -> None:
    here = built(root)
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.5")
    here = toy.project(root)
    list(here.build("line"))
    old = here.store.metadata.versions("cut")[-1]
    with pytest.raises(CutInconsistent) as refused:
        here.stage()
    assert str(refused.value) == (
        f"release expected `cut` built from `line@{pin(here, 'line')[:6]}`, got `line@{old.inputs['line'][:6]}` "
        f"- at cut@{old.id[:6]}; run: funade build quality"
    )


def test_drill_W17_shared_preprocessing_is_one_code_state_in_training_and_serving(root: Path) -> None:
    here = built(root)
    released = here.store.metadata.versions("line")[-1]
    here.hold(f"line@{released.id[:8]}")
    toy.edit(root, "shared", "SCALE = 2.0", "SCALE = 3.0")
    here = toy.project(root)
    list(here.build())
    with pytest.raises(CutInconsistent) as refused:
        here.stage()
    assert str(refused.value) == (
        f"release expected one state of `toy.shared:SCALE`, got another in `line@{released.id[:6]}` "
        f"- at line@{released.id[:6]}; run: funade unstage line"
    )
    here.unhold("line")
    list(here.build())
    assert here.stage().pins["line"] != released.id


def test_what_is_held_with_its_dependent_is_let_go_by_ending_the_dependents_hold(root: Path) -> None:
    here = built(root)
    threshold = here.store.metadata.versions("cut")[-1]
    here.hold(f"cut@{threshold.id[:8]}")  # and with it the model
    toy.edit(root, "shared", "SCALE = 2.0", "SCALE = 3.0")
    here = toy.project(root)
    list(here.build())
    with pytest.raises(CutInconsistent) as refused:
        here.stage()
    assert refused.value.at == f"line@{threshold.inputs['line'][:6]}"
    assert refused.value.do == "run: funade unstage cut"
    here.unhold("cut")
    list(here.build())
    here.stage()


def test_a_training_only_edit_does_not_block_an_api_fix(root: Path) -> None:
    here = built(root)
    before = here.stage()
    toy.edit(root, "nodes", ".sum()) * bend)", ".sum()) * bend * 1.01)")  # training code, being worked on
    toy.edit(root, "nodes", "score >= limit}", "score > limit}")  # the fix
    here = toy.project(root)
    here.hold(f"line@{before.pins['line'][:8]}")
    list(here.build())
    after = here.stage()
    assert after.pins["line"] == before.pins["line"]
    assert after.pins["judge"] != before.pins["judge"]


def test_the_class_an_artifact_needs_is_part_of_the_code_state(root: Path) -> None:
    here = built(root)
    version = here.store.metadata.versions("line")[-1]
    here.hold(f"line@{version.id[:8]}")
    toy.edit(root, "nodes", "return feature(x) * self.slope", "return feature(x) * self.slope + 1")
    here = toy.project(root)
    list(here.build())
    with pytest.raises(CutInconsistent, match=r"one state of `toy\.nodes:Line"):
        here.stage()


def test_a_hold_holds_the_exact_inputs_it_was_built_from(root: Path) -> None:
    here = built(root)
    old = here.store.metadata.versions("line")[-1]
    toy.load(toy.project(root, toy.NOW.replace(day=31, hour=23)), "2022-01-01", "2022-01-31")
    here = toy.project(root)
    list(here.build())
    here.hold(f"line@{old.id[:8]}")
    assert {s.node: s.state for s in here.status()}["cut"] == "found"  # the version built beside the old model
    assert pin(here, "clean") == old.inputs["clean"]
    candidate = here.stage()
    assert candidate.pins["line"] == old.id
    assert candidate.pins["clean"] == old.inputs["clean"]


def test_two_holds_that_disagree_are_refused_at_once_with_the_way_out(root: Path) -> None:
    here = built(root)
    old = here.store.metadata.versions("line")[-1]
    threshold = here.store.metadata.versions("cut")[-1]
    list(here.build("line", settings={"bend": 1.2}))
    new = here.store.metadata.versions("line")[-1]
    here.hold(f"cut@{threshold.id[:8]}")
    with pytest.raises(HoldsDisagree) as refused:
        here.hold(f"line@{new.id[:8]}")
    assert str(refused.value) == (
        f"hold of `line@{new.id[:6]}` expected `line@{new.id[:6]}`, got `line@{old.id[:6]}` "
        f"held with `cut@{threshold.id[:6]}`; run: funade unstage cut"
    )


def test_an_api_is_bound_not_held(root: Path) -> None:
    here = built(root)
    here.stage()
    version = here.store.metadata.versions("judge")[-1]
    with pytest.raises(Misuse) as refused:
        here.hold(f"judge@{version.id[:8]}")
    assert str(refused.value) == "hold expected a dataset, model or threshold, got api `judge`"


def test_what_was_never_built_is_named_with_its_command(root: Path) -> None:
    here = toy.project(root)
    toy.load(here)
    with pytest.raises(CutIncomplete) as refused:
        here.stage()
    assert str(refused.value).endswith("built, got none - at toy/nodes.py:46; run: funade build quality")


def test_what_was_never_loaded_is_named_with_its_command(root: Path) -> None:
    with pytest.raises(CutIncomplete) as refused:
        toy.project(root).stage()
    assert str(refused.value) == "release expected `points` loaded, got nothing; run: funade load points"


def test_releasing_what_is_released_changes_nothing(root: Path) -> None:
    here = built(root)
    here.stage()
    first, _ = here.release()
    toy.edit(root, "shared", "SCALE = 2.0", "SCALE = 2.0  # as measured")
    here = toy.project(root)
    here.stage()
    assert here.release() == (first, None)


def test_a_changed_fallback_is_a_release_of_its_own(root: Path) -> None:
    here = built(root)
    here.stage()
    here.release()
    toy.edit(root, "nodes", "fn.fallback(score=0.0", "fn.fallback(score=1.0")
    here = toy.project(root)
    here.stage()
    assert here.release()[0].number == 2
