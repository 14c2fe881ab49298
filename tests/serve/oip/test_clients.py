"""NVIDIA's tritonclient, unchanged, against a running server: every call of the protocol, and bit-equal answers."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from support import stock
from support.release import TENSORS, release
from support.server import Running

_MOMENTS = ("2022-03-01T12:00:00Z", "1999-12-31T23:59:59.000001Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z")
_DAYS = ("2022-03-01", "0001-01-01", "9999-12-31", "2000-02-29")
_TEXTS = ("", "a", "日本語", "\x00 nul", "x" * 300, "🚕")
_NUMBERS = (0.0, -0.0, 0.1, 1e-308, 5e-324, 1.7976931348623157e308, -1 / 3, 2.0**53 + 2)


def _rows(count: int) -> dict[str, dict[str, Any]]:
    """A tensor a field; every third optional value is missing."""
    draw = random.Random(7)
    columns: dict[str, tuple[str, list[Any], Any]] = {
        "whole": ("INT64", [draw.randint(-(2**63), 2**63 - 1) for _ in range(count)], 0),
        "number": ("FP64", [draw.choice(_NUMBERS) * draw.choice((1, draw.random())) for _ in range(count)], None),
        "truth": ("BOOL", [draw.random() < 0.5 for _ in range(count)], False),
        "text": ("BYTES", [draw.choice(_TEXTS) for _ in range(count)], ""),
        "moment": ("BYTES", [draw.choice(_MOMENTS) for _ in range(count)], ""),
        "day": ("BYTES", [draw.choice(_DAYS) for _ in range(count)], ""),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, (datatype, values, blank) in columns.items():
        missing = [draw.random() < 0.3 for _ in values]
        bounded = [v % 2**50 if name == "whole" else v for v in values]  # a missing neighbour makes it a float
        optional = [blank if lost else v for v, lost in zip(bounded, missing, strict=True)]
        found[name] = {"datatype": datatype, "data": values, "flat": name != "text"}
        found[f"maybe_{name}"] = {"datatype": datatype, "data": optional}
        if name != "number":
            found[f"maybe_{name}.missing"] = {"datatype": "BOOL", "data": missing}
    return found


def _one(**changed: dict[str, Any]) -> dict[str, Any]:
    """One good row for ``mirror``, changed."""
    row: dict[str, Any] = {
        "whole": {"datatype": "INT64", "data": [1]},
        "number": {"datatype": "FP64", "data": [1.5]},
        "truth": {"datatype": "BOOL", "data": [True]},
        "text": {"datatype": "BYTES", "data": ["a"]},
        "moment": {"datatype": "BYTES", "data": ["2022-03-01T12:00:00Z"]},
        "day": {"datatype": "BYTES", "data": ["2022-03-01"]},
    }
    return {name: tensor for name, tensor in (row | changed).items() if tensor}


def _text(value: str) -> dict[str, Any]:
    return {"datatype": "BYTES", "data": [value]}


def _number(datatype: str, value: float | None) -> dict[str, Any]:
    return {"datatype": datatype, "data": [value]}


WRONG = {
    "infinity": (_one(number=_number("FP64", 1e400)), "a finite number, got infinity - at $[0].number"),
    "nothing": (_one(number=_number("FP64", None)), "`float`, got `null` - at $[0].number"),
    "a month": (_one(day=_text("2022-13-01")), "an RFC 3339 date like 2022-03-01 - at $[0].day"),
    "left out": (_one(text={}), "field `text`, got none - at $[0].text"),
    "datatype": (_one(truth=_number("UINT8", 1)), "datatype BOOL for `truth`, got UINT8 - at $.inputs[2].datatype"),
    "too large": (_one(whole=_number("UINT64", 2**63)), f"`int` <= {2**63 - 1} - at $[0].whole"),
    "too exact": (
        _one(number=_number("INT64", 2**53 + 1)),
        f"a whole number up to {2**53} for `number`, got {2**53 + 1} - at $[0].number",
    ),
    "lengths": (
        _one(text={"datatype": "BYTES", "data": ["a", "b"]}),
        "1 values for `text`, as for `whole`, got 2 - at $.inputs[3].shape",
    ),
    "unknown": (_one(texts=_text("a")), "no tensor `texts`; did you mean `text`? - at $.inputs[6].name"),
    "no rows": (_one(whole={"datatype": "INT64", "data": []}), "one row at least, got none - at $.inputs[0].shape"),
    "bound": ({"dishes": {"datatype": "INT64", "data": [21, 1]}}, "`int` <= 20 - at $[0].dishes"),
}


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Everything that the client heard of one server."""
    folder = tmp_path_factory.mktemp("triton")
    grpc_port = stock.free_port()
    running = Running(folder, workers=1, apis=TENSORS, grpc_port=grpc_port)
    try:
        running.serving(1)
        narrow = _one(whole={"datatype": "INT8", "data": [-128]}, number={"datatype": "FP32", "data": [0.1]})
        wrong = {
            name: {"model": "cook" if name == "bound" else "mirror", "rows": rows} for name, (rows, _) in WRONG.items()
        }
        (folder / "rows.json").write_text(json.dumps({"rows": _rows(2000), "narrow": narrow, "wrong": wrong}))
        yield json.loads(stock.ask("triton.py", running.port, grpc_port, folder / "rows.json"))
        assert running.events("defect") == []
    finally:
        running.end()


