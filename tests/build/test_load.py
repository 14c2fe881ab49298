from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from funade.build.due import PeriodLoad
from funade.clock import frozen
from funade.declare.period import Period
from funade.errors import FunadeError, LoadFailed, Misuse, PlaceMissing, ResultRefused, SettingError
from funade.project.project import Project
from funade.store.records import Revision
from support import toy

NOW = datetime(2022, 1, 6, 12, tzinfo=UTC)

HEAD = """
import json
from datetime import datetime
from pathlib import Path
import pandas as pd
import pyarrow as pa
import funade as fn
"""

FEED = (
    HEAD
    + """
@fn.source(fn.every("1 day", since="2022-01-01"), fn.time("at"), fn.key("row"))
def feed(day: str, folder: Path = fn.place("feed")) -> pa.Table:
    file = folder / f"{day}.json"
    if not file.is_file():
        raise RuntimeError(f"nothing was delivered for {day}")
    rows = json.loads(file.read_text())
    for row in rows:
        if isinstance(row.get("at"), str) and row["at"].startswith("2"):
            row["at"] = datetime.fromisoformat(row["at"])
    return pa.Table.from_pylist(rows)
"""
)


class Feed:
    """A project with one source, and the folder that it reads."""

    def __init__(self, folder: Path, nodes: str = FEED, zone: str = "UTC") -> None:
        self.root, self.folder = folder / "project", folder / "feed"
        toml = toml_of(zone)
        toy.write(self.root, {"funade.toml": toml, "feeds/__init__.py": "", "feeds/nodes.py": nodes})
        self.folder.mkdir()

    def gives(self, day: str, *rows: dict[str, Any]) -> None:
        (self.folder / f"{day}.json").write_text(json.dumps(rows))

    def project(self, now: datetime = NOW) -> Project:
        return Project(self.root, clock=frozen(now), environ={"FUNADE_PLACE_FEED": str(self.folder)})

    def load(self, first: str = "", last: str = "", *, again: bool = False, now: datetime = NOW) -> list[PeriodLoad]:
        here = self.project(now)
        (spec,) = here.graph.of_kind("source")
        return list(here.load(spec, here.periods(spec, first, last, again=again)))

    def revisions(self) -> list[Revision]:
        return self.project().store.metadata.all_revisions()

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.project().rows("feed", form="arrow").to_pylist()
        return found

    def aside(self, revision: Revision) -> list[dict[str, Any]]:
        path = self.project().store.blobs.path(revision.bad_digest)
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
        return found


def toml_of(zone: str) -> str:
    return f'[project]\nname = "feeds"\nmodules = ["feeds"]\ntimezone = "{zone}"\n'


def at(day: str, hour: int = 1) -> str:
    return f"{day}T{hour:02}:00:00"


def row(day: str, name: str = "a", **more: Any) -> dict[str, Any]:
    return {"row": f"{day}/{name}", "at": at(day), "x": 1.0} | more


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    feed = Feed(tmp_path)
    for day in ("2022-01-01", "2022-01-02", "2022-01-03", "2022-01-04", "2022-01-05"):
        feed.gives(day, row(day))
    return feed


def test_a_failure_at_the_third_period_keeps_two_and_the_next_load_brings_the_rest(feed: Feed) -> None:
    (feed.folder / "2022-01-03.json").unlink()
    with pytest.raises(LoadFailed) as failed:
        feed.load()
    assert str(failed.value) == (
        "source `feed` expected rows of 2022-01-03, got RuntimeError: nothing was delivered for 2022-01-03 - at "
        "feeds/nodes.py:9; mend it and run the command again; what is loaded stays"
    )
    assert [r.period for r in feed.revisions()] == ["2022-01-01", "2022-01-02"]
    feed.gives("2022-01-03", row("2022-01-03"))
    assert [done.period for done in feed.load()] == ["2022-01-03", "2022-01-04", "2022-01-05"]
    assert feed.load() == []


def test_the_traceback_of_a_failed_load_shows_the_users_frames_only(feed: Feed) -> None:
    (feed.folder / "2022-01-01.json").write_text("{")
    with pytest.raises(LoadFailed) as failed:
        feed.load()
    told = failed.value.facts["traceback"]
    assert isinstance(told, str)
    assert told.startswith("Traceback (your code, most recent call last):\n")
    assert told.count("File ") == 1 and "feeds/nodes.py" in told and told.rstrip().endswith("(char 1)")


