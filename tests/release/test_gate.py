"""The gate: every check held and broken, with the whole line that a user reads."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from funade.declare.graph import Graph
from funade.errors import CheckFailed, GateClosed, Misuse, RollbackRefused
from funade.process.child import ChildEnded
from funade.project.project import Project
from funade.release import gate, obligations, pins
from funade.release.gate import GateReport
from funade.release.host import HostProcess
from funade.release.host_process import RehearsalResults, Rehearse
from funade.release.rehearsal import Difference, reproduce
from funade.store.codecs import installed
from funade.store.records import Candidate, Finding, GoldenRows, Release
from support import toy
from support.wait import read_for_ever

JUDGE = "answers=judge.on(clean.last(days=7)))"


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy project, loaded and built."""
    root = toy.write(tmp_path_factory.mktemp("gate") / "project")
    here = toy.project(root)
    toy.load(here)
    list(here.build())
    return root


@pytest.fixture
def root(loaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(loaded, tmp_path / "project"))


def staged(root: Path, now: datetime = toy.NOW) -> tuple[Project, Candidate]:
    here = toy.project(root, now)
    list(here.build())
    return here, here.stage()


def released(root: Path, because: str = "") -> tuple[Release, GateReport]:
    here, _ = staged(root)
    release, judged = here.release(because=because)
    assert judged is not None
    return release, judged


def refused(root: Path, because: str = "") -> GateClosed:
    here, _ = staged(root)
    before = here.current()
    with pytest.raises(GateClosed) as error:
        here.release(because=because)
    assert here.current() == before
    return error.value


def failing(error: GateClosed) -> list[Finding]:
    findings: tuple[Finding, ...] = error.facts["findings"]  # type: ignore[assignment]
    return [f for f in findings if not f.holds]


def told(judged: GateReport, check: str) -> list[tuple[str, str, bool]]:
    return [(f.expected, f.got, f.holds) for f in judged.findings if f.check == check]


# -- what holds ------------------------------------------------------------------------------------


def test_a_release_is_judged_by_every_check_and_keeps_the_report(root: Path) -> None:
    release, judged = released(root)
    checks = ["cut", "data", *["disjoint"] * 3, "owner", "fallback", "rows", "bar", "bar", "loads", "golden", "batch"]
    assert [f.check for f in judged.findings] == checks
    assert all(f.holds and not f.do for f in judged.findings)
    assert release.report == judged.findings
    assert told(judged, "bar")[1] == ("mae to rise at most 5%", "0, no release to compare with yet", True)


def test_golden_answers_are_kept_with_the_release_and_reproduced_at_a_rollback(root: Path) -> None:
    here = toy.project(root)
    release, judged = released(root)
    golden = msgspec.json.decode(here.store.blobs.read(judged.golden["judge"]), type=GoldenRows)
    assert golden.api == "judge" and 50 <= len(golden.requests) == len(golden.answers)
    assert {tuple(answer) for answer in golden.answers} == {("score", "high")}
    assert reproduce(release, here.store) is None


def test_the_current_release_is_judged_beside_the_candidate_on_the_same_rows(root: Path) -> None:
    released(root)
    toy.edit(root, "nodes", 'fn.may_rise(mae="5%")', "fn.may_rise(mae=0.5)")
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.02")
    _, judged = released(root)
    (compared,) = judged.compared
    assert compared.current == {"mae": 0.0} and compared.rows == 350
    assert told(judged, "bar")[1] == ("mae <= 0.5 (may rise 0.5)", "0.309 (release 1: 0)", True)


# -- bars ------------------------------------------------------------------------------------------


def test_drill_W9_a_retrained_model_that_is_worse_is_refused(root: Path) -> None:
    released(root)
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.02")
    error = refused(root)
    assert str(error) == (
        "release 2 expected mae <= 0 (may rise 5%), got 0.309 (release 1: 0) "
        "- at evaluation `quality` on 350 rows; look at its builds: funade compare quality"
    )
    assert len(failing(error)) == 1


