"""Logged answers explained and given again, bit for bit, by the release that gave them."""

from __future__ import annotations

import concurrent.futures
import json
import random
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funade.errors import UnknownPrediction
from funade.explain.replay_process import LoggedRow, ReplaySettings
from funade.predictions.compactor import Compactor
from funade.process.child import Child
from funade.project.project import Project
from support import toy
from support.predictions import entry, worker
from support.wait import read_for_ever, until

API = """
import datetime as dt
from typing import Literal
from zoneinfo import ZoneInfo

class Wide(msgspec.Struct):
    a: float
    b: float
    c: float
    d: float
    e: float
    seats: int
    at: Annotated[dt.datetime, msgspec.Meta(tz=False)]
    day: dt.date
    kind: Literal["x", "y"]
    stars: Literal[1, 2]
    wet: bool
    till: dt.datetime | None = None
    known: float | None = None
    often: int | None = None
    maybe: bool | None = None
    note: str | None = None

class Sum(msgspec.Struct):
    total: float
    count: int | None
    noted: str | None
    until: dt.datetime | None

@fn.api(fn.takes(Wide), fn.gives(Sum), fn.owner("toy-team"), fn.fallback(total=0.5, count=None, noted=None, until=None),
        model=line)
def add(batch: fn.Columns, model: Line) -> fn.Columns:
    # A matrix product: the last bit of a row's answer depends on how many rows are asked together.
    wide = np.column_stack([batch[n] for n in "abcde"] + [np.nan_to_num(batch["known"]), batch["seats"]])
    weights = np.linspace(0.1, 1.7, wide.shape[1]) * model.slope
    if (batch["a"] == 13.0).any():
        batch["a"][:] = 0
        raise ValueError("unlucky")
    hours = batch["at"].astype("M8[h]").astype("i8") % 24
    known = np.array([m is True for m in batch["maybe"]]) + batch["stars"] + (batch["kind"] == "x") + batch["wet"]
    count = np.where(np.isnan(batch["often"]), np.nan, batch["often"])
    noted, until = batch["note"].copy(), batch["till"].copy()
    for name in ("a", "seats", "note", "till", "known"):  # what came is logged whatever becomes of the batch
        batch[name][:] = batch[name][::-1].copy()
    return {"total": wide @ weights + hours + known, "count": count, "noted": noted, "until": until}

@fn.evaluation(fn.at_most(mae=0.5)"""


def row(index: int) -> dict[str, Any]:
    """A request; a third of its optional values is missing."""
    chance = random.Random(index)
    made: dict[str, Any] = {name: chance.gauss(0, 10) for name in "abcde"}
    made |= {"seats": index - 50, "at": f"2022-03-0{index % 9 + 1}T0{index % 10}:30:00.000001", "day": "2022-03-01"}
    made |= {"kind": "xy"[index % 2], "stars": index % 2 + 1, "wet": index % 3 == 0}
    optional = {"till": "2022-03-01T12:00:00+09:00", "known": 0.1 * index, "often": index, "maybe": index % 2 == 0}
    optional["note"] = f"é{index}"
    return made | {name: value for name, value in optional.items() if chance.random() > 0.33}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = toy.write(tmp_path_factory.mktemp("explain"), nodes=("@fn.evaluation(fn.at_most(mae=0.5)", API))
    project = toy.project(root)
    toy.load(project)
    assert toy.ship(project) == 1
    return project


@contextmanager
def serving(root: Path) -> Iterator[int]:
    """The project's server; gives its port."""
    for old in (root / ".funade" / "serve").glob("*"):
        if old.is_file():
            old.unlink()
    command = [sys.executable, "-m", "funade", "-C", str(root), "serve", "--port", "0", "--workers", "2"]
    with (root / "server.log").open("ab") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: server.poll() is not None or ports(root, server.pid))
        assert server.poll() is None, (root / "server.log").read_text()[-2000:]
        yield ports(root, server.pid)[0]
    finally:
        server.terminate()
        server.wait(120)


def ports(root: Path, pid: int) -> list[int]:
    """The port of a server that this process is, once it has one."""
    states = [json.loads(path.read_text()) for path in (root / ".funade" / "serve").glob("*.json")]
    return [state["port"] for state in states if state.get("pid") == pid]