def test_a_period_loaded_again_is_a_new_revision_only_when_its_rows_changed(feed: Feed) -> None:
    feed.load()
    assert [done.revision for done in feed.load(again=True)] == [None] * 5
    feed.gives("2022-01-02", row("2022-01-02", x=2.0))
    changed = [done.period for done in feed.load(again=True) if done.revision]
    assert changed == ["2022-01-02"]
    assert [(r.period, r.sequence) for r in feed.revisions()][-1] == ("2022-01-02", 6)
    assert [r["x"] for r in feed.rows()] == [1.0, 2.0, 1.0, 1.0, 1.0]


def test_a_version_of_a_source_keeps_the_revisions_it_was_made_with(feed: Feed) -> None:
    feed.load()
    (before,) = [b.version for b in feed.project().build("feed")]
    feed.gives("2022-01-01", row("2022-01-01", x=9.0))
    feed.load(again=True)
    (after,) = [b.version for b in feed.project().build("feed")]
    here = feed.project()
    assert before.id != after.id
    assert here.rows("feed", version=before.id, form="columns")["x"][0] == 1.0
    assert here.rows("feed", version=after.id, form="columns")["x"][0] == 9.0


def test_a_revised_period_is_loaded_again_until_its_time_is_over(tmp_path: Path) -> None:
    feed = Feed(tmp_path, FEED.replace('fn.time("at")', 'fn.time("at"), fn.revised("2 days")'))
    for day in ("2022-01-01", "2022-01-02", "2022-01-03", "2022-01-04"):
        feed.gives(day, row(day))
    assert len(feed.load(now=datetime(2022, 1, 4, 12, tzinfo=UTC))) == 3
    feed.gives("2022-01-03", row("2022-01-03", x=5.0))
    again = feed.load(now=datetime(2022, 1, 5, 1, tzinfo=UTC))
    # 2022-01-02 ended 49 hours ago; 2022-01-03 is loaded again and changed; 2022-01-04 is new.
    assert [(done.period, done.revision is not None) for done in again] == [("2022-01-03", True), ("2022-01-04", True)]
    unchanged = feed.load(now=datetime(2022, 1, 5, 1, tzinfo=UTC))
    assert [done.revision for done in unchanged] == [None, None]


def test_bad_rows_are_set_aside_with_the_reason_and_counted(feed: Feed) -> None:
    feed.gives(
        "2022-01-01",
        row("2022-01-01", "good"),
        row("2022-01-01", "late", at=at("2022-01-02")),
        row("2022-01-01", "undated", at=None),
        row("2022-01-01", "good", x=2.0),
        row("2009-01-01", "old"),
    )
    first = feed.load()[0]
    assert (first.rows, first.bad_rows) == (1, 4)
    aside = {r["row"] + f" {r['x']}": r["why"] for r in feed.aside(feed.revisions()[0])}
    assert aside == {
        "2022-01-01/late 1.0": "outside its period",
        "2022-01-01/undated 1.0": "no time",
        "2022-01-01/good 2.0": "key repeated",
        "2009-01-01/old 1.0": "outside its period",
    }


def test_a_good_row_is_not_lost_to_a_bad_one_of_its_key(feed: Feed) -> None:
    feed.gives("2022-01-01", row("2022-01-01", at=at("2021-12-31")), row("2022-01-01", x=7.0))
    assert feed.load()[0].rows == 1
    assert feed.rows()[0]["x"] == 7.0


def test_a_period_of_undated_rows_has_bad_rows_only(feed: Feed) -> None:
    feed.gives("2022-01-01", row("2022-01-01", at=None))
    assert (feed.load()[0].rows, feed.load(again=True)[0].bad_rows) == (0, 1)


def test_a_column_why_of_the_users_own_stands_beside_ours(feed: Feed) -> None:
    feed.gives("2022-01-01", row("2022-01-01", why="because", at=None))
    feed.load("2022-01-01", "2022-01-01")
    (aside,) = feed.aside(feed.revisions()[0])
    assert (aside["why"], aside["why_"]) == ("because", "no time")


