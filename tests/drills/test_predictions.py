"""Drills of the prediction log: compactor, workers and disk fail while answers are logged."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from funade.predictions import table as predictions
from funade.predictions.folder import PredictionFolder
from funade.store import disk
from funade.store.warehouse.query import sql
from support import commit_points, stock
from support.client import Client, Response
from support.predictions import numbered, read, worker
from support.server import Running
from support.wait import two_more, until

pytestmark = pytest.mark.slow

KEEP = stock.script("compactor.py")
HERS = [name for name in commit_points.NAMES if name.startswith("log.") and name not in ("log.before", "log.after")]


@pytest.mark.parametrize("point", HERS)
def test_drill_w27_a_compactor_that_dies_at_any_commit_point_loses_and_doubles_nothing(root: Path, point: str) -> None:
    for number in range(2):
        with worker(root, mark=f"{number:012x}") as one:
            one.log.add(numbered(1 + number * 100, 50))
            one.log.add(numbered(51 + number * 100, 50, api="fare"))
    for times in (1, 2):
        died = subprocess.run([sys.executable, KEEP, root / "log", point, str(times)], check=False)
        assert died.returncode in (0, 7)
        if times == 1:
            assert died.returncode == 7
        counted = read(root, "SELECT count(*) AS n, count(DISTINCT prediction) AS d FROM predictions")[0]
        assert counted["n"] == counted["d"]
    subprocess.run([sys.executable, KEEP, root / "log"], check=True)
    assert sorted(row["request"]["x"] for row in read(root)) == list(range(1, 201))
    left = [path for path in (root / "log").rglob("*") if path.is_file() and path.suffix not in (".parquet", ".json")]
    assert left == []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The store's folder."""
    return tmp_path


class Crowd:
    """Clients that ask one api, ``pause_s`` after each answer, and remember the answers.

    Each asks ten times on a connection, so that every worker is asked.
    """

    def __init__(self, port: int, api: str, clients: int, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s
        self._told: list[str] = []
        self._answered = [0] * clients
        self.statuses: list[int] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(port, api, number)) for number in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, port: int, api: str, number: int) -> None:
        while not self._ended.is_set():
            try:
                with Client(port) as client:
                    for _ in range(10):
                        self._look(client.ask([{"km": 1.0}] * 20, api=api), number)
                        time.sleep(self._pause_s)
            except OSError:
                time.sleep(0.01)

    def _look(self, response: Response, number: int) -> None:
        self.statuses.append(response.status)
        if response.status == 200:
            self._told.append(response.headers["funade-prediction"])
            self._answered[number] += 1

    @property
    def told(self) -> set[str]:
        """The predictions that clients have."""
        return set(self._told)

    def more(self, count: int = 100) -> None:
        """Wait until so many more are told, to each client one that it asked for since."""
        before = len(self._told)
        two_more(lambda: list(self._answered))
        until(lambda: len(self._told) >= before + count)

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def missing(root: Path, told: set[str]) -> set[str]:
    """Answers that clients have and the log has not; none is there twice."""
    query = "SELECT split_part(prediction, '.', 1) AS p, count(*) AS n FROM predictions GROUP BY ALL"
    table = {"predictions": PredictionFolder(root / "log").select()}
    found = {row["p"]: row["n"] for row in sql(query, table).to_pylist()}
    assert {found[p] for p in told if p in found} <= {20}
    return {p for p in told if p not in found}


def flushed(log: Path) -> None:
    """Wait until each of two workers has written twice: the second time, whatever was answered when called.

    A worker has a quarter of a second for each; a busy machine is given what is far more.
    """
    for _ in range(2):
        before = until(lambda: sizes if len(sizes := written(log)) == 2 else None)
        until(lambda: all(size > before.get(path, -1) for path, size in written(log).items()), 30)  # noqa: B023


def written(log: Path) -> dict[Path, int]:
    """The size of each file that a worker writes to."""
    sizes: dict[Path, int] = {}
    for path in (log / "open").glob("*.wal"):
        with contextlib.suppress(FileNotFoundError):  # the compactor removes those of dead workers
            if disk.is_locked(path):
                sizes[path] = path.stat().st_size
    return sizes


