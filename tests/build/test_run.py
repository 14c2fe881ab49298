from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funade.build.run import Built
from funade.clock import frozen
from funade.errors import BuildFailed, CheckFailed, FunadeError, NotBuilt, ResultRefused, WindowEmpty
from funade.project.project import Project
from funade.store.records import Build, RowSet, Version
from support import toy

HEAD = """
import json, logging, sys
from pathlib import Path
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import funade as fn


class Mean:
    def __init__(self, value, where="memory"):
        self.value, self.where = value, where
    def save(self, folder: Path) -> None:
        (folder / "mean.json").write_text(json.dumps(self.value))
    @classmethod
    def load(cls, folder: Path) -> "Mean":
        return cls(json.loads((folder / "mean.json").read_text()), "store")

"""

HOURS = """
@fn.source(fn.every("1 day", since="2022-03-01"), fn.time("at"), fn.key("row"))
def hours(day: str) -> pd.DataFrame:
    start = pd.Timestamp(day, tz="America/New_York")
    at = pd.date_range(start, start + pd.DateOffset(days=1), freq="1h", inclusive="left")
    local = at.strftime("%Y-%m-%dT%H")
    return pd.DataFrame({"row": local + at.strftime("%z"), "at": at, "day": at.day, "x": at.hour * 1.0})
"""

NOW = datetime(2022, 3, 21, 12, tzinfo=UTC)


def project(root: Path, nodes: str = "", now: datetime = NOW) -> Project:
    """A project in New York whose one source has a row for each hour; ``nodes`` come after it."""
    if nodes:
        toml = toy.TOML.replace("toy", "hourly").replace("Asia/Tokyo", "America/New_York")
        toy.write(root, {"funade.toml": toml, "hourly/__init__.py": "", "hourly/nodes.py": HEAD + HOURS + nodes})
    return Project(root, clock=frozen(now), environ={})


def load(here: Project, last: str = "") -> None:
    for spec in here.graph.of_kind("source"):
        list(here.load(spec, here.periods(spec, last=last)))


def build(here: Project, *names: str) -> dict[str, Version]:
    return {b.version.node: b.version for b in here.build(*names)}


def made(root: Path, nodes: str) -> tuple[Project, dict[str, Version]]:
    here = project(root, nodes)
    load(here)
    return here, build(here)


def rows(here: Project, node: str) -> dict[str, Any]:
    found: dict[str, Any] = here.rows(node, form="columns")
    return found


# -- windows ---------------------------------------------------------------------------------------

WINDOWED = """
@fn.dataset(hours=hours.{window})
def chosen(hours: pa.Table) -> pa.Table:
    return hours
"""


@pytest.mark.parametrize(
    ("window", "first", "last", "count"),
    [
        ("last(days=1)", "2022-03-20T00", "2022-03-20T23", 24),
        ("last(days=8)", "2022-03-13T00", "2022-03-20T23", 8 * 24 - 1),
        ("between(days=(8, 7))", "2022-03-13T00", "2022-03-13T23", 23),
        ("between(days=(9, 8))", "2022-03-12T00", "2022-03-12T23", 24),
        ("before(days=7)", "2022-03-01T00", "2022-03-13T23", 13 * 24 - 1),
        ('between("2022-03-13", "2022-03-14")', "2022-03-13T00", "2022-03-13T23", 23),
    ],
)
def test_a_window_counts_calendar_days_of_the_project_back_from_the_end_of_the_last_period(
    tmp_path: Path, window: str, first: str, last: str, count: int
) -> None:
    # On 13 March 2022 New York's clocks were put forward: that day has 23 hours.
    here, _ = made(tmp_path, WINDOWED.format(window=window))
    found = rows(here, "chosen")["row"]
    assert (found[0][:13], found[-1][:13], len(found)) == (first, last, count)


def test_the_end_is_the_last_periods_and_not_the_largest_value_found(tmp_path: Path) -> None:
    here, versions = made(
        tmp_path,
        """
@fn.dataset(hours=hours)
def mornings(hours: pd.DataFrame) -> pd.DataFrame:
    return hours[hours["x"] < 6]

@fn.dataset(mornings=mornings.last(days=1))
def chosen(mornings: pa.Table) -> pa.Table:
    return mornings
""",
    )
    end = datetime(2022, 3, 21, 4, tzinfo=UTC)
    assert [versions[n].end for n in ("hours", "mornings", "chosen")] == [end, end, end]
    assert list(rows(here, "chosen")["x"]) == [0, 1, 2, 3, 4, 5]


