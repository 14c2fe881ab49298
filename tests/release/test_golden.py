"""Golden rows: which requests are drawn, and that the release's every process answers them as the gate did."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import funade as fn
from funade.bind.api import BoundApi
from funade.bind.golden import answer_golden, difference
from funade.contract.contract import contract_of
from funade.declare.spec import Spec
from funade.errors import ContractViolation
from funade.release import golden


class Ask(msgspec.Struct):
    name: str
    size: Annotated[float, msgspec.Meta(ge=0, le=100)]
    count: int | None = None
    at: datetime | None = None


class Told(msgspec.Struct):
    double: float


def bound() -> BoundApi:
    @fn.api(fn.takes(Ask), fn.gives(Told), fn.owner("team"), fn.fallback(double=0.0))
    def doubled(batch: fn.Columns) -> fn.Columns:
        return {"double": 2 * batch["size"]}

    spec = Spec(
        "api", "doubled", "here:1", __name__, "doubled", contract=contract_of(Ask, Told, place="here:1"),
        batch="batch", batch_form="columns", result_form="columns",
    )  # fmt: skip
    return BoundApi(spec, doubled, {}, {}, ZoneInfo("UTC"))


def rows(count: int = 1000) -> pa.Table:
    numbers = np.arange(count)
    return pa.table(
        {
            "id": [f"r{n}" for n in numbers],
            "name": [f"n{n % 7}" for n in numbers],
            "size": (numbers * 37 % 1009) / 11.0,
            "count": pa.array([None if n == 13 else int(n) for n in numbers], pa.int64()),
            "at": pa.array([datetime(2022, 1, 1, tzinfo=UTC)] * count, pa.timestamp("us", tz="UTC")),
            "label": numbers,
        }
    )


def test_200_rows_are_drawn_and_of_each_column_its_least_greatest_and_a_missing_one() -> None:
    drawn = golden.draw(bound(), rows(), ["id"])
    assert 200 <= len(drawn) <= 200 + 3 * 4
    assert set(drawn[0]) == {"name", "size", "count", "at"}
    sizes = [r["size"] for r in drawn]
    assert min(sizes) == min(rows()["size"].to_pylist())
    assert max(sizes) == max(rows()["size"].to_pylist())
    counts = [r["count"] for r in drawn]
    assert None in counts and 0 in counts and 999 in counts


def test_drawing_depends_on_the_key_alone_and_not_on_the_order_of_rows() -> None:
    table = rows()
    backwards = table.take(pa.array(np.arange(table.num_rows)[::-1]))
    drawn = golden.draw(bound(), table, ["id"])
    assert drawn == golden.draw(bound(), table, ["id"])
    assert drawn[:200] == golden.draw(bound(), backwards, ["id"])[:200]
    assert drawn[:200] != golden.draw(bound(), table, [])[:200]


def test_rows_that_the_contract_refuses_are_passed_over() -> None:
    table = rows(300)
    sizes = [-1.0 if n % 3 == 0 else 1e6 if n == 1 else 5.0 + n / 10 for n in range(300)]
    drawn = golden.draw(bound(), table.set_column(2, "size", pa.array(sizes)), ["id"])
    kept = [r["size"] for r in drawn]
    assert min(kept) == 5.2 and max(kept) == 34.9
    assert len(drawn) == 199


def test_no_row_and_no_column_draw_nothing() -> None:
    assert golden.draw(bound(), rows(0), ["id"]) == []
    assert golden.draw(bound(), rows().select(["label"]), []) == []


def test_equal_requests_are_asked_once_where_they_stood_first() -> None:
    one: dict[str, Any] = {"a": 1, "b": 2}
    assert golden.unique([one, {"b": 3}, {"b": 2, "a": 1}]) == [one, {"b": 3}]


def test_drawn_requests_are_json_and_are_answered_the_same_after_being_kept() -> None:
    api = bound()
    kept = answer_golden(api, golden.draw(api, rows(), ["id"]))
    again = msgspec.json.decode(msgspec.json.encode(kept), type=type(kept))
    assert difference(api, again) == ""
    wrong = msgspec.structs.replace(again, answers=[{"double": -1.0}, *again.answers[1:]])
    assert difference(api, wrong) == (
        f"api `doubled` expected {{'double': -1.0}} for golden row 0, got {again.answers[0]}"
    )


def test_a_file_adds_requests_and_its_empty_lines_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "asked.jsonl"
    file.write_text('{"name": "a", "size": 1}\n\n{"name": "b", "size": 2, "at": "2022-01-01T00:00:00Z"}\n')
    assert [r["name"] for r in golden.read(file, "asked.jsonl", bound())] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"name": "a", "size": 1}\n[1]\n', "expected a JSON object on each line, got '[1]' - at asked.jsonl:2"),
        (
            '{"name": "a", "size": -1}\n',
            "expected golden rows that it takes, got one that it refuses: expected `float` >= 0.0 - at $.size "
            "- at asked.jsonl:1",
        ),
        (None, "expected golden rows in asked.jsonl, got FileNotFoundError"),
    ],
)
def test_a_line_that_is_no_request_is_named(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "asked.jsonl"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ContractViolation) as refused:
        golden.read(file, "asked.jsonl", bound())
    assert str(refused.value) == f"api `doubled` {message}"