def test_drill_W6_what_is_judged_is_the_decision_at_the_pinned_threshold(root: Path) -> None:
    toy.edit(root, "nodes", "fn.at_most(mae=0.5), ", "fn.at_most(mae=0.5), fn.inside(kept=(0.05, 0.3)), ")
    toy.edit(root, "nodes", '    return {"mae":', '    return {"kept": float(answers["high"].mean()), "mae":')
    released(root)
    toy.edit(root, "nodes", "share: float = 0.9", "share: float = 0.5")
    error = refused(root)
    kept = failing(error)[0].got.split()[0]
    assert 0.4 < float(kept) < 0.9
    assert [(f.expected, f.at) for f in failing(error)] == [("0.05 <= kept <= 0.3", "evaluation `quality` on 350 rows")]


def test_too_few_rows_judge_nothing(root: Path) -> None:
    toy.edit(root, "nodes", "judge.on(clean.last(days=7))", "judge.on(clean.last(days=3))")
    assert str(refused(root)) == (
        "release 1 expected >= 200 judged rows, got 150: not judged - at evaluation `quality`; "
        "load more periods, widen its window, or set fn.rows(least=…)"
    )
    toy.edit(root, "nodes", "fn.at_most(mae=0.5), ", "fn.at_most(mae=0.5), fn.rows(least=100), ")
    released(root)


def test_a_reason_overrides_what_does_not_hold_and_stays_with_the_release(root: Path) -> None:
    toy.edit(root, "nodes", "fn.at_most(mae=0.5), ", "fn.at_least(mae=0.5), ")
    release, _ = released(root, because="the festival is over")
    assert release.because == "the festival is over"
    assert [(f.expected, f.got) for f in release.report if not f.holds] == [("mae >= 0.5", "0")]


# -- what cannot be compared -----------------------------------------------------------------------


def test_what_changes_an_answer_or_a_judgement_is_released_and_a_comment_is_not(root: Path) -> None:
    (root / "asked.jsonl").write_text('{"x": 99.5}\n')
    toy.edit(root, "nodes", 'fn.owner("toy-team")', 'fn.owner("toy-team"), fn.golden("asked.jsonl")')
    released(root)
    toy.edit(root, "nodes", "score = model", "# a comment\n    score = model")
    here, _ = staged(root)
    assert here.release()[1] is None
    (root / "asked.jsonl").write_text('{"x": 99.5}\n{"x": 1.5}\n')
    assert released(root)[0].number == 2
    toml = root / "funade.toml"
    toml.write_text(toml.read_text().replace("Asia/Tokyo", "Europe/Lisbon"))
    assert released(root)[0].number == 3
    toy.edit(root, "nodes", "fn.at_most(mae=0.5)", "fn.at_most(mae=0.4)")
    assert released(root)[0].number == 4


@pytest.mark.parametrize("because", [" ", "\t", "good\nall the same", "good\r"])
def test_a_reason_is_one_line_that_says_something(root: Path, because: str) -> None:
    here, _ = staged(root)
    for act in (here.release, here.rollback):
        with pytest.raises(Misuse, match="because expected a reason in one line, got"):
            act(because=because)
    assert here.current() is None


def incomparable(root: Path) -> str:
    error = refused(root)
    found = [f for f in failing(error) if f.check == "bar"]
    assert [f.expected for f in found] == ["mae to rise at most 5% against release 1"]
    assert found[0].do == 'if it is good all the same: funade release --because "reason"'
    release, _ = released(root, because="looked at by hand")
    assert release.number == 2
    return found[0].got


def test_a_current_release_that_saw_the_rows_cannot_be_compared(root: Path) -> None:
    released(root)
    toy.edit(root, "nodes", "rows=clean.between(days=(21, 14))", "rows=clean.between(days=(28, 24))")
    toy.edit(root, "nodes", "rows=clean.between(days=(14, 7))", "rows=clean.between(days=(24, 21))")
    toy.edit(root, "nodes", "judge.on(clean.last(days=7))", "judge.on(clean.between(days=(21, 14)))")
    clean = toy.project(root).find_version("clean").id[:6]
    assert incomparable(root) == f"0, not comparable: its `line` saw 350 common rows of `clean@{clean}`"


def test_a_current_release_of_another_contract_cannot_be_compared(root: Path) -> None:
    released(root)
    toy.edit(
        root,
        "nodes",
        "class Verdict(msgspec.Struct):\n    score: float",
        "class Verdict(msgspec.Struct):\n    score: float | None",
    )
    assert incomparable(root) == "0, not comparable: the contract of `judge` changed"


