# ruff: noqa: E501 - a message is asserted whole, on one line
from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import msgspec
import pytest

from funade import points
from funade.declare.spec import Edge, Spec
from funade.declare.window import Interval, Window
from funade.errors import Misuse, RollbackRefused, StoreError, SwitchLost, UnknownVersion
from funade.store.ports.metadata import Metadata
from funade.store.records import (
    Artifact,
    Candidate,
    CheckRecord,
    Finding,
    Hold,
    RowSet,
    Switch,
)  # fmt: skip
from support import commit_points
from support.records import NOW, build, candidate, named, release, revision, ship

# -- loads -----------------------------------------------------------------------------------------


def test_a_revision_gets_the_next_number_of_the_whole_store(metadata: Metadata) -> None:
    first = metadata.add_revision(revision(0, "a"))
    other = metadata.add_revision(revision(0, "a", source="zones"))
    assert (first and first.sequence, other and other.sequence) == (1, 2)


def test_a_revision_with_the_same_bytes_as_the_latest_is_not_added(metadata: Metadata) -> None:
    metadata.add_revision(revision(0, "a"))
    assert metadata.add_revision(revision(0, "a")) is None
    assert metadata.add_revision(revision(0, "a", bad="b")) is not None
    assert metadata.add_revision(revision(0, "a")) is not None
    assert [r.sequence for r in metadata.all_revisions("rides")] == [1, 2, 3]


def test_revisions_up_to_a_number_are_the_latest_of_each_period_by_then(metadata: Metadata) -> None:
    chance = random.Random(7)
    loads = [(chance.choice(["rides", "zones"]), chance.randrange(4), chance.choice("ab")) for _ in range(60)]
    kept = [r for source, day, digest in loads if (r := metadata.add_revision(revision(day, digest, source)))]
    for up_to in (None, *range(len(kept) + 1)):
        most = len(kept) if up_to is None else up_to
        seen = {r.period: r for r in kept if r.source == "rides" and r.sequence <= most}
        assert metadata.revisions("rides", up_to=up_to) == sorted(seen.values(), key=lambda r: r.start)
    assert metadata.all_revisions() == kept


def test_revisions_come_in_order_of_time_not_of_loading(metadata: Metadata) -> None:
    for day in (400, 0, 30):
        metadata.add_revision(revision(day, "a"))
    assert [r.period for r in metadata.revisions("rides")] == ["2022-01-01", "2022-01-31", "2023-02-05"]


# -- versions --------------------------------------------------------------------------------------


def test_a_version_is_read_as_it_was_written(metadata: Metadata) -> None:
    whole = named(
        "ab12",
        inputs={"settled": "5" * 64},
        artifact=Artifact("frame", {"rows.parquet": "d" * 64}, 3, {"x": "double"}),
        end=NOW,
        reach=NOW,
        fits=(RowSet("settled", "5" * 64, Interval(None, NOW), reach=NOW, key=("ride_id",)),),
        metrics={"mae": 3.1, "gain": None},
        judged_rows=200,
        sequence=7,
    )
    assert metadata.add_version(whole, build("b1")) == whole
    assert metadata.version(whole.id) == whole
    assert metadata.version("0" * 64) is None
    assert metadata.builds("eta") == [build("b1", version=whole.id)]


def test_the_first_of_two_builds_of_one_recipe_wins_and_both_are_recorded(metadata: Metadata) -> None:
    first, second = named("ab12", build="b1"), named("ab12", build="b2", metrics={"mae": 9.0})
    metadata.add_version(first, build("b1"))
    assert metadata.add_version(second, build("b2")) == first
    assert metadata.versions() == [first]
    assert [b.id for b in metadata.builds("eta")] == ["b1", "b2"]


def test_a_failed_build_is_kept_without_a_version(metadata: Metadata) -> None:
    metadata.add_build(build("b1", version="e" * 64, state="failed"))
    metadata.add_build(build("b2", node="limit"))
    assert [b.state for b in metadata.builds("eta")] == ["failed"]
    assert len(metadata.builds()) == 2
    assert metadata.versions() == []


