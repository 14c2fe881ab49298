"""The prediction log: what a worker notes is what can be read, once each, whatever happens."""

from __future__ import annotations

import fcntl
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funade import points
from funade.contract import outcome
from funade.predictions import compactor as compactors
from funade.predictions import segments, wal
from funade.predictions import table as predictions
from funade.predictions import writer as logs
from funade.predictions.compactor import Compactor
from funade.predictions.folder import PredictionFolder
from funade.store.warehouse.query import sql
from support.predictions import MARK, Asked, entry, keep, numbered, read, texts, worker


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The store's folder."""
    return tmp_path


def test_an_answer_is_read_with_everything_that_is_known_of_it(root: Path) -> None:
    spoke = np.array([0, outcome.NAN, 0, outcome.REFUSED], dtype=np.uint8)
    with worker(root, release=7) as one:
        asks = [Asked(door="grpc"), Asked(2, single=False), Asked(door="oip")]
        request = {"km": np.array([1.5, np.nan, 3.0, 4.0]), "note": texts("a", None, "é", "")}
        answers = {"eta": np.array([3.0, 15.0, 6.0, 0.0]), "late": np.array([True, False, True, False])}
        masks = {"defaults": {"km": np.array([False, True, False, False])}}
        masks["guards"] = {"eta clamped": np.array([False, False, True, False])}
        one.log.add(entry(255, request, answers, asks=asks, spoke=spoke, at=1_700_000_000.5, **masks))
    assert keep(root) == 4
    rows = {row["prediction"]: row for row in read(root)}
    assert list(rows) == [f"{MARK}-ff", f"{MARK}-101", f"{MARK}-100.0", f"{MARK}-100.1"]
    first = rows[f"{MARK}-ff"]
    assert first["answered_at"].isoformat() == "2023-11-14T22:13:20.500000+00:00"
    assert (first["api"], first["release"], first["arm"], first["door"]) == ("eta", 7, "current", "grpc")
    assert 2.0 <= first["latency_ms"] < 2000.0
    assert first["request"] == {"km": 1.5, "note": "a"} and first["answer"] == {"eta": 3.0, "late": True}
    assert (first["fallback"], first["guard"], first["defaults"], first["refused"]) == (None, None, None, False)
    second = rows[f"{MARK}-100.0"]
    assert second["request"] == {"km": None, "note": None}
    assert (second["fallback"], second["defaults"]) == ("nan", ["km"])
    assert rows[f"{MARK}-100.1"]["guard"] == ["eta clamped"]
    assert rows[f"{MARK}-101"]["refused"] and rows[f"{MARK}-101"]["answer"] is None
    assert {row["call"] for row in rows.values()} == {f"{MARK}-ff"}


def test_releases_with_other_fields_and_types_are_read_together(root: Path) -> None:
    for release, (request, answers) in enumerate(
        [
            ({"km": np.array([1.0]), "riders": np.array([2])}, {"eta": np.array([3])}),
            ({"km": np.array([1.5]), "city": texts("Kyoto")}, {"eta": np.array([3.5]), "why": texts("rain")}),
            ({"km": np.array([2.0]), "riders": np.array([2.5]), "city": texts(None)}, {"eta": np.array([4.0])}),
        ],
        1,
    ):
        with worker(root, mark=f"{release:012x}", release=release) as one:
            one.log.add(entry(1, request, answers))
    keep(root)
    rows = read(
        root,
        "SELECT release, request.km, request.riders, request.city, answer.eta, answer.why FROM predictions ORDER BY 1",
    )
    assert [list(row.values()) for row in rows] == [
        [1, 1.0, 2.0, None, 3.0, None],
        [2, 1.5, None, "Kyoto", 3.5, "rain"],
        [3, 2.0, 2.5, None, 4.0, None],
    ]


def test_a_log_without_rows_is_a_table_without_rows(root: Path) -> None:
    assert read(root) == []
    assert read(root, "SELECT count(*) AS n FROM predictions WHERE refused AND latency_ms > 3")[0]["n"] == 0


def test_a_field_that_is_not_to_be_logged_is_nowhere_in_the_store(root: Path) -> None:
    with worker(root, eta={"phone"}) as one:
        one.log.add(entry(1, {"km": np.ones(1), "phone": texts("5550100")}, {"eta": np.ones(1)}))
    assert not any(b"5550100" in path.read_bytes() for path in root.rglob("*") if path.is_file())
    keep(root)
    assert read(root)[0]["request"] == {"km": 1.0}
    assert not any(b"5550100" in path.read_bytes() for path in root.rglob("*") if path.is_file())


