"""An api's answers for every row of a table: whole or not at all, refused rows kept aside, continued after any end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from funade.batch.table import Table, files, locked
from funade.errors import BuildFailed, FunadeError, Misuse, ResultRefused, ServeError, StoreError
from funade.project.project import Project
from support import toy
from support.forks import DIED, Forks, Run
from support.wait import until

ALL = "SELECT * FROM read"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A released toy project; tests write to tables of their own."""
    root = toy.write(tmp_path_factory.mktemp("batch") / "project")
    here = toy.project(root)
    toy.load(here)
    toy.ship(here)
    return root


def table(here: Project, name: str) -> Any:
    return here.sql(f"SELECT * FROM {name}", form="arrow")


def failed(error: type[FunadeError], here: Project, **asked: Any) -> str:
    with pytest.raises(error) as raised:
        here.batch(**({"api": "judge", "rows": "clean", "into": "failed"} | asked))
    return str(raised.value)


def test_answers_stand_beside_the_rows_in_their_order(shipped: Path) -> None:
    here = toy.project(shipped)
    found = here.batch("judge", rows="clean", into="scored", keep=["x"])
    assert found._asdict() == {
        "table": "scored", "api": "judge", "release": 1, "rows": 1500, "answered": 1500, "refused": 0,
        "fallback": 0, "earlier": 0, "begun_anew": "",
    }  # fmt: skip
    rows, got = here.rows("clean", form="arrow"), table(here, "scored")
    assert got.column_names == ["row", "at", "x", "y", "score", "high", "fallback", "release"]
    assert got.select(["row", "at", "x", "y"]).equals(rows)
    line, limit = here.artifact("line"), here.artifact("cut")
    score = line.predict(rows["x"].to_numpy())
    assert got["score"].to_numpy().tolist() == score.tolist()
    assert got["high"].to_pylist() == (score >= limit).tolist()
    assert set(got["fallback"].to_pylist()) == {""} and set(got["release"].to_pylist()) == {1}


def test_columns_of_the_contract_are_left_out_unless_kept(shipped: Path) -> None:
    here = toy.project(shipped)
    here.batch("judge", rows="SELECT x, x AS other FROM clean", into="narrow")
    assert table(here, "narrow").column_names == ["other", "score", "high", "fallback", "release"]


def test_refused_rows_are_kept_aside_with_the_reason(shipped: Path) -> None:
    here = toy.project(shipped)
    x = "CASE WHEN i % 3 = 1 THEN NULL WHEN i = 5 THEN 'Infinity'::DOUBLE ELSE i END"
    query = f"SELECT i AS id, {x} AS x FROM range(9) t(i)"
    found = here.batch("judge", rows=query, into="gaps", most_refused=0.5)
    assert (found.answered, found.refused) == (5, 4)
    assert table(here, "gaps")["id"].to_pylist() == [0, 2, 3, 6, 8]
    aside = table(here, "gaps_refused").to_pylist()
    assert [(row["id"], row["row"], row["reason"]) for row in aside] == [
        (1, 1, "expected field `x`, got none - at $.x"),
        (4, 4, "expected field `x`, got none - at $.x"),
        (5, 5, "expected a finite number, got infinity - at $.x"),
        (7, 7, "expected field `x`, got none - at $.x"),
    ]


def test_more_refused_rows_than_allowed_leave_the_table_as_it_was(shipped: Path) -> None:
    here = toy.project(shipped)
    here.batch("judge", rows="SELECT 1.0 AS x", into="strict")
    text = failed(ResultRefused, here, rows="SELECT 'a' AS x FROM range(10)", into="strict")
    assert text == (
        "batch expected at most 0.01 of the rows refused, got at least 10 of 10, the first: row 0: expected `float`, "
        "got `str` - at $.x - at toy/nodes.py:60; mend the rows, or allow more: --most-refused 1"
    )
    assert table(here, "strict").num_rows == 1