def test_versions_are_listed_newest_last(metadata: Metadata) -> None:
    for id in ("ff", "aa", "cc"):
        metadata.add_version(named(id))
    metadata.add_version(named("bb", node="limit"))
    assert [v.id[:2] for v in metadata.versions("eta")] == ["ff", "aa", "cc"]
    assert metadata.has_versions([named("aa").id, named("bb").id, "9" * 64]) == {named("aa").id, named("bb").id}
    assert metadata.has_versions([]) == set()


def test_a_version_is_found_by_its_node_and_four_digits_or_by_digits_alone(metadata: Metadata) -> None:
    version = metadata.add_version(named("ab12cd"))
    for text in ("eta@ab12", "eta@AB12CD", "ab12", version.id, f"eta@{version.id}"):
        assert metadata.find(text) == version


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("etta@ab12", "UnknownVersion: version `etta@ab12` expected a node that has versions, got none named `etta`; did you mean `eta`?"),
        ("zone@ab12", "UnknownVersion: version `zone@ab12` expected a node that has versions, got none named `zone`; see them: funade status"),
        ("eta@ffff", "UnknownVersion: version `eta@ffff` expected an id that exists, got none; the newest are eta@ab12ce, eta@ab12cd"),
        ("ffff", "UnknownVersion: version `ffff` expected an id that exists, got none; the newest are limit@ab12cf, eta@ab12ce, eta@ab12cd"),
        ("eta@ab12", "Misuse: version `eta@ab12` expected to fit one version, got `eta@ab12cd`, `eta@ab12ce`; write more of its digits"),
        ("ab12", "Misuse: version `ab12` expected to fit one version, got `eta@ab12cd`, `eta@ab12ce` and 1 more; write more of its digits"),
        ("eta@ab1", "Misuse: version expected node@ and at least 4 hex digits, got `eta@ab1`; see them: funade compare NODE"),
        ("eta", "Misuse: version expected node@ and at least 4 hex digits, got `eta`; see them: funade compare NODE"),
        ("eta@latest", "Misuse: version expected node@ and at least 4 hex digits, got `eta@latest`; see them: funade compare NODE"),
        ("%_%_@ab12' OR 1", "Misuse: version expected node@ and at least 4 hex digits, got `%_%_@ab12' OR 1`; see them: funade compare NODE"),
    ],
)  # fmt: skip
def test_a_name_that_fits_no_version_or_two_is_refused(metadata: Metadata, text: str, message: str) -> None:
    for version in (named("ab12cd"), named("ab12ce"), named("ab12cf", node="limit")):
        metadata.add_version(version)
    with pytest.raises(Misuse) as refused:
        metadata.find(text)
    assert refused.value.line() == message
    assert isinstance(refused.value, UnknownVersion) == message.startswith("Unknown")


def test_two_long_ids_are_told_apart_by_as_many_digits_as_it_takes(metadata: Metadata) -> None:
    metadata.add_version(named("ab12ab12ab1"))
    metadata.add_version(named("ab12ab12ab2"))
    with pytest.raises(Misuse, match="got `eta@ab12ab12ab1`, `eta@ab12ab12ab2`;"):
        metadata.find("ab12")


def test_the_checks_of_a_version_are_kept_once_per_policies(metadata: Metadata) -> None:
    version = metadata.add_version(named("aa"))
    good = CheckRecord(version.id, "p1", (Finding("within", "x in [0, 1]", "all", True),), NOW)
    metadata.add_checked(good)
    metadata.add_checked(msgspec.structs.replace(good, findings=()))
    metadata.add_checked(msgspec.structs.replace(good, policies="p2"))
    assert metadata.checked(version.id, "p1") == good
    assert metadata.checked(version.id, "p3") is None
    assert [c.policies for c in metadata.checks_of(version.id)] == ["p1", "p2"]


# -- staging and releases --------------------------------------------------------------------------