def test_a_file_is_never_taken_for_a_dead_worker_s_while_it_is_made(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock
    looked: list[int] = []

    def flock(file: Any, operation: int) -> None:
        if operation == fcntl.LOCK_EX and not looked:
            looked.append(keep(root))  # the compactor looks just before the worker has its lock
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with worker(root) as one:
        one.log.add(numbered(1, 3))
    assert looked == [0]
    assert keep(root) == 3
    assert len(read(root)) == 3


def test_answers_of_a_size_beyond_any_file_s_are_kept(root: Path) -> None:
    with worker(root) as one:
        for number in range(18):
            one.log.add(entry(number, {"text": texts("x" * 4_000_000)}, {"n": np.array([number])}))
    keep(root)
    rows = read(root, "SELECT answer.n AS n, length(request.text) AS size FROM predictions ORDER BY n")
    assert rows == [{"n": number, "size": 4_000_000} for number in range(18)]


def test_past_its_bound_the_log_loses_and_counts_and_never_waits(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_ROWS", 10)
    with worker(root) as one:
        real = one.log._written

        disk = threading.Event()

        def slowly(group: Any) -> bool:
            assert disk.wait(120)
            return real(group)

        monkeypatch.setattr(one.log, "_written", slowly)
        one.log.add(numbered(1, 10))
        one.log.add(numbered(11, 5))
        assert one.log.lost == 5
        assert not one.kept(numbered(16, 1))
        disk.set()
    assert (one.log.logged, one.log.lost) == (10, 5)
    assert [event["what"] for event in one.events("alert")] == ["predictions lost"]


def test_a_torn_frame_is_not_read_and_hides_nothing_before_it(root: Path) -> None:
    with worker(root) as one:
        one.log.add(numbered(1, 4))
    (file,) = (root / "log" / "open").glob("*.wal")
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:-1])
    assert keep(root) == 4
    assert not list((root / "log" / "open").iterdir())