def test_only_bad_rows_that_changed_are_a_revision_too(feed: Feed) -> None:
    feed.load()
    feed.gives("2022-01-01", row("2022-01-01"), row("2022-01-01"))
    assert [done.period for done in feed.load(again=True) if done.revision] == ["2022-01-01"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"row": "r", "att": at("2022-01-01")}, "expected a column `at`, got row, att{}; did you mean `att`?"),
        ({"at": at("2022-01-01"), "x": 1}, "expected a column `row`, got at, x{}"),
        ({"row": "r", "at": "1 o'clock"}, "expected times in `at`, got string{}; convert the column to times"),
    ],
)
def test_rows_without_time_or_key_are_refused(feed: Feed, rows: dict[str, Any], message: str) -> None:
    feed.gives("2022-01-01", rows)
    with pytest.raises(ResultRefused) as refused:
        feed.load()
    assert str(refused.value) == f"source `feed` {message.format(' - at feed 2022-01-01')}"
    assert feed.revisions() == []


SAME = "give every period the same columns, or load all again: funade load feed --again"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (row("2022-01-03", y=1), "source `feed` expected the columns loaded before, got new y"),
        ({"row": "r", "at": at("2022-01-03")}, "source `feed` expected the columns loaded before, got no x"),
        (row("2022-01-03", x="one"), "source `feed` expected `x` as double, as loaded before, got string"),
    ],
)
def test_a_period_with_other_columns_is_refused_and_the_rest_stays(
    feed: Feed, rows: dict[str, Any], message: str
) -> None:
    feed.gives("2022-01-03", rows)
    with pytest.raises(ResultRefused) as refused:
        feed.load()
    assert str(refused.value) == f"{message} - at feed 2022-01-03; {SAME}"
    assert [r.period for r in feed.revisions()] == ["2022-01-01", "2022-01-02"]


def test_columns_change_when_every_period_is_loaded_again_and_never_for_some(feed: Feed) -> None:
    feed.load()
    for day in (1, 2, 3, 4, 5):
        feed.gives(f"2022-01-0{day}", row(f"2022-01-0{day}", x="text", y=day))
    with pytest.raises(ResultRefused, match="got new y - at feed 2022-01-02"):
        feed.load("2022-01-02", "2022-01-05", again=True)
    assert len([done for done in feed.load(again=True) if done.revision]) == 5
    assert [(r["x"], r["y"]) for r in feed.rows()] == [("text", day) for day in (1, 2, 3, 4, 5)]


def test_whole_numbers_and_missing_values_go_with_numbers(feed: Feed) -> None:
    feed.gives("2022-01-01", row("2022-01-01", x=None))
    feed.gives("2022-01-02", row("2022-01-02", x=2))
    feed.load()
    assert [r["x"] for r in feed.rows()] == [None, 2.0, 1.0, 1.0, 1.0]


def test_a_period_without_rows_is_loaded_and_need_have_no_columns(feed: Feed) -> None:
    feed.gives("2022-01-01")
    feed.gives("2022-01-04")
    assert [(done.period, done.rows) for done in feed.load()][:2] == [("2022-01-01", 0), ("2022-01-02", 1)]
    assert [r["row"] for r in feed.rows()] == ["2022-01-02/a", "2022-01-03/a", "2022-01-05/a"]


def test_naive_times_are_the_projects_and_are_kept_in_utc(tmp_path: Path) -> None:
    feed = Feed(tmp_path, zone="Asia/Tokyo")
    feed.gives("2022-01-01", row("2022-01-01", at="2022-01-01T08:30:00"))
    (done,) = feed.load(last="2022-01-01")
    assert (done.rows, done.bad_rows) == (1, 0)
    assert feed.rows()[0]["at"] == datetime(2021, 12, 31, 23, 30, tzinfo=UTC)


NEW_YORK = "America/New_York"


def periods_of(tmp_path: Path, rhythm: str, now: datetime, zone: str) -> list[Period]:
    feed = Feed(tmp_path, FEED.replace('fn.every("1 day", since="2022-01-01")', f"fn.every({rhythm})"), zone)
    here = feed.project(now)
    return here.periods(here.graph["feed"])


