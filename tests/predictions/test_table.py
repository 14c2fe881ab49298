"""The table of logged predictions: one table of every api and release, whatever their fields became."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from funade.predictions import table as predictions
from funade.predictions.folder import PredictionFolder
from funade.store.warehouse.query import sql
from support.predictions import entry, keep, read, texts, worker
from support.wait import until

VALUES = {
    "whole": np.array([3]),
    "real": np.array([1.5]),
    "flag": np.array([True]),
    "text": texts("a"),
    "time": np.array(["2026-01-02T03:04:05"], "datetime64[us]"),
    "day": np.array(["2026-01-02"], "datetime64[D]"),
    "missing": texts(None),
}
SHOWN = {
    "whole": "3",
    "real": "1.5",
    "flag": "true",
    "text": "a",
    "time": "2026-01-02 03:04:05+00",
    "day": "2026-01-02",
    "missing": None,
}
NUMBERS = {"whole", "real", "flag"}
TIMES = {"time", "day"}


def logged(root: Path, *requests: dict[str, Any], **given: Any) -> None:
    """A worker for each, of a release and an api of its own."""
    for number, request in enumerate(requests, 1):
        with worker(root, mark=f"{number:012x}", release=number) as one:
            one.log.add(entry(1, request, {"y": np.zeros(1)}, api=f"api{number}", **given))
    keep(root)


@pytest.mark.parametrize(("first", "second"), [*combinations(VALUES, 2)])
def test_a_field_that_is_something_else_in_another_api_hides_neither(tmp_path: Path, first: str, second: str) -> None:
    logged(tmp_path, {"x": VALUES[first], "own": np.ones(1)}, {"other": np.ones(1), "x": VALUES[second]})
    rows = read(tmp_path, "SELECT request.x::TEXT AS x, request.own, request.other FROM predictions ORDER BY release")
    assert [(row["own"], row["other"]) for row in rows] == [(1.0, None), (None, 1.0)]
    if {first, second} <= NUMBERS or {first, second} == TIMES:  # one type has room for both
        kinds = read(tmp_path, "SELECT DISTINCT typeof(request.x) AS kind FROM predictions")
        assert [kind["kind"] for kind in kinds] in (["DOUBLE"], ["BIGINT"], ["TIMESTAMP WITH TIME ZONE"])
    else:
        assert [row["x"] for row in rows] == [SHOWN[first], SHOWN[second]]


def test_one_worker_is_read_with_its_own_types(tmp_path: Path) -> None:
    logged(tmp_path, {"x": VALUES["whole"]}, {"x": VALUES["time"]})
    for mark, kind in ((f"{1:012x}", "BIGINT"), (f"{2:012x}", "TIMESTAMP WITH TIME ZONE")):
        table = {predictions.TABLE: PredictionFolder(tmp_path / "log").select(mark=mark)}
        assert sql("SELECT typeof(request.x) AS kind FROM predictions", table).to_pylist() == [{"kind": kind}]


def test_a_prediction_is_found_by_its_id_alone(tmp_path: Path) -> None:
    logged(tmp_path, {"x": VALUES["whole"]}, {"x": VALUES["time"]})
    found = predictions.find(PredictionFolder(tmp_path / "log"), "000000000002-1")
    assert found is not None and found["request"] == {"x": "2026-01-02T03:04:05Z"}
    for unknown in ("000000000002-2", "000000000003-1", "000000000002-1.1", "", "x' OR 1=1 --"):
        assert predictions.find(PredictionFolder(tmp_path / "log"), unknown, wait_s=0.0) is None


def test_each_answer_of_a_worker_is_found_by_its_id_whatever_kinds_of_values_its_field_had(tmp_path: Path) -> None:
    fields = ["missing", "text", "whole", "time", "missing", "real"]
    with worker(tmp_path, mark=f"{1:012x}", release=1) as one:
        for number, name in enumerate(fields, 1):
            one.log.add(entry(number, {"x": VALUES[name]}, {"y": np.full(1, float(number))}))
            until(partial(one.has_logged, number))  # in a frame, and so a segment, of its own
            keep(tmp_path)
    folder = PredictionFolder(tmp_path / "log")
    for number in range(1, len(fields) + 1):
        row = predictions.find(folder, f"{1:012x}-{number:x}", wait_s=0.0)
        assert row is not None and row["answer"] == {"y": float(number)}, number
    for unknown in (f"{1:012x}-ff", f"{2:012x}-1", f"{1:012x}-1.1"):
        assert predictions.find(folder, unknown, wait_s=0.0) is None


def test_a_query_that_does_not_name_the_log_opens_none_of_it(tmp_path: Path) -> None:
    logged(tmp_path, {"x": VALUES["whole"]})
    assert predictions.named(PredictionFolder(tmp_path / "log"), "SELECT 1") == {}
    assert [*predictions.named(PredictionFolder(tmp_path / "log"), 'SELECT * FROM "Predictions"')] == ["predictions"]