def test_with_two_windowed_inputs_both_count_back_from_the_earlier_end(tmp_path: Path) -> None:
    nodes = """
@fn.source(fn.every("1 day", since="2022-03-01"), fn.time("at"))
def late(day: str) -> pd.DataFrame:
    return pd.DataFrame({"at": [pd.Timestamp(day)], "y": [int(day[-2:])]})

@fn.dataset(fn.time("at"), hours=hours.last(days=1), late=late.last(days=2))
def both(hours: pd.DataFrame, late: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"at": late["at"], "y": late["y"], "day": hours["day"].iloc[0]})
"""
    here = project(tmp_path, nodes)
    for name, last in (("hours", ""), ("late", "2022-03-10")):
        spec = here.graph[name]
        list(here.load(spec, here.periods(spec, last=last)))
    versions = build(here)
    assert versions["both"].end == versions["late"].end == datetime(2022, 3, 11, 5, tzinfo=UTC)
    assert list(rows(here, "both")["y"]) == [9, 10] and set(rows(here, "both")["day"]) == {10}


def test_an_empty_window_is_refused_and_says_how_far_the_data_goes(tmp_path: Path) -> None:
    here = project(tmp_path, WINDOWED.format(window="before(days=30)"))
    load(here)
    with pytest.raises(WindowEmpty) as refused:
        build(here)
    source = here.plan()["hours"].version[:6]
    assert str(refused.value) == (
        "dataset `chosen`: `hours` expected rows of `hours` before the last 30 days, got none - at "
        f"hours@{source}, which ends at 2022-03-21 04:00:00+00:00; load more periods, or widen the window"
    )


def test_days_are_not_counted_back_from_rows_that_end_nowhere(tmp_path: Path) -> None:
    nodes = """
@fn.dataset(fn.time("at"))
def calendar() -> pd.DataFrame:
    return pd.DataFrame({{"at": pd.date_range("2022-01-01", periods=60, tz="UTC")}})

@fn.dataset(calendar=calendar.{window})
def chosen(calendar: pa.Table) -> pa.Table:
    return calendar
"""
    here = project(tmp_path / "by_days", nodes.format(window="last(days=7)"))
    with pytest.raises(ResultRefused, match="dataset `calendar` expected an end that days count back from, got none"):
        build(here, "chosen")
    here = project(tmp_path / "by_dates", nodes.format(window='between("2022-01-10", "2022-01-12")'))
    build(here, "chosen")
    assert len(rows(here, "chosen")["at"]) == 2


def test_a_time_column_that_did_not_survive_is_refused_under_a_window(tmp_path: Path) -> None:
    nodes = """
@fn.dataset(hours=hours)
def undated(hours: pd.DataFrame) -> pd.DataFrame:
    return hours[["x"]]

@fn.dataset(undated=undated.last(days=1))
def chosen(undated: pa.Table) -> pa.Table:
    return undated
"""
    here = project(tmp_path, nodes)
    load(here)
    with pytest.raises(ResultRefused, match="dataset `undated` expected a time column under a window, got none"):
        build(here)
    assert here.store.metadata.versions("undated")[0].time == ""


@pytest.mark.parametrize(("policy", "column"), [('fn.time("moment")', "moment"), ('fn.key("row", "line")', "line")])
def test_a_declared_time_or_key_must_be_among_the_columns(tmp_path: Path, policy: str, column: str) -> None:
    here = project(tmp_path, WINDOWED.format(window="last(days=1)").replace("dataset(", f"dataset({policy}, "))
    load(here)
    with pytest.raises(ResultRefused, match=f"dataset `chosen` expected a column `{column}`, got row, at, day, x"):
        build(here)


def test_time_and_key_are_inherited_from_one_input_while_their_columns_survive(tmp_path: Path) -> None:
    nodes = """
@fn.dataset(hours=hours)
def same(hours: pa.Table) -> pa.Table:
    return hours

@fn.dataset(hours=hours)
def keyless(hours: pa.Table) -> pa.Table:
    return hours.drop_columns(["row"])

@fn.dataset(hours=hours, same=same)
def of_two(hours: pa.Table, same: pa.Table) -> pa.Table:
    return hours
"""
    _, versions = made(tmp_path, nodes)
    told = {n: (v.time, v.key) for n, v in versions.items() if n != "hours"}
    assert told == {"same": ("at", ("row",)), "keyless": ("at", ()), "of_two": ("", ())}