@pytest.mark.parametrize(
    ("rhythm", "now", "zone", "count", "last", "hours"),
    [
        ('"1 hour", since="2022-03-13"', datetime(2022, 3, 14, 4), NEW_YORK, 23, "2022-03-13T23", {1}),
        ('"1 hour", since="2022-11-06"', datetime(2022, 11, 7, 5), NEW_YORK, 24, "2022-11-06T23", {1, 2}),
        ('"1 day", since="2022-03-12"', datetime(2022, 3, 15, 4), NEW_YORK, 3, "2022-03-14", {24, 23}),
        ('"1 day", since="2022-11-05"', datetime(2022, 11, 8, 5), NEW_YORK, 3, "2022-11-07", {24, 25}),
        ('"1 day", since="2021-12-30"', datetime(2022, 1, 2, 15), "Asia/Tokyo", 4, "2022-01-02", {24}),
        ('"1 week", since="2020-12-21"', datetime(2021, 1, 11), "UTC", 3, "2021-01-04", {168}),
        ('"1 month", since="2021-11-01"', datetime(2022, 3, 1), "UTC", 4, "2022-02", {30 * 24, 31 * 24, 28 * 24}),
        ('"1 month", since="2024-02-01"', datetime(2024, 3, 1), "UTC", 1, "2024-02", {29 * 24}),
    ],
)
def test_drill_S5_periods_follow_each_other_over_clock_changes_week_53_and_new_year(
    tmp_path: Path, rhythm: str, now: datetime, zone: str, count: int, last: str, hours: set[int]
) -> None:
    end = now.replace(tzinfo=UTC)
    periods = periods_of(tmp_path, rhythm, end, zone)
    assert (len(periods), periods[-1].name, periods[-1].end) == (count, last, end)
    assert {(p.end - p.start) / timedelta(hours=1) for p in periods} == hours
    assert all(a.end == b.start for a, b in pairwise(periods))


def test_drill_S5_every_row_of_a_week_over_new_year_lies_in_one_period(tmp_path: Path) -> None:
    nodes = HEAD + (
        '@fn.source(fn.every("1 week", since="2020-12-21"), fn.time("at"), fn.key("at"))\n'
        "def feed(week: str) -> pd.DataFrame:\n"
        '    return pd.DataFrame({"at": pd.date_range(week, periods=7 * 24, freq="1h")})\n'
    )
    feed = Feed(tmp_path, nodes, "Asia/Tokyo")
    done = feed.load(now=datetime(2021, 1, 11, tzinfo=UTC))
    assert [(d.period, d.rows, d.bad_rows) for d in done] == [
        ("2020-12-21", 168, 0),
        ("2020-12-28", 168, 0),
        ("2021-01-04", 168, 0),
    ]
    assert len({r["at"] for r in feed.rows()}) == 3 * 168


def test_a_day_of_23_and_one_of_25_hours_lose_no_row(tmp_path: Path) -> None:
    nodes = HEAD + (
        '@fn.source(fn.every("1 day", since="2022-03-12"), fn.time("at"), fn.key("at"))\n'
        "def feed(day: str) -> pd.DataFrame:\n"
        '    start = pd.Timestamp(day, tz="America/New_York")\n'
        "    end = start + pd.DateOffset(days=1)\n"
        '    return pd.DataFrame({"at": pd.date_range(start, end, freq="1h", inclusive="left")})\n'
    )
    feed = Feed(tmp_path, nodes, "America/New_York")
    spring = feed.load("2022-03-12", "2022-03-14", now=datetime(2022, 12, 1, tzinfo=UTC))
    autumn = feed.load("2022-11-05", "2022-11-07", now=datetime(2022, 12, 1, tzinfo=UTC))
    assert [d.rows for d in spring + autumn] == [24, 23, 24, 24, 25, 24]
    assert sum(d.bad_rows for d in spring + autumn) == 0