def test_a_newer_hold_ends_an_older_of_its_node(metadata: Metadata) -> None:
    a, b = metadata.add_version(named("aa")), metadata.add_version(named("bb"))
    other = metadata.add_version(named("cc", node="limit"))
    limit, newer = Hold("limit", other.id, {"eta": a.id}, NOW), Hold("eta", b.id, {}, NOW)
    for hold in (limit, Hold("eta", a.id, {}, NOW), newer):
        metadata.hold(hold)
    assert list(metadata.holds().items()) == [("eta", newer), ("limit", limit)]
    assert metadata.unhold("eta")
    assert not metadata.unhold("eta")
    assert metadata.holds() == {"limit": limit}


def test_a_hold_of_a_version_that_is_not_there_changes_nothing(metadata: Metadata) -> None:
    a = metadata.add_version(named("aa"))
    metadata.hold(Hold("eta", a.id, {}, NOW))
    with pytest.raises(StoreError, match=r"^store expected a record that fits the others, got"):
        metadata.hold(Hold("eta", "f" * 64, {}, NOW))
    assert metadata.holds()["eta"].version == a.id


def test_checks_of_a_version_that_is_not_there_and_a_build_of_a_known_id_are_refused(metadata: Metadata) -> None:
    a = metadata.add_version(named("aa"), build("b1"))
    with pytest.raises(StoreError):
        metadata.add_checked(CheckRecord("f" * 64, "p", (), NOW))
    with pytest.raises(StoreError):
        metadata.add_version(named("bb"), build("b1"))
    assert metadata.checks_of() == []
    assert (metadata.versions(), len(metadata.builds())) == ([a], 1)


def test_a_record_that_its_maker_changes_later_stays_as_it_was_kept(metadata: Metadata) -> None:
    recipe = {"trees": 200}
    metadata.add_version(msgspec.structs.replace(named("aa"), recipe=recipe))
    recipe["trees"] = 1
    assert [version.recipe for version in metadata.versions()] == [{"trees": 200}]


def test_a_candidate_staged_again_is_the_stored_one_and_the_latest(metadata: Metadata) -> None:
    first, second = candidate("aa", eta="1" * 64), candidate("bb")
    assert metadata.latest_candidate() is None
    metadata.add_candidate(first)
    metadata.add_candidate(second)
    again = metadata.add_candidate(msgspec.structs.replace(first, at=NOW + timedelta(days=1)))
    assert again == first
    assert metadata.latest_candidate() == first
    assert metadata.candidate(second.id) == second
    assert metadata.candidates() == [first, second]


def test_a_candidate_carries_its_graph(metadata: Metadata) -> None:
    spec = Spec(
        "model", "eta", "taxi/eta.py:9", "taxi.eta", "eta", edges=(Edge("rides", "settled", Window(first_days=7)),)
    )
    whole = Candidate("a" * 64, {"eta": "1" * 64}, (spec,), "c" * 64, {"eta": {"trees": 200}}, "Asia/Tokyo", NOW)
    metadata.add_candidate(whole)
    assert metadata.latest_candidate() == whole


def test_a_release_is_numbered_switched_to_and_ends_the_holds_it_ships(metadata: Metadata) -> None:
    a, b = metadata.add_version(named("aa")), metadata.add_version(named("bb", node="limit"))
    metadata.hold(Hold("eta", a.id, {}, NOW))
    metadata.hold(Hold("limit", b.id, {}, NOW))
    of = candidate("11", eta=a.id, limit="7" * 64)
    made = ship(metadata, of, 0, frozenset({"eta", "limit"}))
    assert made == Switch(1, None, 1, "release", NOW, "ann") == metadata.current()
    assert metadata.release(1) == msgspec.structs.replace(release(of), number=1) == metadata.current_release()
    assert metadata.releases() == [metadata.release(1)]
    assert metadata.release(2) is None
    assert list(metadata.holds()) == ["limit"]  # held at another version by now