def test_a_current_release_whose_answers_the_evaluation_cannot_read_is_not_compared(root: Path) -> None:
    released(root)
    toy.edit(root, "nodes", "    high: bool", "    high: bool\n    twice: float")
    toy.edit(root, "nodes", '"high": score >= limit}', '"high": score >= limit, "twice": 2 * score}')
    toy.edit(root, "nodes", "fn.fallback(score=0.0, high=False)", "fn.fallback(score=0.0, high=False, twice=0.0)")
    toy.edit(root, "nodes", '    return {"mae":', '    assert len(answers["twice"])\n    return {"mae":')
    assert incomparable(root) == "0, not comparable: the evaluation fails on its answers (KeyError: 'twice')"


def test_a_current_release_that_fails_on_the_rows_is_not_compared(root: Path) -> None:
    nodes = root / "toy" / "nodes.py"
    good = nodes.read_text()
    toy.edit(root, "nodes", "    score = model.predict", '    assert batch["x"].max() < 7.9\n    score = model.predict')
    toy.edit(root, "nodes", "judge.on(clean.last(days=7))", "judge.on(clean.last(days=5))")
    toy.edit(root, "nodes", "    return points\n", '    return points.filter(pa.compute.less(points["x"], 7.9))\n')
    released(root)
    nodes.write_text(good)
    assert incomparable(root) == "0, not comparable: its `judge` fails on the rows (AssertionError)"


def test_an_evaluation_that_asks_for_a_place_is_not_compared(root: Path) -> None:
    (root / "funade.toml").write_text((root / "funade.toml").read_text() + '\n[places]\nlabels = "labels"\n')
    toy.edit(
        root,
        "nodes",
        "def quality(answers: fn.Columns)",
        'def quality(answers: fn.Columns, at: Path = fn.place("labels"))',
    )
    released(root)
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.0001")
    assert incomparable(root) == (
        "0.001545, not comparable: the evaluation asks for a place or a secret, which the gate does not give"
    )


BASELINE = """
@fn.threshold()
def nothing() -> float:
    return 1e9

"""


def test_a_baseline_that_the_current_release_lacks_is_taken_from_the_candidate(root: Path) -> None:
    released(root)
    toy.edit(root, "nodes", "@fn.evaluation(", BASELINE + "@fn.evaluation(")
    toy.edit(root, "nodes", JUDGE, JUDGE[:-1] + ", plain=judge.on(clean.last(days=7), limit=nothing))")
    toy.edit(root, "nodes", "def quality(answers: fn.Columns)", "def quality(answers: fn.Columns, plain: fn.Columns)")
    toy.edit(
        root,
        "nodes",
        '    return {"mae":',
        '    return {"more": float(answers["high"].sum() - plain["high"].sum()), "mae":',
    )
    for release in (2, 3):
        _, judged = released(root)
        (compared,) = judged.compared
        assert compared.release == release - 1
        assert compared.current == compared.metrics and compared.metrics["more"] == 84.0
        toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.00")
        toy.edit(
            root,
            "nodes",
            "def cut(model: Line, rows: fn.Columns, ",
            "def cut(model: Line, rows: fn.Columns, spare: int = 0, ",
        )


def test_an_evaluation_of_a_model_judges_the_current_releases_model(root: Path) -> None:
    toy.edit(root, "nodes", JUDGE, "model=line, rows=clean.last(days=7), " + JUDGE)
    toy.edit(root, "nodes", "def quality(answers", "def quality(model: Line, rows: fn.Columns, answers")
    toy.edit(root, "nodes", '    return {"mae":', '    return {"slope": model.slope, "mae":')
    _, judged = released(root)
    first = judged.compared[0].metrics["slope"]
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.02")
    _, judged = released(root, because="to see both")
    (compared,) = judged.compared
    assert compared.current is not None and compared.current["slope"] == first != compared.metrics["slope"]


# -- the cut ---------------------------------------------------------------------------------------