# -- what functions are given and give -------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "take"),
    [
        ("pd.DataFrame", "hours[hours['x'] < 2]"),
        ("pl.DataFrame", "hours.filter(pl.col('x') < 2)"),
        ("pl.LazyFrame", "hours.filter(pl.col('x') < 2)"),
        ("pa.Table", "hours.filter(pa.compute.less(hours['x'], 2))"),
        ("pa.RecordBatchReader", "hours.read_all().filter(pa.compute.field('x') < 2)"),
        ("duckdb.DuckDBPyRelation", "hours.filter('x < 2')"),
        ("fn.Columns", "{n: v[hours['x'] < 2] for n, v in hours.items()}"),
    ],
)
def test_rows_arrive_and_leave_in_every_form_with_times_in_utc(tmp_path: Path, form: str, take: str) -> None:
    nodes = f"""
import pyarrow.compute
@fn.dataset(fn.rows(1), hours=hours.last(days=2))
def few(hours: {form}) -> {form}:
    return {take}
"""
    here, _ = made(tmp_path, nodes)
    found = rows(here, "few")
    assert list(found["x"]) == [0, 1, 0, 1]
    assert found["at"][0] == np.datetime64("2022-03-19T04:00:00")


def test_a_dataset_that_returns_sql_is_that_query_over_its_inputs_under_their_windows(tmp_path: Path) -> None:
    nodes = '''
@fn.dataset(hours=hours)
def mornings(hours: pd.DataFrame) -> str:
    """Rows before six."""
    assert len(hours) > 400
    return "SELECT * FROM hours WHERE x < 6"

@fn.dataset(fn.unique("day"), recent=mornings.last(days=2), all_hours=hours)
def by_day(recent, all_hours, least: int = 3) -> str:
    return f"""
        SELECT r.day, min(r.at) AS at, sum(r.x) AS total, count(*) AS n, any_value(a.days) AS days
        FROM recent r, (SELECT count(DISTINCT day) AS days FROM all_hours) a
        WHERE r.x >= {least} GROUP BY r.day ORDER BY r.day"""
'''
    here, versions = made(tmp_path, nodes)
    found = here.rows("by_day", form="arrow").to_pylist()
    assert found == [
        {"day": 19, "at": datetime(2022, 3, 19, 7, tzinfo=UTC), "total": 12.0, "n": 3, "days": 20},
        {"day": 20, "at": datetime(2022, 3, 20, 7, tzinfo=UTC), "total": 12.0, "n": 3, "days": 20},
    ]
    assert (versions["mornings"].time, set(versions["by_day"].inputs)) == ("at", {"mornings", "hours"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("'SELECT * FROM huors'", "dataset `few` expected SQL that runs, got Catalog Error: Table with name huors"),
        ("'DROP TABLE hours'", "dataset `few` expected one SELECT, got DROP"),
        ("hours", "dataset `few` expected SQL text, got DataFrame"),
        ("\"SELECT * FROM read_csv('/etc/passwd')\"", "dataset `few` expected SQL that runs, got Permission Error"),
    ],
)
def test_sql_that_cannot_be_run_is_refused(tmp_path: Path, body: str, message: str) -> None:
    here = project(tmp_path, f"@fn.dataset(hours=hours)\ndef few(hours: pd.DataFrame) -> str:\n    return {body}\n")
    load(here)
    with pytest.raises(ResultRefused) as refused:
        build(here)
    assert str(refused.value).startswith(message) and "hourly/nodes.py" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_everybody_gets_the_stored_object_and_never_the_trainers(tmp_path: Path) -> None:
    nodes = """
@fn.model(hours=hours)
def mean(hours: pd.DataFrame) -> Mean:
    return Mean(float(hours["x"].mean()))

@fn.threshold(mean=mean)
def seen_by_threshold(mean: Mean) -> str:
    return mean.where

@fn.dataset(mean=mean)
def seen_by_dataset(mean: Mean) -> pd.DataFrame:
    return pd.DataFrame({"where": [mean.where]})
"""
    here, _ = made(tmp_path, nodes)
    assert here.artifact("seen_by_threshold") == "store"
    assert list(rows(here, "seen_by_dataset")["where"]) == ["store"]
    assert here.artifact("mean").where == "store"