@pytest.mark.parametrize("count", [0, 1])
def test_few_rows_make_a_table_too(shipped: Path, count: int) -> None:
    here = toy.project(shipped)
    found = here.batch("judge", rows=f"SELECT i AS id, i::DOUBLE AS x FROM range({count}) t(i)", into="few")
    assert (found.rows, found.answered) == (count, count)
    assert table(here, "few").schema.names == ["id", "score", "high", "fallback", "release"]
    assert table(here, "few").num_rows == count and table(here, "few_refused").num_rows == 0


def test_a_long_text_beside_the_contract_is_carried(shipped: Path) -> None:
    here = toy.project(shipped)
    query = "SELECT 1.0 AS x, repeat('é', 3000000) || i AS long FROM range(3) t(i)"
    here.batch("judge", rows=query, into="long")
    assert [len(text) for text in table(here, "long")["long"].to_pylist()] == [3_000_001] * 3


def test_what_cannot_be_answered_is_said_in_one_line(shipped: Path) -> None:
    here = toy.project(shipped)
    assert failed(Misuse, here, api="jugde") == "batch expected an api of release 1, got `jugde`; did you mean `judge`?"
    assert failed(Misuse, here, into="clean") == (
        "batch expected a table's name that is free, got `clean`: `clean` is a dataset; "
        "choose another name: --into NAME"
    )
    assert failed(Misuse, here, into="a b").startswith("batch expected a table's name of letters, digits and _")
    assert failed(Misuse, here, rows="line") == "batch expected a source or dataset, got model `line`"
    assert "unknown" in failed(FunadeError, here, rows="cleen") or "clean" in failed(FunadeError, here, rows="cleen")
    assert failed(ResultRefused, here, rows="SELECT 1.0 AS y") == (
        "api `judge` expected a column `x` in the rows, got y - at toy/nodes.py:60"
    )
    assert failed(ResultRefused, here, rows="SELECT 1.0 AS x, 2 AS score") == (
        "api `judge` expected rows without its answers' columns, got `score` on both sides - at toy/nodes.py:60; "
        "rename the rows' column, or the contract's"
    )
    assert failed(ResultRefused, here, rows="SELECT 1.0 AS x, 2 AS a, 3 AS A") == (
        "api `judge` expected rows whose columns have names of their own, got `a` twice - at toy/nodes.py:60; "
        "rename one: SELECT … AS …"
    )
    assert failed(ResultRefused, here, rows="DROP TABLE x") == "--rows expected one SELECT, got DROP"
    assert not [name for name in files(here.store.local) if name.startswith("failed")]


def test_a_file_is_written_whole_beside_its_refused_rows(shipped: Path, tmp_path: Path) -> None:
    here = toy.project(shipped)
    path = tmp_path / "out.parquet"
    here.batch("judge", rows="SELECT i AS id, i::DOUBLE AS x FROM range(150000) t(i) ORDER BY i", into=str(path))
    assert pq.read_table(path)["id"].to_pylist() == list(range(150000))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.parquet", "out_refused.parquet"]


FOREIGN: dict[str, Callable[[Path], object]] = {
    "a text": lambda path: path.write_text("precious"),
    "nothing yet": lambda path: path.touch(),
    "a table of somebody else's": lambda path: pq.write_table(pa.table({"x": [1]}), path),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to a file": lambda path: path.symlink_to(__file__),
    "a pipe": os.mkfifo,
}