def mixed(root: Path, node: str) -> tuple[Project, Candidate, str, str]:
    """A candidate whose one pin is of an older build, as no `stage` would write it."""
    here, old = staged(root)
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.5")
    toy.edit(root, "nodes", "    return points\n", "    return points.slice(1)\n")
    here, new = staged(root)
    candidate = msgspec.structs.replace(new, id="mixed", pins=new.pins | {node: old.pins[node]})
    here.store.metadata.add_candidate(candidate)
    return here, candidate, old.pins[node], new.pins[node]


def closed(here: Project, candidate: Candidate, because: str = "") -> GateClosed:
    judged = gate.judge(candidate, here.current(), here.store, now=here.clock)
    with pytest.raises(GateClosed) as error:
        gate.refuse(judged, candidate, here.current(), because=because)
    return error.value


def test_drill_W7_a_threshold_of_an_older_model_is_refused_and_no_reason_overrides(root: Path) -> None:
    here, candidate, old, new = mixed(root, "cut")
    had = here.store.version(old).inputs
    for because in ("", "I am in a hurry"):
        assert str(closed(here, candidate, because)) == (
            f"release 1 expected `cut` built from `line@{candidate.pins['line'][:6]}`, got `line@{had['line'][:6]}` "
            f"- at cut@{old[:6]}; run: funade stage cut@{new[:6]}"
        )


def test_drill_T6_upstream_rebuilt_and_the_far_end_not_is_refused_naming_the_pair(root: Path) -> None:
    here, candidate, old, _ = mixed(root, "line")
    pairs = [(f.expected, f.got) for f in failing(closed(here, candidate)) if f.check == "cut"]
    had = here.store.version(old).inputs["clean"][:6]
    assert (f"`line` built from `clean@{candidate.pins['clean'][:6]}`", f"`clean@{had}`") in pairs


def test_drill_W20_the_pair_in_the_middle_of_the_chain_is_named_too(root: Path) -> None:
    here, candidate, old, new = mixed(root, "clean")
    pairs = [(f.expected, f.got) for f in failing(closed(here, candidate)) if f.check == "cut"]
    for node in ("line", "cut", "quality"):
        assert (f"`{node}` built from `clean@{old[:6]}`", f"`clean@{new[:6]}`") in pairs


def test_a_pin_that_is_not_in_the_store_is_named(root: Path) -> None:
    here, candidate = staged(root)
    candidate = msgspec.structs.replace(candidate, pins=candidate.pins | {"line": "0" * 64})
    error = closed(here, candidate, because="please")
    assert str(error) == (
        "release 1 expected `line@000000` in the store, got none - at toy/nodes.py:50; run: funade build line"
    )
    assert "loads" in [f.check for f in failing(error)]


def test_drill_W19_a_model_whose_bytes_are_gone_or_changed_does_not_load(root: Path) -> None:
    here, candidate = staged(root)
    artifact = here.store.version(candidate.pins["line"]).artifact
    assert artifact is not None
    (digest,) = [blob for name, blob in artifact.files.items() if name.endswith("line.json")]
    path = here.store.blobs.path(digest)
    path.chmod(0o644)
    path.write_text("7.0")
    assert str(closed(here, candidate, because="please")) == (
        "release 1 expected a candidate that loads from its own snapshot and answers, got "
        f"blob `{digest[:6]}` expected the bytes it is named by, got others - at candidate `{candidate.id[:6]}`; "
        "run: funade fsck"
    )
    path.unlink()
    assert f"blob `{digest[:6]}" in failing(closed(here, candidate))[0].got


# -- what is pinned --------------------------------------------------------------------------------


def pinned_findings(root: Path, check: str, now: datetime = toy.NOW) -> list[Finding]:
    here, candidate = staged(root, now)
    found = pins.findings(candidate, Graph(candidate.specs), here.store, now)
    return [f for f in found if f.check == check]


def test_a_dataset_whose_checks_changed_after_its_build_is_not_released_unchecked(root: Path) -> None:
    toy.edit(root, "nodes", 'fn.within("x", 0, 100)', 'fn.within("x", 0, 7)')
    here = toy.project(root)
    candidate = here.stage()
    version = here.store.version(candidate.pins["clean"])
    (found,) = [f for f in pins.findings(candidate, here.graph, here.store, toy.NOW) if f.check == "data"]
    assert (found.expected, found.got, found.at, found.do) == (
        "data checks under its present policies", "none", f"clean@{version.id[:6]}", "run: funade build clean",
    )  # fmt: skip
    with pytest.raises(CheckFailed):
        list(here.build("clean"))
    (found,) = [f for f in pins.findings(candidate, here.graph, here.store, toy.NOW) if f.check == "data"]
    assert (found.expected, found.do) == ("`x` in [0, 7]", f"see them: funade show clean@{version.id[:6]} --bad")
    assert found.got.endswith(")") and not found.holds