def ask(port: int, body: Any) -> tuple[str, str, Any]:
    """The prediction id, what fell back, and the answer."""
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/add", data, headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.headers["funade-prediction"], answer.headers["funade-fallback"] or "", json.loads(answer.read())


def asked(port: int, first: int, count: int) -> dict[str, Any]:
    """Prediction → answer, asked by sixteen clients at once; some ask for three rows, some are unlucky."""

    def one(index: int) -> dict[str, Any]:
        if index % 5 == 0:
            prediction, _, answers = ask(port, [row(index), row(index + 1), row(index + 2)])
            return {f"{prediction}.{i}": answer for i, answer in enumerate(answers)}
        prediction, _, answer = ask(port, row(index) | ({"a": 13.0} if index % 31 == 0 else {}))
        return {prediction: answer}

    with concurrent.futures.ThreadPoolExecutor(16) as clients:
        found = list(clients.map(one, range(first, first + count)))
    return {prediction: answer for some in found for prediction, answer in some.items()}


@pytest.mark.slow
def test_a_hundred_random_answers_are_given_again_bit_for_bit_after_two_further_releases(here: Project) -> None:
    with serving(here.root) as port:
        told = asked(port, 0, 400)
    toy.edit(here.root, "shared", "SCALE = 2.0", "SCALE = 4.0")
    second = toy.project(here.root)
    assert toy.ship(second) == 2
    with serving(here.root) as port:
        told |= asked(port, 400, 400)
    toy.edit(here.root, "shared", "SCALE = 4.0", "SCALE = 5.0")
    third = toy.project(here.root)
    assert toy.ship(third) == 3
    logged = third.sql("SELECT * FROM predictions WHERE api = 'add'", form="arrow").to_pylist()
    assert {one["prediction"] for one in logged} == set(told)
    together = {one["call"] for one in logged}
    assert len(together) < len(logged) - 300  # so many were answered beside others
    chosen = random.Random(7).sample(logged, 100)
    assert {one["release"] for one in chosen} == {1, 2}
    unlucky = [one for one in logged if one["fallback"]][:10]
    assert {one["fallback"] for one in unlucky} == {"error"}
    ids = [one["prediction"] for one in (*chosen, *unlucky)]
    with concurrent.futures.ThreadPoolExecutor(4) as readers:
        given = dict(zip(ids, [view.again for view in readers.map(third.explain, ids)], strict=True))
    assert {prediction: again for prediction, again in given.items() if not again.equal} == {}
    assert {prediction: again.answer for prediction, again in given.items()} == {id: told[id] for id in given}
    explained = third.explain(chosen[0]["prediction"])
    assert explained.again.equal
    assert explained.release == chosen[0]["release"]
    assert {part.kind for part in explained.parts} >= {"api", "model", "source", "dataset"}


def test_an_unknown_prediction_is_refused(here: Project) -> None:
    with pytest.raises(UnknownPrediction):
        here.explain("not-an-id")


def test_an_answer_to_what_was_not_logged_says_why_it_is_not_given_again(here: Project) -> None:
    """Logged by a worker whose policy leaves the field out."""
    with worker(here.store.local, mark="ab" * 6, judge={"x"}) as one:
        one.log.add(entry(1, {"x": np.ones(1)}, {"score": np.ones(1), "high": np.ones(1, bool)}, api="judge"))
    Compactor(here.store.local / "log").look()
    (row,) = here.sql("SELECT * FROM predictions WHERE api = 'judge'", form="arrow").to_pylist()
    again = here.explain(row["prediction"]).again
    assert (again.equal, again.why) == (False, "`x` is not logged, as fn.log(without=…) says")


def test_a_replay_whose_parent_is_gone_ends_in_the_middle_of_its_work(here: Project, tmp_path: Path) -> None:
    copy = toy.project(Path(shutil.copytree(here.root, tmp_path / "project")))
    current = copy.current()
    assert current is not None
    pipe = toy.never_read(copy, current.golden["judge"])
    settings = ReplaySettings(copy.store.address, current.number, LoggedRow("judge", "", 0))
    with closing(Child("funade.explain.replay_process", settings)) as child, read_for_ever(pipe):
        child.close_input()
        assert child.wait(120)
        assert child.status == 0