@pytest.mark.parametrize("cut", range(0, 400, 37))
def test_frames_cut_anywhere_are_read_up_to_the_cut(cut: int) -> None:
    one = b"".join(wal.framed("eta", 1, 2, {"x": np.array([1.0, 2.0]), "s": texts("a", None)}))
    data = (one * 3)[:cut]
    assert len(list(wal.frames(data))) == min(cut // len(one), 3)


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_drill_w28_a_full_disk_costs_the_answers_of_its_time_only_and_each_is_counted(root: Path) -> None:
    with worker(root) as one:
        assert one.kept(numbered(1, 10))
        one.log.add(numbered(11, 10))
        assert one.kept(numbered(21, 1))
        (file,) = (root / "log" / "open").glob("*.wal")
        with room(file.stat().st_size + 500):
            assert not one.kept(numbered(100, 1000))
            one.log.add(numbered(2000, 1000))
            assert not one.kept(numbered(1100, 500))
            assert one.kept(numbered(22, 1))  # for so little there is room
        one.log.add(numbered(23, 10))
        assert one.kept(numbered(33, 1))
    assert one.log.lost == 1000
    assert one.log.logged == 33
    assert [event["what"] for event in one.events("alert")] == ["predictions cannot be written"]
    assert one.events("predictions logged again")[-1]["lost"] == 1000
    keep(root)
    rows = read(root, "SELECT request.x AS x FROM predictions ORDER BY x")
    assert [row["x"] for row in rows] == list(range(1, 34))


def test_an_old_day_is_let_go_of(root: Path) -> None:
    now = time.time()
    with worker(root) as one:
        for days in (0, 1, 2, 3):
            one.log.add(entry(days + 1, {"x": np.array([days])}, {"y": np.zeros(1)}, at=now - days * 86_400))
    compactor = Compactor(root / "log", days=2)
    compactor.look()
    assert len(read(root)) == 4
    compactor.tidy(now)
    assert sorted(row["request"]["x"] for row in read(root)) == [0, 1, 2]


def test_joined_segments_are_read_once_each_by_readers_of_any_moment(root: Path) -> None:
    for number in range(40):
        with worker(root, mark=f"{number:012x}") as one:
            one.log.add(numbered(1 + number * 10, 10))
    compactor = Compactor(root / "log")
    compactor.look()
    before = PredictionFolder(root / "log").select()
    compactor.tidy(time.time())
    after = PredictionFolder(root / "log").select()
    assert len(before.paths) == 40 and len(after.paths) == 1
    for select in (before, after):
        counted = sql("SELECT count(*) AS n, count(DISTINCT prediction) AS d FROM predictions", {"predictions": select})
        assert counted.to_pylist() == [{"n": 400, "d": 400}]
    later = time.time() + 3600
    compactor.tidy(later)
    (folder,) = (root / "log").glob("api=*/day=*")
    assert len(list(folder.glob("*.parquet"))) == 1
    assert len(read(root)) == 400
    found = predictions.find(PredictionFolder(root / "log"), f"{7:012x}-{71:x}")
    assert found is not None and found["request"] == {"x": 71.0}
    assert next(iter(segments.of_folder(folder))).marks == {f"{number:012x}" for number in range(40)}


def test_a_log_that_is_written_to_all_the_time_keeps_no_file_twice(root: Path) -> None:
    compactor, now = Compactor(root / "log"), time.time()
    for minute in range(4):
        for number in range(16):
            with worker(root, mark=f"{minute * 16 + number:012x}") as one:
                one.log.add(numbered(1 + number, 1))
        compactor.look()
        compactor.tidy(now + minute * 61)
    (folder,) = (root / "log").glob("api=*/day=*")
    assert len(list(folder.glob("*.parquet"))) == 4 + 16  # what was joined last is still there for its readers
    assert read(root, "SELECT count(*) AS n, count(DISTINCT prediction) AS d FROM predictions") == [{"n": 64, "d": 64}]


def test_a_day_that_is_over_is_left_with_one_file_of_a_shape(root: Path) -> None:
    now = time.time()
    for number, request in enumerate([{"x": np.ones(1)}, {"x": np.ones(1)}, {"x": np.ones(1)}, {"z": np.ones(1)}]):
        with worker(root, mark=f"{number:012x}") as one:
            one.log.add(entry(1, request, {"y": np.zeros(1)}, at=now - 3 * 86_400))
    compactor = Compactor(root / "log")
    compactor.look()
    compactor.tidy(now)
    assert len(PredictionFolder(root / "log").select().paths) == 2
    assert len(read(root)) == 4


def test_segments_that_may_be_made_again_are_not_joined(root: Path) -> None:
    """Joined and swept, they would come back beside the joined file."""

    placed: list[str] = []

    def full(name: str) -> None:
        if name == "log.placing":
            placed.append(name)
            if len(placed) == 2:
                raise OSError(28, "No space left on device")

    for number in range(16):
        with worker(root, mark=f"{number:012x}") as one:
            one.log.add(numbered(1, 1))
    compactor = Compactor(root / "log")
    compactor.look()
    with worker(root, mark="f" * 12) as one:
        one.log.add(numbered(1, 1))
        one.log.add(numbered(2, 1, api="fare"))
    points.watch = full
    try:
        compactor.look()
    finally:
        points.watch = None
    assert len(read(root)) == 17
    for later in (0, 3600, 7200):
        compactor.tidy(time.time() + later)
    compactor.look()
    assert read(root, "SELECT count(*) AS n, count(DISTINCT prediction) AS d FROM predictions") == [{"n": 18, "d": 18}]


def test_a_frame_that_is_no_table_is_set_aside_and_hides_no_other(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with worker(root) as one:
        one.log.add(numbered(1, 4))
    (file,) = (root / "log" / "open").glob("*.wal")
    strange = b"".join(wal.framed("eta", 1, 2, {"x": np.array([1.0, 2.0])}))
    whole = file.read_bytes()
    file.write_bytes(strange + whole)
    assert keep(root) == 4
    (aside,) = (root / "log" / "open").iterdir()
    assert aside.name == f"{MARK}.0.{0:012}.unread" and aside.read_bytes() == strange
    assert "2 rows are in no table, KeyError: 'number'" in capsys.readouterr().err


def test_a_damaged_segment_holds_up_no_other_day(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    for day in (3, 2):
        for number in range(2):
            with worker(root, mark=f"{day:06x}{number:06x}") as one:
                one.log.add(entry(1, {"x": np.ones(1)}, {"y": np.zeros(1)}, at=now - day * 86_400))
    compactor = Compactor(root / "log")
    compactor.look()
    first, second = sorted((root / "log").glob("api=*/day=*"))
    next(iter(first.glob("*.parquet"))).write_bytes(b"damaged")
    compactor.tidy(now)
    compactor.tidy(now)
    assert len(list(segments.of_folder(second))) == 1
    assert capsys.readouterr().err.count("keeper: ") == 1  # told once


def test_a_reader_of_any_moment_of_many_joins_sees_each_row_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compactors, "_MANY", 2)
    compactor, now = Compactor(root / "log"), time.time()
    seen: list[tuple[int, int, int, int]] = []
    done, made = threading.Event(), [0]

    def look() -> None:
        while not done.is_set():
            least = made[0]
            (row,) = read(root, "SELECT count(*) AS n, count(DISTINCT prediction) AS d FROM predictions")
            seen.append((least, row["n"], row["d"], made[0] + 10))

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for number in range(40):
            with worker(root, mark=f"{number:012x}") as one:
                one.log.add(numbered(1, 10))
            made[0] += compactor.look()
            compactor.tidy(now)  # what was joined is not swept: no minute has gone by
    finally:
        done.set()
        reader.join()
    assert len(seen) > 5 and made == [400]
    assert all(least <= rows == distinct <= most for least, rows, distinct, most in seen)