def test_data_that_is_too_old_is_refused(root: Path) -> None:
    toy.edit(root, "nodes", "@fn.dataset(fn.within", '@fn.dataset(fn.fresh("2 days"), fn.within')
    (found,) = pinned_findings(root, "fresh")
    assert found.holds and found.got == "an end at 2022-01-30 15:00 UTC"
    (found,) = pinned_findings(root, "fresh", toy.NOW + timedelta(days=2))
    assert (found.holds, found.expected, found.got, found.do) == (
        False,
        "data that ends at most 2 days before 2022-02-02 12:00 UTC",
        "an end at 2022-01-30 15:00 UTC",
        "run: funade load && funade build && funade stage",
    )


def test_a_deprecated_node_may_be_used_until_its_date(root: Path) -> None:
    toy.edit(
        root,
        "nodes",
        "@fn.dataset(fn.within",
        '@fn.dataset(fn.deprecated("use clean_v2", until="2022-02-01"), fn.within',
    )
    here, candidate = staged(root)
    graph = Graph(candidate.specs)
    found = [f for f in pins.findings(candidate, graph, here.store, toy.NOW) if f.check == "deprecated"]
    assert (found[0].holds, found[0].got) == (True, "model `line` uses deprecated `clean` (until 2022-02-01)")
    later = toy.NOW + timedelta(days=2)
    found = [f for f in pins.findings(candidate, graph, here.store, later) if f.check == "deprecated"]
    assert (found[0].holds, found[0].expected, found[0].got, found[0].do) == (
        False,
        "`line` to use a node in use",
        "`clean`, which ended on 2022-02-01",
        "use clean_v2",
    )


def test_a_model_made_with_another_runtime_is_refused(root: Path) -> None:
    here, candidate = staged(root)
    version = here.store.version(candidate.pins["line"])
    recipe = version.recipe | {"runtime": {"python": "2.7", "numpy": installed("numpy"), "nosuch": "1.0"}}
    other = here.store.metadata.add_version(msgspec.structs.replace(version, id="f" * 64, recipe=recipe))
    candidate = msgspec.structs.replace(candidate, pins=candidate.pins | {"line": other.id})
    found = [f for f in pins.findings(candidate, here.graph, here.store, toy.NOW) if f.check == "runtime"]
    assert [(f.expected, f.got, f.at, f.do) for f in found] == [
        ("python 2.7, with which `line` was made", installed("python"), "line@ffffff", "run: funade build line"),
        ("nosuch 1.0, with which `line` was made", "none installed", "line@ffffff", "run: funade build line"),
    ]


# -- what is promised ------------------------------------------------------------------------------


def promises(root: Path, before: Graph | None = None) -> list[Finding]:
    return [f for f in obligations.findings(toy.project(root).graph, before, 7) if not f.holds]


def test_an_api_without_owner_or_fallback_is_refused(root: Path) -> None:
    toy.edit(root, "nodes", 'fn.owner("toy-team"), fn.fallback(score=0.0, high=False),', "")
    found = promises(root)
    assert [(f.expected, f.got, f.do) for f in found] == [
        ("an owner of `judge`", "none", 'add fn.owner("your-team")'),
        (
            "a fallback of `judge` that keeps its contract",
            "none",
            "add fn.fallback(…) with a value for each field of its answer",
        ),
    ]


def test_a_fallback_with_a_field_that_its_answer_lacks_is_told(root: Path) -> None:
    toy.edit(root, "nodes", "fn.fallback(score=0.0, high=False)", "fn.fallback(score=0.0, high=False, low=True)")
    findings = obligations.findings(toy.project(root).graph, None, 0)
    assert [f.got for f in findings if not f.holds] == ["object contains unknown field `low`"]


FRONT = """
@fn.api(fn.takes(Point), fn.gives(Verdict), fn.owner("toy-team"), fn.fallback(score=0.0, high=False), below=judge)
def front(batch: fn.Columns, below: fn.Columns) -> fn.Columns:
    return below(batch)

"""