@pytest.mark.parametrize("api", ["kept", "plain"])
def test_a_worker_killed_under_load_loses_a_second_at_most_and_nothing_that_is_durable(
    run: Callable[..., Running], tmp_path: Path, api: str
) -> None:
    store = tmp_path / "store"
    server = run(store=f"sqlite:{store}", workers=2)
    server.serving(1)
    crowd = Crowd(server.port, api, 8)
    uncertain: set[str] = set()
    try:
        for _ in range(3):
            crowd.more()
            told = crowd.told
            flushed(store / "log")
            server.kill()
            crowd.more(0)
            uncertain |= crowd.told - told
        crowd.more()
    finally:
        crowd.end()
    assert server.end() == 0
    assert missing(store, crowd.told) <= (uncertain if api == "plain" else set())


def test_a_compactor_killed_again_and_again_while_others_read(run: Callable[..., Running], tmp_path: Path) -> None:
    store = tmp_path / "store"
    server = run(store=f"sqlite:{store}", workers=2)
    server.serving(1)
    crowd = Crowd(server.port, "plain", 4)
    try:
        for _ in range(4):
            crowd.more()
            told = crowd.told
            until(lambda: not missing(store, told))  # noqa: B023
            os.kill(until(lambda: _compactor(server.process.pid)), signal.SIGKILL)
            missing(store, crowd.told)
    finally:
        crowd.end()
    assert server.end() == 0
    assert server.events("log keeper died")
    assert missing(store, crowd.told) == set()


def _compactor(supervisor: int) -> int | None:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == supervisor and b"funade.predictions.compactor_process" in (folder / "cmdline").read_bytes():
                return int(folder.name)
        except (OSError, ValueError):
            continue
    return None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_drill_w28_a_full_disk_stops_no_answer_but_durable_ones(run: Callable[..., Running], small_disk: Path) -> None:
    store = small_disk / "store"
    server = run(store=f"sqlite:{store}", workers=1)
    server.serving(1)
    port = server.port
    with Client(port) as client:
        assert client.ask({"km": 1.0}, api="kept").status == 200
    crowd = Crowd(port, "plain", 2, 0.01)
    ballast = small_disk / "ballast"
    try:
        crowd.more()
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        until(lambda: [e for e in server.events("alert") if e["what"] == "predictions cannot be written"])
        with Client(port) as client:
            refused = client.ask([{"km": 1.0}] * 2000, api="kept")
            assert refused.status == 503, refused.body
            refused = client.ask([{"km": 1.0}] * 2000, api="kept", **{"funade-timeout-ms": "0"})
            assert refused.status == 503, refused.body  # the fallback's answers are no less durable
        crowd.more(50)
        ballast.unlink()
        with Client(port) as client:  # before, a row or two may have found the room that the compactor left
            kept = until(lambda: good if (good := client.ask({"km": 1.0}, api="kept")).status == 200 else None)
        after = crowd.told
        crowd.more()
        until(lambda: _lost(port) == _told_lost(server))  # what a worker has counted is shown a second later
    finally:
        crowd.end()
    assert set(crowd.statuses) == {200}
    assert server.end() == 0
    lost = missing(store, crowd.told)
    assert lost and lost <= after
    assert 0 < _told_lost(server) <= 20 * len(lost)  # not all: some that were counted as written are lost as well
    assert predictions.find(PredictionFolder(store / "log"), kept.headers["funade-prediction"]) is not None


def _told_lost(server: Running) -> int:
    """The rows that are lost, as the log says when it goes on."""
    again = server.events("predictions logged again")
    return int(again[-1]["lost"]) if again else -1


def _lost(port: int) -> float:
    """The rows that a server's page says its log has lost."""
    with Client(port) as client:
        page = client.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").response().body.decode()
    return float(next(line for line in page.splitlines() if line.startswith("funade_log_lost")).split()[-1])