def test_a_split_parts_groups_and_never_a_group(tmp_path: Path) -> None:
    nodes = """
@fn.dataset(fn.split(by="user", test=0.3))
def users() -> pd.DataFrame:
    return pd.DataFrame({"user": [f"u{i % 40}" for i in range(400)], "y": range(400)})

@fn.dataset(a=users.train, b=users.test)
def parts(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    assert len(a) + len(b) == 400 and not set(a["user"]) & set(b["user"])
    return pd.DataFrame({"train": [a["user"].nunique()], "test": [b["user"].nunique()]})

@fn.model(a=users.train)
def mean(a: pd.DataFrame) -> Mean:
    return Mean(float(a["y"].mean()))
"""
    here = project(tmp_path, nodes)
    versions = build(here, "parts", "mean")
    found = rows(here, "parts")
    assert found["train"][0] + found["test"][0] == 40 and 5 <= found["test"][0] <= 20
    assert [(f.node, f.part) for f in versions["mean"].fits] == [("users", "train")]


def test_a_file_that_a_function_reads_is_part_of_its_code(tmp_path: Path) -> None:
    nodes = """
@fn.dataset(fn.files("words/*.txt"))
def words() -> pd.DataFrame:
    folder = Path(__file__).parents[1] / "words"
    return pd.DataFrame({"word": sorted(p.read_text() for p in folder.glob("*.txt"))})
"""
    toy.write(tmp_path, {"words/a.txt": "ant"})
    before = build(project(tmp_path, nodes), "words")["words"]
    toy.write(tmp_path, {"words/b.txt": "bee"})
    here = project(tmp_path)
    assert here.status()[-1].why == ("code changed: a file or a default value",)
    after = build(here, "words")["words"]
    assert (before.id != after.id, list(rows(here, "words")["word"])) == (True, ["ant", "bee"])
    (tmp_path / "words/b.txt").unlink()
    assert build(project(tmp_path), "words")["words"].id == before.id


# -- reach and fits --------------------------------------------------------------------------------


def test_what_an_encoder_was_fitted_on_reaches_all_that_is_encoded_by_it(tmp_path: Path) -> None:
    nodes = """
@fn.model(hours=hours.last(days=3))
def encoder(hours: pd.DataFrame) -> Mean:
    return Mean(float(hours["x"].mean()))

@fn.dataset(fn.time("at"), encoder=encoder, hours=hours)
def encoded(encoder: Mean, hours: pd.DataFrame) -> pd.DataFrame:
    return hours.assign(z=hours["x"] - encoder.value)

@fn.model(rows=encoded.before(days=10))
def late(rows: pd.DataFrame) -> Mean:
    return Mean(float(rows["z"].mean()))
"""
    _, versions = made(tmp_path, nodes)
    end = datetime(2022, 3, 21, 4, tzinfo=UTC)
    assert versions["encoder"].reach == versions["encoded"].reach == end
    assert versions["encoded"].fits == versions["encoder"].fits
    # `late` takes early rows only, but they were encoded by what saw the last day.
    own = next(f for f in versions["late"].fits if f.node == "encoded")
    assert own.interval is not None and own.interval.end == datetime(2022, 3, 11, 5, tzinfo=UTC)
    assert (own.reach, versions["late"].reach) == (end, end)
    assert {f.node for f in versions["late"].fits} == {"encoded", "hours"}


def test_a_rule_has_seen_no_row_and_hides_no_reach(tmp_path: Path) -> None:
    nodes = """
@fn.model()
def rule() -> Mean:
    return Mean(3.0)

@fn.threshold(rule=rule, hours=hours.before(days=7))
def limit(rule: Mean, hours: pd.DataFrame) -> float:
    return float((hours["x"] > rule.value).mean())

@fn.dataset(fn.time("at"), rule=rule, hours=hours)
def marked(rule: Mean, hours: pd.DataFrame) -> pd.DataFrame:
    return hours.assign(high=hours["x"] > rule.value)
"""
    _, versions = made(tmp_path, nodes)
    assert (versions["rule"].reach, versions["rule"].fits) == (None, ())
    assert versions["limit"].reach == datetime(2022, 3, 14, 4, tzinfo=UTC)
    assert versions["marked"].reach == versions["hours"].end
    fit = versions["limit"].fits[0]
    assert isinstance(fit, RowSet) and (fit.node, fit.key) == ("hours", ("row",))