def test_a_broken_contract_is_told_field_by_field_with_who_uses_it(root: Path) -> None:
    toy.edit(root, "nodes", 'fn.owner("toy-team")', 'fn.owner("toy-team"), fn.used_by("dispatch-team")')
    toy.edit(root, "nodes", "@fn.evaluation(", FRONT + "@fn.evaluation(")
    before = toy.project(root).graph
    toy.edit(root, "nodes", "    x: float\n", "    x: float\n    weight: float\n")
    found = [f for f in promises(root, before) if "`judge`" in f.expected]
    assert [(f.expected, f.got, f.do) for f in found] == [
        (
            "`judge` to keep the contract of release 7",
            "request field `weight` is new and required: expected none, got float (used by dispatch-team, api `front`)",
            'declare a new api beside it, or agree with who uses it: funade release --because "reason"',
        )
    ]


def test_an_api_that_was_removed_breaks_its_contract(root: Path) -> None:
    toy.edit(root, "nodes", "@fn.evaluation(", FRONT + "@fn.evaluation(")
    before = toy.project(root).graph
    toy.edit(root, "nodes", FRONT, "")
    assert [(f.expected, f.got) for f in promises(root, before)] == [
        ("`front` to keep the contract of release 7", "the api was removed")
    ]


# -- the serving path ------------------------------------------------------------------------------


def test_an_api_that_fails_on_a_golden_row_is_told_with_the_users_own_frames(root: Path) -> None:
    (root / "asked.jsonl").write_text('{"x": -5.0}\n')
    toy.edit(root, "nodes", 'fn.owner("toy-team")', 'fn.owner("toy-team"), fn.golden("asked.jsonl")')
    toy.edit(
        root,
        "nodes",
        "    score = model",
        '    if batch["x"].min() < 0:\n        raise ValueError("x is negative")\n    score = model',
    )
    error = refused(root)
    assert str(error) == (
        "release 1 expected `judge` to answer its golden rows, got ValueError: x is negative - at api `judge`; "
        "mend the function, then run: funade build && funade stage"
    )
    traceback = str(error.facts["traceback"])
    assert "raise ValueError" in traceback and "nodes.py" in traceback and "bind.py" not in traceback


def test_a_golden_file_adds_rows_and_its_mistakes_are_told(root: Path) -> None:
    toy.edit(root, "nodes", 'fn.may_rise(mae="5%"), ', "")
    (root / "asked.jsonl").write_text('{"x": 99.5}\n')
    toy.edit(root, "nodes", 'fn.owner("toy-team")', 'fn.owner("toy-team"), fn.golden("asked.jsonl")')
    here, (_, judged) = toy.project(root), released(root)
    golden = msgspec.json.decode(here.store.blobs.read(judged.golden["judge"]), type=GoldenRows)
    assert golden.requests[-1] == {"x": 99.5}
    (root / "asked.jsonl").write_text('{"x": 99.5}\n{"y": 1}\n')
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.00000000001")
    assert str(refused(root)) == (
        "release 2 expected golden rows that it takes, got one that it refuses: expected field `x`, got none - at $.x "
        "- at asked.jsonl:2; mend the file"
    )


def test_answers_that_depend_on_the_rest_of_the_batch_are_refused(root: Path) -> None:
    toy.edit(root, "nodes", '"high": score >= limit}', '"high": score >= score.max()}')
    error = refused(root)
    (found,) = failing(error)
    assert (found.check, found.expected) == ("batch", "`judge` to answer a row alone as among others")
    assert found.got == "high False in a batch and True alone, at golden row 0"


def test_an_api_that_is_too_slow_is_refused(root: Path) -> None:
    toy.edit(root, "nodes", 'fn.owner("toy-team")', 'fn.owner("toy-team"), fn.answers_within(p99_ms=1e-9)')
    (found,) = failing(refused(root))
    assert (found.check, found.expected) == ("speed", "99 of 100 rows answered within 1e-09 ms")
    assert found.got.endswith("ms in 100 calls of one row")