def test_a_period_is_due_at_its_time_of_day_after_its_end(tmp_path: Path) -> None:
    rhythm = '"1 day", since="2022-01-01", at="03:00"'
    feed = Feed(tmp_path, FEED.replace('"1 day", since="2022-01-01"', rhythm), "Asia/Tokyo")
    due = [
        len((here := feed.project(moment)).periods(here.graph["feed"]))
        for moment in (datetime(2022, 1, 1, 17, 59, tzinfo=UTC), datetime(2022, 1, 1, 18, tzinfo=UTC))
    ]
    assert due == [0, 1]


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (("2022-01-02", "2022-01-03"), ["2022-01-02", "2022-01-03"]),
        (("2022-01-04", ""), ["2022-01-04", "2022-01-05"]),
        (("", "2022-01-02"), ["2022-01-01", "2022-01-02"]),
        (("2022-01-05", "2022-01-05"), ["2022-01-05"]),
    ],
)
def test_from_and_to_are_both_included(feed: Feed, between: tuple[str, str], expected: list[str]) -> None:
    assert [done.period for done in feed.load(*between)] == expected
    assert feed.load(*between) == []
    assert [done.period for done in feed.load(*between, again=True)] == expected


@pytest.mark.parametrize(
    ("between", "message"),
    [
        (("2022-01-03", "2022-01-02"), "periods expected the earlier first, got --from 2022-01-03 --to 2022-01-02"),
        (("2022-01", ""), "period of 1 day expected a name like 2022-03-01, got '2022-01'"),
        (
            ("", "2022-01-06"),
            "periods expected an end before 2022-01-06 12:00 UTC, got --to 2022-01-06; load it when it has ended",
        ),
    ],
)
def test_periods_that_cannot_be_loaded_are_refused(feed: Feed, between: tuple[str, str], message: str) -> None:
    with pytest.raises(Misuse) as refused:
        feed.load(*between)
    assert str(refused.value) == message


def test_a_source_gets_its_settings_and_a_misspelt_one_is_refused(tmp_path: Path) -> None:
    nodes = FEED.replace('fn.place("feed"))', 'fn.place("feed"), scale: float = 1.0)').replace(
        "    return pa", '    for r in rows: r["x"] = scale\n    return pa'
    )
    feed = Feed(tmp_path, nodes)
    feed.gives("2022-01-01", row("2022-01-01"))
    toml = feed.root / "funade.toml"
    text = toml.read_text()
    toml.write_text(text + "[settings.feed]\nscale = 3\n")
    feed.load(last="2022-01-01")
    assert feed.rows()[0]["x"] == 3.0
    toml.write_text(text + "[settings.feed]\nscael = 3\n")
    with pytest.raises(SettingError, match=r"source `feed` takes no setting `scael` .*; did you mean `scale`\?"):
        feed.load(again=True)


def test_a_secret_reaches_the_function_and_no_record(tmp_path: Path) -> None:
    nodes = FEED.replace('fn.place("feed"))', 'fn.place("feed"), key: fn.Secret = fn.secret("FEED_KEY"))').replace(
        "    rows =", '    assert key.reveal() == "open sesame"\n    rows ='
    )
    feed = Feed(tmp_path, nodes)
    feed.gives("2022-01-01", row("2022-01-01"))
    with pytest.raises(PlaceMissing, match="source `feed` expected a secret `FEED_KEY`, got none"):
        feed.load(last="2022-01-01")
    here = feed.project()
    here.environ = {**here.environ, "FEED_KEY": "open sesame"}
    spec = here.graph["feed"]
    assert len(list(here.load(spec, here.periods(spec, last="2022-01-01")))) == 1
    list(here.build())
    files = [f for f in here.store.local.rglob("*") if f.is_file()]
    assert files and not any(b"open sesame" in f.read_bytes() for f in files)


def test_an_edited_query_makes_no_period_stale_and_status_says_which_it_did_not_load(feed: Feed) -> None:
    feed.load(last="2022-01-03")
    list(feed.project().build())
    before = feed.project().status()[0]
    toy.edit(feed.root, "nodes", "rows = json", "rows = [] or json")
    after = feed.project().status()[0]
    assert (before.version, before.why) == (after.version, ())
    assert after.why == (
        "3 periods (2022-01-01 to 2022-01-03) loaded by other code; to load again: funade load feed --again",
    )
    assert feed.project().periods(feed.project().graph["feed"], last="2022-01-03") == []


def test_what_a_source_may_not_return_is_said(feed: Feed) -> None:
    toy.edit(feed.root, "nodes", "    return pa.Table.from_pylist(rows)", "    return rows")
    with pytest.raises(FunadeError) as refused:
        feed.load()
    assert str(refused.value).startswith("source `feed` expected") and str(refused.value).count("\n") == 0