@pytest.mark.parametrize("name", ["out.parquet", "out_refused.parquet"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_no_file_is_replaced_but_one_that_a_batch_has_made(shipped: Path, tmp_path: Path, kind: str, name: str) -> None:
    here, path = toy.project(shipped), tmp_path / name
    FOREIGN[kind](path)
    before = os.lstat(path)
    with pytest.raises(Misuse, match="batch expected no file or one that it made, got another at `"):
        here.batch("judge", rows="SELECT 1.0 AS x", into=str(tmp_path / "out.parquet"))
    assert os.lstat(path) == before and list(tmp_path.iterdir()) == [path]


def test_a_file_of_an_earlier_run_is_replaced(shipped: Path, tmp_path: Path) -> None:
    here, path = toy.project(shipped), tmp_path / "out.parquet"
    for x in (1.0, 2.0):
        here.batch("judge", rows=f"SELECT {x} AS x", into=str(path), keep=["x"])
        assert pq.read_table(path)["x"].to_pylist() == [x]


@pytest.mark.parametrize("name", ["notes.txt", "notes", "notes.parquet.bak", "notes.PARQUET"])
def test_a_path_is_one_of_a_parquet_file(shipped: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(Misuse, match=r"batch expected a path to a \.parquet file, got"):
        toy.project(shipped).batch("judge", rows="SELECT 1.0 AS x", into=str(tmp_path / name))
    assert not list(tmp_path.iterdir())


def test_a_table_of_answers_is_read_as_rows_of_another_run(shipped: Path) -> None:
    here = toy.project(shipped)
    here.batch("judge", rows="SELECT i AS id, 1.0 * i AS x FROM range(10) t(i)", into="first", keep=["x"])
    here.batch("judge", rows="SELECT id, x * 2 AS x FROM first", into="second", keep=["x"])
    assert table(here, "second")["x"].to_pylist() == [2.0 * i for i in range(10)]


def test_a_name_that_differs_in_capitals_only_is_taken(shipped: Path) -> None:
    here = toy.project(shipped)
    here.batch("judge", rows="SELECT 1.0 AS x", into="Named")
    assert failed(Misuse, here, rows="SELECT 2.0 AS x", into="named") == (
        "batch expected a table's name that is free, got `named`: `Named` is a table; choose another name: --into NAME"
    )
    assert table(here, "named").num_rows == 1


def test_logged_predictions_are_rows_too(shipped: Path) -> None:
    here = toy.project(shipped)
    assert here.batch("judge", rows="SELECT 1.0 AS x, prediction FROM predictions", into="asked").rows == 0


def test_drill_A15_a_reader_sees_the_old_table_or_the_new_one_whole(shipped: Path) -> None:
    here = toy.project(shipped)
    asked = ["SELECT 1.0 AS x, i FROM range(1000) t(i)", "SELECT 2.0 AS x, 2 AS i FROM range(70000)"]
    here.batch("judge", rows=asked[0], into="read")
    seen, wrong, over = set[tuple[int, int]](), list[BaseException](), threading.Event()

    def read() -> None:
        reading = toy.project(shipped)
        query = "SELECT count(*) AS n, count(DISTINCT i) AS d FROM read"
        try:
            while not over.is_set():
                seen.add(tuple(reading.sql(query, form="arrow").to_pylist()[0].values()))
        except BaseException as error:
            wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for rows in (asked[1], asked[0], asked[1]):
            here.batch("judge", rows=rows, into="read")
    finally:
        over.set()
        reader.join()
    assert not wrong, wrong
    assert seen == {(1000, 1000), (70_000, 1)}


def test_a_second_run_into_one_table_is_refused_while_the_first_is_at_work(shipped: Path) -> None:
    here = toy.project(shipped)
    with locked(Table(here.store.local, "busy")):
        assert failed(StoreError, here, into="busy") == (
            "batch expected to be alone in writing `busy`, got another run at work; wait for it to end"
        )


RAISING = (
    "score = model.predict(batch[\"x\"])\n",
    "batch[\"x\"] *= 1.0\n    score = model.predict(batch[\"x\"])\n"
    "    if (batch[\"x\"] % 97 == 18).any():\n        raise ValueError(\"eighteen\")\n"
    "    if (batch[\"x\"] == 0.125).any():\n        import os\n        os._exit(3)\n"
    "    if (batch[\"x\"] < 0).all():\n        raise KeyError(\"below\")\n"
    "    score = np.where(batch[\"x\"] == 504.0, np.nan, score)\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def raising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A released api whose function writes into its batch, raises on some rows and below 0, and gives NaN for one."""
    root = toy.write(tmp_path_factory.mktemp("raising") / "project", nodes=RAISING)
    here = toy.project(root)
    toy.load(here)
    list(here.build())
    here.stage()
    here.release(because="it raises")
    return root


def test_rows_that_fail_get_the_fallback_and_are_marked(raising: Path) -> None:
    here = toy.project(raising)
    found = here.batch("judge", rows="SELECT i AS id, i::DOUBLE AS x FROM range(1000) t(i)", into="marked")
    assert (found.answered, found.fallback) == (1000, 12)
    marked = table(here, "marked").to_pylist()
    failing = sorted([*((i, "error") for i in range(18, 1000, 97)), (504, "nan")])
    assert [(r["id"], r["score"], r["high"], r["fallback"]) for r in marked if r["fallback"]] == [
        (row, 0.0, False, reason) for row, reason in failing
    ]


def test_a_function_that_raises_on_every_row_ends_the_run_with_its_traceback(raising: Path) -> None:
    here = toy.project(raising)
    with pytest.raises(BuildFailed) as raised:
        here.batch("judge", rows="SELECT -1.0 - i AS x FROM range(1000) t(i)", into="never")
    assert str(raised.value) == (
        "api `judge` expected to answer, got KeyError: 'below' - at toy/nodes.py:60; release one that does"
    )
    assert "toy/nodes.py" in str(raised.value.facts["traceback"])


def test_a_part_whose_process_ends_twice_ends_the_run(raising: Path) -> None:
    rows = "SELECT CASE WHEN i = 700 THEN 0.125 ELSE i END AS x FROM range(1000) t(i)"
    died = r"^batch expected part \d answered, got twice: its process ended with exit status 3; see that the machine"
    with pytest.raises(ServeError, match=died):
        toy.project(raising).batch("judge", rows=rows, into="never")


# -- continued ---------------------------------------------------------------------------------------

MANY = "SELECT i AS id, (i % 1000) / 7.0 AS x FROM range(400000) t(i) ORDER BY i"


def run(root: Path, into: str, *more: str, rows: str = MANY) -> list[str]:
    return ["batch", "judge", "--rows", rows, "--into", into, *more]


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks() as made:
        yield made


def test_a_run_stopped_at_any_commit_point_continues_to_the_same_table(shipped: Path, forks: Forks) -> None:
    here = toy.project(shipped)
    here.batch("judge", rows=MANY, into="whole")
    expected = table(here, "whole")
    here.batch("judge", rows="SELECT 7 AS id, 1.0 AS x", into="stopped")
    asked = tuple(run(shipped, "stopped"))
    seen = []
    for stop in (*[1] * 9, 2):  # planned, at most seven parts, before; after
        assert forks.run(Run(str(shipped), asked, stop=stop)).status == DIED
        seen.append(table(here, "stopped").num_rows)
    assert seen == [*[1] * 9, 400_000]
    assert forks.run(Run(str(shipped), asked)).status == 0
    assert table(here, "stopped").equals(expected)


def test_what_was_answered_before_is_not_answered_again(shipped: Path, forks: Forks) -> None:
    assert forks.run(Run(str(shipped), tuple(run(shipped, "again")), stop=4)).status == DIED
    (rows,) = (shipped / ".funade" / "batch" / "again").glob("rows-*")
    (rows / ".000001.parquet.1.tmp").write_bytes(b"left by a kill")
    found = toy.project(shipped).batch("judge", rows=MANY, into="again")
    assert 0 < found.earlier < found.rows == found.answered
    assert not list(rows.glob(".*"))


def test_other_rows_begin_anew_and_say_so(shipped: Path, forks: Forks) -> None:
    assert forks.run(Run(str(shipped), tuple(run(shipped, "anew")), stop=3)).status == DIED
    found = toy.project(shipped).batch("judge", rows="SELECT 1.0 AS x", into="anew")
    assert (found.begun_anew, found.earlier, found.rows) == ("its rows were others", 0, 1)


@pytest.mark.slow
def test_drill_kills_at_any_moment_leave_the_table_old_or_new_for_whoever_reads_it(shipped: Path) -> None:
    here = toy.project(shipped)
    began = time.monotonic()
    assert _begun(shipped, "undisturbed").wait() == 0
    whole_s = time.monotonic() - began
    expected = table(here, "undisturbed")
    here.batch("judge", rows="SELECT 7 AS id, 1.0 AS x", into="killed")
    seed = int(os.environ.get("FUNADE_TEST_SEED", "") or random.SystemRandom().randrange(2**32))
    print(f"\nseed {seed} (again: FUNADE_TEST_SEED={seed})")
    drawn = random.Random(seed)
    seen, wrong, over = set[int](), list[BaseException](), threading.Event()

    def read() -> None:
        while not over.is_set():
            try:
                seen.add(table(toy.project(shipped), "killed").num_rows)
            except BaseException as error:
                wrong.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(40):
            process = _begun(shipped, "killed")
            time.sleep(drawn.uniform(0.1, 1.2) * whole_s)  # at any moment
            _kill(process, drawn)
            if process.wait() == 0:
                break
    finally:
        over.set()
        reader.join()
    assert not wrong, wrong
    assert seen <= {1, 400_000}
    assert _begun(shipped, "killed").wait() == 0
    assert table(here, "killed").equals(expected)


def _begun(root: Path, into: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own."""
    command = [sys.executable, "-m", "funade", "-C", str(root), "--at", "2022-01-31T12:00", *run(root, into)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _kill(process: subprocess.Popen[bytes], drawn: random.Random) -> None:
    """Kill a run or one of its processes."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    below = [int(pid) for pid in children.read_text().split()] if children.is_file() else []
    victim = drawn.choice([process.pid, *below])
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


DRAWN = "SELECT i AS id, hash(i) / 2.0 ** 64 AS x FROM range(20000) t(i) ORDER BY i"


@pytest.mark.parametrize(("place", "most"), [("its rows", 100_000), ("its parts", 290_000)])
def test_a_full_disk_ends_the_run_and_room_lets_it_continue(shipped: Path, forks: Forks, place: str, most: int) -> None:
    into = f"full{most}"
    full = forks.run(Run(str(shipped), tuple(run(shipped, into, "--keep", "x", rows=DRAWN)), most_bytes=most))
    assert full.status == 1, full
    assert full.err.splitlines()[-1].startswith(f"DiskFull: batch expected room for {place}, got"), full
    assert into not in files(toy.project(shipped).store.local)
    assert toy.project(shipped).batch("judge", rows=DRAWN, into=into, keep=["x"]).answered == 20_000


def test_ctrl_c_leaves_a_run_that_continues(shipped: Path) -> None:
    command = [sys.executable, "-m", "funade", "-C", str(shipped), "--at", "2022-01-31T12:00"]
    long = "SELECT i AS id, (i % 1000) / 7.0 AS x FROM range(4000000) t(i) ORDER BY i"
    process = subprocess.Popen([*command, *run(shipped, "interrupted", rows=long)], stderr=subprocess.PIPE, text=True)
    folder = shipped / ".funade" / "batch" / "interrupted"
    until(lambda: process.poll() is not None or list(folder.glob("rows-*/*.json")))
    process.send_signal(signal.SIGINT)
    *progress, last = process.communicate()[1].splitlines()
    assert all(line.startswith("judge: ") for line in progress)  # told now and then, on a slow machine
    assert (process.returncode, last) == (130, "stopped; what was answered stays: the same command continues")
    assert list((folder / "run").glob("plan.json"))