def test_an_api_whose_process_dies_is_refused_and_no_reason_overrides(root: Path) -> None:
    toy.edit(
        root,
        "nodes",
        "    score = model",
        '    if len(batch["x"]) == 1:\n        import os\n        os._exit(3)\n    score = model',
    )
    assert str(refused(root, because="please")).startswith(
        "release 1 expected a candidate that loads from its own snapshot and answers, got "
        "its process ended with exit status 3 - at candidate `"
    )


def test_an_api_that_does_not_come_back_is_given_up(root: Path) -> None:
    toy.edit(
        root,
        "nodes",
        "    score = model",
        '    if len(batch["x"]) == 1:\n        import time\n        time.sleep(600)\n    score = model',
    )
    (root / "asked.jsonl").write_text('{"x": 1.0}\n')
    toy.edit(root, "nodes", 'fn.owner("toy-team")', 'fn.owner("toy-team"), fn.golden("asked.jsonl")')
    here, candidate = staged(root)
    with (
        tempfile.TemporaryDirectory() as folder,
        HostProcess(here.store, candidate, Path(folder) / "one") as host,
    ):
        assert host.loaded() is None
        host.patience_s = 0.2
        host.ask(Rehearse({}))
        with pytest.raises(ChildEnded, match=r"^no answer within 0\.2 s$"):
            host.answer(RehearsalResults)
        with pytest.raises(ChildEnded, match=r"^its process ended with signal 9$"):
            host.answer(RehearsalResults)


def test_a_host_whose_parent_is_gone_ends_in_the_middle_of_its_work(root: Path, tmp_path: Path) -> None:
    here, candidate = staged(root)
    golden = here.store.blobs.put_bytes(b"rows")
    pipe = toy.never_read(here, golden)
    with HostProcess(here.store, candidate, tmp_path / "one", golden=(golden,)) as host, read_for_ever(pipe):
        host._child.close_input()
        assert host._child.wait(120)
        assert host._child.status == 0


def test_a_candidate_whose_code_fails_at_import_does_not_load(root: Path) -> None:
    toy.edit(
        root,
        "nodes",
        '"""One source',
        'import sys\nassert "funade.release.host_process" not in sys.argv[0] + str(sys.orig_argv)\n"""One source',
    )
    error = refused(root, because="please")
    (found,) = failing(error)
    assert found.check == "loads"
    assert (found.got, found.at) == (
        "module `toy.nodes` expected to be imported, got AssertionError",
        "toy/nodes.py:2",
    )
    assert "nodes.py" in str(error.facts["traceback"])


def test_what_an_api_prints_disturbs_nobody(root: Path) -> None:
    toy.edit(root, "nodes", "    score = model", '    print("{", flush=True)\n    score = model')
    released(root)


def test_an_api_that_nothing_evaluates_has_no_golden_rows_and_says_so(root: Path) -> None:
    start = toy.NODES.index("@fn.evaluation(")
    toy.edit(root, "nodes", toy.NODES[start:], "")
    _, judged = released(root)
    assert told(judged, "golden") == [("golden rows of `judge`", "no golden rows", True)]
    assert judged.golden == {}


# -- back ------------------------------------------------------------------------------------------


def test_a_release_that_no_longer_answers_as_it_did_is_not_rolled_back_to(root: Path) -> None:
    toy.edit(root, "nodes", 'fn.may_rise(mae="5%"), ', "")
    first, judged = released(root)
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.00000000001")
    released(root)
    here = toy.project(root)
    assert reproduce(first, here.store) is None
    golden = msgspec.json.decode(here.store.blobs.read(judged.golden["judge"]), type=GoldenRows)
    answers = [{"score": -1.0, "high": True}, *golden.answers[1:]]
    other = here.store.blobs.put_bytes(msgspec.json.encode(msgspec.structs.replace(golden, answers=answers)))
    assert reproduce(msgspec.structs.replace(first, golden={"judge": other}), here.store) == Difference(
        f"api `judge` expected {{'score': -1.0, 'high': True}} for golden row 0, got {golden.answers[0]}", loads=True
    )
    path = here.store.blobs.path(first.golden["judge"])
    path.chmod(0o644)
    path.unlink()
    with pytest.raises(RollbackRefused, match=r"^release 1 expected to load, got: blob `.*; run: funade fsck$"):
        here.rollback(because="no reason makes it load")