def test_a_rollback_is_the_same_switch_back(metadata: Metadata) -> None:
    ship(metadata, candidate("11"), 0)
    ship(metadata, candidate("22"), 1)
    back = metadata.switch_to(1, expected_generation=2, who="ben", because="slow")
    assert back == Switch(3, 2, 1, "rollback", NOW, "ben", "slow")
    assert [(s.before, s.after) for s in metadata.switches()] == [(None, 1), (1, 2), (2, 1)]
    with pytest.raises(RollbackRefused) as refused:
        metadata.switch_to(9, expected_generation=3, who="ben", because="")
    assert str(refused.value) == "rollback expected a release, got 9; see them: funade releases"


def everything(metadata: Metadata) -> tuple[object, ...]:
    return metadata.releases(), metadata.switches(), metadata.holds(), metadata.latest_candidate()


def test_a_switch_from_a_release_that_moved_is_lost_and_changes_nothing(metadata: Metadata) -> None:
    a = metadata.add_version(named("aa"))
    metadata.hold(Hold("eta", a.id, {}, NOW))
    of = candidate("22", eta=a.id)
    ship(metadata, candidate("11"), 0)
    metadata.add_candidate(of)
    before = everything(metadata)
    with pytest.raises(SwitchLost) as lost:
        ship(metadata, of, 0, frozenset({"eta"}))
    assert str(lost.value) == (
        "release expected generation 0 to be the current one, got 1, release of 1 by ann at 2022-03-01 12:00:00 UTC;"
        " run: funade release"
    )
    with pytest.raises(SwitchLost, match=r"^rollback expected generation 5 to be the current one, got 1, "):
        metadata.switch_to(1, expected_generation=5, who="ann", because="")
    assert everything(metadata) == before


def test_a_release_of_a_candidate_that_is_not_the_latest_any_more_is_lost(metadata: Metadata) -> None:
    metadata.add_candidate(candidate("11"))
    metadata.add_candidate(candidate("22"))
    before = everything(metadata)
    with pytest.raises(SwitchLost) as lost:
        metadata.release_and_switch(
            release(candidate("11")),
            expected_generation=0,
            expected_candidate=candidate("11").id,
            ended_holds=(),
            who="ann",
            because="",
        )
    assert str(lost.value) == "release expected candidate `110000` to be the latest, got `220000`; run: funade release"
    assert everything(metadata) == before


def test_a_crash_inside_a_release_leaves_everything_as_before(
    metadata: Metadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata.add_candidate(candidate("11"))
    before = everything(metadata)

    def stop(point: str) -> None:
        if point == "release.inside":
            raise KeyboardInterrupt

    monkeypatch.setattr(points, "watch", stop)
    with pytest.raises(KeyboardInterrupt):
        ship(metadata, candidate("11"), 0)
    monkeypatch.setattr(points, "watch", None)
    assert everything(metadata) == before
    assert ship(metadata, candidate("11"), 0).generation == 1


def test_of_many_that_switch_at_once_one_does_and_the_others_lose(metadata: Metadata) -> None:
    metadata.add_candidate(candidate("11"))

    def attempt(_: int) -> bool:
        try:
            metadata.release_and_switch(
                release(candidate("11")),
                expected_generation=0,
                expected_candidate=candidate("11").id,
                ended_holds=(),
                who="ann",
                because="",
            )
        except SwitchLost:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1
    assert [s.generation for s in metadata.switches()] == [1] and len(metadata.releases()) == 1


def test_every_commit_point_of_the_records_is_passed(metadata: Metadata, monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[str] = []
    monkeypatch.setattr(points, "watch", passed.append)
    a = metadata.add_version(named("aa"), build("b1"))
    metadata.add_revision(revision(0, "a"))
    metadata.add_checked(CheckRecord(a.id, "p", (), NOW))
    metadata.hold(Hold("eta", a.id, {}, NOW))
    ship(metadata, candidate("11"), 0)
    stages = {"load", "build", "check", "hold", "stage", "release"}
    assert set(passed) == {name for name in commit_points.NAMES if name.split(".")[0] in stages}