# -- logs and failures -----------------------------------------------------------------------------


def last_build(here: Project, node: str) -> Build:
    return here.store.metadata.builds(node)[-1]


def test_what_a_function_prints_and_logs_is_kept_with_its_build(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nodes = """
@fn.dataset()
def words() -> pd.DataFrame:
    print("printed")
    print("complained", file=sys.stderr)
    logging.getLogger("mine").warning("logged")
    return pd.DataFrame({"a": [1]})
"""
    here = project(tmp_path, nodes)
    build(here, "words")
    assert here.store.blobs.read(last_build(here, "words").log) == b"printed\ncomplained\nlogged\n"
    assert capfd.readouterr() == ("", "")


FAILING = """
def deeper(rows):
    print("about to fail")
    return rows["minutes"]

@fn.dataset(hours=hours)
def broken(hours: pd.DataFrame) -> pd.DataFrame:
    return deeper(hours)

@fn.dataset(broken=broken)
def after(broken: pa.Table) -> pa.Table:
    return broken
"""


def test_failing_code_shows_the_users_frames_and_is_kept_as_a_failed_build(tmp_path: Path) -> None:
    here = project(tmp_path, FAILING)
    load(here)
    with pytest.raises(BuildFailed) as failed:
        build(here)
    assert str(failed.value).startswith("dataset `broken` expected to be built, got KeyError: 'minutes' - at hourly/")
    told = failed.value.facts["traceback"]
    assert isinstance(told, str)
    assert told.count("File ") == 2 and "in broken" in told and "in deeper" in told and "site-packages" not in told
    kept = last_build(here, "broken")
    assert (kept.state, kept.error) == ("failed", "KeyError: 'minutes'")
    assert here.store.blobs.read(kept.log) == b"about to fail\n"
    assert here.store.metadata.versions("broken") == [] == here.store.metadata.builds("after")


def test_after_a_failure_the_build_goes_on_where_it_stopped(tmp_path: Path) -> None:
    here = project(tmp_path, FAILING)
    load(here)
    with pytest.raises(BuildFailed):
        build(here)
    toy.edit(tmp_path, "nodes", 'rows["minutes"]', 'rows[["x"]]')
    again = project(tmp_path)
    assert [b.version.node for b in again.build() if b.made] == ["broken", "after"]
    assert [b.state for b in again.store.metadata.builds("broken")] == ["failed", "built"]


@pytest.mark.parametrize(
    ("annotation", "body", "message"),
    [
        ("Mean", "'a text'", "model `m` expected to return `Mean`, got `str`"),
        ("Mean", "None", "model `m` expected to return `Mean`, got `NoneType`"),
        ("dict", "{'a': object()}", "model `m` expected"),
    ],
)
def test_a_model_of_another_class_than_annotated_is_refused(
    tmp_path: Path, annotation: str, body: str, message: str
) -> None:
    here = project(tmp_path, f"@fn.model()\ndef m() -> {annotation}:\n    return {body}\n")
    with pytest.raises(FunadeError) as refused:
        build(here, "m")
    assert str(refused.value).startswith(message)
    assert last_build(here, "m").state == "failed"


def test_a_function_that_ends_the_process_is_a_failed_build(tmp_path: Path) -> None:
    here = project(tmp_path, "@fn.dataset()\ndef d() -> pd.DataFrame:\n    sys.exit(3)\n")
    with pytest.raises(BuildFailed, match="got SystemExit: 3"):
        build(here, "d")


# -- checks ----------------------------------------------------------------------------------------

CHECKED = """
@fn.dataset(fn.within("x", 0, 22), hours=hours.last(days=1))
def day(hours: pa.Table) -> pa.Table:
    return hours

@fn.dataset(day=day)
def below(day: pa.Table) -> pa.Table:
    return day
"""


def test_a_check_that_fails_stops_dependents_and_nothing_is_made_again(tmp_path: Path) -> None:
    here = project(tmp_path, CHECKED)
    load(here)
    for _ in range(2):
        with pytest.raises(CheckFailed) as failed:
            build(here)
        assert str(failed.value).startswith(
            "dataset `day` expected `x` in [0, 22], got 1 bad row (first: 23) - at day@"
        )
    metadata = here.store.metadata
    assert (len(metadata.builds("day")), metadata.versions("below")) == (1, [])
    assert len(metadata.checks_of()) == 1


def test_a_check_is_made_anew_when_its_policy_changes_and_the_version_is_not(tmp_path: Path) -> None:
    here = project(tmp_path, CHECKED)
    load(here)
    with pytest.raises(CheckFailed):
        build(here)
    toy.edit(tmp_path, "nodes", 'fn.within("x", 0, 22)', 'fn.within("x", 0, 23)')
    again = project(tmp_path)
    built: list[Built] = list(again.build())
    assert [b.version.node for b in built if b.made] == ["below"]
    assert [len(again.store.metadata.checks_of(b.version.id)) for b in built if b.version.node == "day"] == [2]
    toy.edit(tmp_path, "nodes", 'fn.within("x", 0, 23)', 'fn.within("x", 0, 9)')
    with pytest.raises(CheckFailed, match="got 14 bad rows"):
        build(project(tmp_path))


# -- in a notebook ---------------------------------------------------------------------------------


def test_a_projects_rows_artifacts_and_queries_are_those_of_the_present_recipe(root: Path) -> None:
    here = toy.project(root)
    with pytest.raises(NotBuilt, match="dataset `clean` expected its present version built, got none"):
        here.rows("clean")
    toy.load(here)
    list(here.build())
    here = toy.project(root)
    assert len(here.rows("points")) == 30 * 50
    assert len(here.rows("clean", last=7)) == 7 * 50
    assert str(here.rows("clean")["at"].dtype) == "datetime64[us, UTC]"
    assert here.artifact("line").slope == pytest.approx(1.5)
    assert here.artifact("cut") == pytest.approx(
        float(np.quantile(here.rows("clean", form="columns")["y"][16 * 50 : 23 * 50], 0.9))
    )
    counts = here.sql("SELECT (SELECT count(*) FROM points) AS points, count(*) AS clean FROM clean", form="columns")
    assert (counts["points"][0], counts["clean"][0]) == (1500, 1500)


def test_nodes_load_and_read_themselves_where_the_project_is_found(root: Path) -> None:
    here = toy.project(root)
    toy.load(here)
    list(here.build())
    code = """
import funade as fn
from toy.nodes import clean, cut, line
print(type(line.load()).__name__, round(line.load().slope, 6), len(clean.read(last=7)), cut.load() > 0)
print(fn.open(".").sql("SELECT count(*) AS n FROM clean")["n"][0])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Line", "1.5", "350", "True", "1500"]


def test_a_version_asked_for_by_its_short_id_is_the_one_that_is_read(root: Path) -> None:
    here = toy.project(root)
    toy.load(here)
    list(here.build())
    tried = [b.version for b in here.build("line", settings={"bend": 2.0})][-1]
    assert here.artifact("line", tried.id[:6]).slope == pytest.approx(3.0)
    assert here.artifact("line").slope == pytest.approx(1.5)


def test_two_relations_of_one_function_can_be_joined(tmp_path: Path) -> None:
    source = """
import duckdb
import numpy as np
import pyarrow as pa
import funade as fn

@fn.source(fn.every("1 day", since="2022-01-01"), fn.time("at"))
def points(day: str) -> pa.Table:
    return pa.table({"at": [np.datetime64(day, "us")], "x": [1]})

@fn.dataset(points=points)
def left(points: pa.Table) -> pa.Table:
    return points

@fn.dataset(fn.time("at"), points=points, left=left)
def joined(points: duckdb.DuckDBPyRelation, left: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    return points.set_alias("p").join(left.set_alias("l"), "p.x = l.x").select("p.at AS at, p.x + l.x AS x")
"""
    files = {"funade.toml": toy.TOML, "toy/__init__.py": "", "toy/nodes.py": source}
    here = toy.project(toy.write(tmp_path / "relations", files))
    toy.load(here, "2022-01-01", "2022-01-01")
    list(here.build())
    assert here.rows("joined", form="arrow")["x"].to_pylist() == [2]