def test_a_server_and_its_models_tell_what_they_are(heard: dict[str, Any]) -> None:
    assert heard["server"][0] == heard["server"][1]
    assert heard["server"][0]["extensions"] == ["binary_tensor_data"]
    http, grpc = heard["model"]
    assert http["versions"] == ["1"]
    assert http["inputs"][:2] == [
        {"name": "whole", "datatype": "INT64", "shape": [-1]},
        {"name": "number", "datatype": "FP64", "shape": [-1]},
    ]
    assert {o["name"] for o in http["outputs"]} - {i["name"] for i in http["inputs"]} == {
        f"maybe_{kind}.missing" for kind in ("whole", "truth", "text", "moment", "day")
    }
    for tensor in (*grpc["inputs"], *grpc["outputs"]):
        tensor["shape"] = [int(size) for size in tensor["shape"]]
    assert grpc == http


@pytest.mark.parametrize("way", ["http", "http texts", "http mixed", "http async", "grpc", "grpc async"])
def test_two_thousand_rows_are_answered_bit_for_bit_as_a_direct_call_answers_them(
    heard: dict[str, Any], way: str
) -> None:
    expected = _direct()
    assert heard[way].keys() == expected.keys()
    for name, values in expected.items():
        assert heard[way][name] == values, name


def _direct() -> dict[str, list[Any]]:
    """What a direct call of the function answers, as the client tells it."""
    given = _rows(2000)
    lost = {name.removesuffix(".missing"): t["data"] for name, t in given.items() if name.endswith(".missing")}
    names = [name for name in given if not name.endswith(".missing")]
    rows = [
        {name: None if lost.get(name) and lost[name][i] else given[name]["data"][i] for name in names}
        for i in range(2000)
    ]
    api = release(1, TENSORS).apis["mirror"]
    decoded, single = api.decode(json.dumps(rows).encode())
    assert not single
    answers = api.answers.rows(api.call(api.take(decoded).columns, 2000))
    blanks = {"INT64": 0, "BOOL": False, "BYTES": ""}
    found: dict[str, list[Any]] = {}
    for name in answers[0]:
        values = [row[name] for row in answers]
        if given[name]["datatype"] == "FP64":
            found[name] = [float("nan" if v is None else v).hex() for v in values]
        else:
            found[name] = [blanks[given[name]["datatype"]] if v is None else v for v in values]
            if name in lost:
                found[f"{name}.missing"] = [v is None for v in values]
    return found


def test_a_response_bears_the_requests_id_and_says_which_answer_it_is(heard: dict[str, Any]) -> None:
    response = heard["response"]
    prediction = response["parameters"].pop("funade-prediction")
    assert prediction.rpartition("-")[0]
    assert response == {
        "model_name": "mirror", "model_version": "1", "id": "7", "parameters": {"funade-release": "1"},
    }  # fmt: skip


def test_only_the_outputs_asked_for_are_answered_in_their_order(heard: dict[str, Any]) -> None:
    assert heard["chosen"] == ["text", "number"]
    assert heard["chosen grpc"] == ["text", "number"]


def test_narrower_numbers_are_taken_without_loss(heard: dict[str, Any]) -> None:
    for narrow in heard["narrow"]:
        assert narrow == {"whole": [-128], "number": [(0.10000000149011612).hex()]}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_request_is_told_what_is_wrong(heard: dict[str, Any], name: str) -> None:
    http, grpc = heard["wrong"][name]
    text = f"request expected {WRONG[name][1]}"
    assert grpc == ["StatusCode.INVALID_ARGUMENT", text]
    assert http == ["422", text.rpartition(" - at ")[0]]
