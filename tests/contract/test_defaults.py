"""Declared defaults: what stands for a missing value, in every way rows come in."""

# ruff: noqa: E501 - a message stands whole on its line

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

import funade as fn
from funade.contract.breaks import breaks
from funade.contract.contract import contract_of
from funade.contract.field import Contract, Field
from funade.contract.openapi import openapi
from funade.contract.request import RequestSchema
from funade.errors import ContractViolation, DeclarationError

TOKYO = ZoneInfo("Asia/Tokyo")
BIG = 2**60 + 1


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Row(msgspec.Struct):
    key: str
    f: Annotated[float, msgspec.Meta(ge=0), fn.default(0.5)]
    g: Annotated[float | None, fn.default(1)]
    i: Annotated[int, fn.default(BIG)]
    b: Annotated[bool, fn.default(True)]
    s: Annotated[str, msgspec.Meta(min_length=1), fn.default("none")]
    t: Annotated[datetime, fn.default(datetime(2022, 1, 1))]
    d: Annotated[date, fn.default(date(2022, 1, 1))]
    c: Annotated[Colour, fn.default(Colour.RED)]
    k: Annotated[Literal[1, 2], fn.default(2)]
    plain: float = 0.0


FIELDS = ("f", "g", "i", "b", "s", "t", "d", "c", "k")
WHOLE = {
    "key": "y", "f": 3.0, "g": 2.0, "i": 7, "b": False, "s": "x", "t": "2022-03-01T00:00:00Z", "d": "2022-02-02",
    "c": "blue", "k": 1, "plain": 9.0,
}  # fmt: skip


class Answer(msgspec.Struct):
    y: float


@pytest.fixture
def requests() -> RequestSchema:
    return RequestSchema(Row, zone=TOKYO)


def listed(columns: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: array.tolist() for name, array in columns.items()}


FILLED = {
    "f": 0.5, "g": 1.0, "i": BIG, "b": True, "s": "none", "t": datetime(2021, 12, 31, 15), "d": date(2022, 1, 1),
    "c": "red", "k": 2,
}  # fmt: skip


@pytest.mark.parametrize("absent", [{}, dict.fromkeys(FIELDS)], ids=["left out", "null"])
def test_a_missing_value_gets_its_default_and_is_marked(requests: RequestSchema, absent: dict[str, Any]) -> None:
    rows, _ = requests.decode(msgspec.json.encode([{"key": "x", **absent}, WHOLE]))

    taken = requests.take(rows)

    columns = listed(taken.columns)
    assert list(columns) == [f.name for f in requests.fields]
    assert {name: columns[name][0] for name in FIELDS} == FILLED
    assert columns["t"][1] == datetime(2022, 3, 1)
    assert [columns[name][1] for name in ("f", "i", "b", "s", "c", "k")] == [3.0, 7, False, "x", "blue", 1]
    assert taken.defaults is not None
    assert listed(taken.defaults) == {name: [True, False] for name in FIELDS}
    assert {name: taken.columns[name].dtype.kind for name in FIELDS} == {
        "f": "f", "g": "f", "i": "i", "b": "b", "s": "O", "t": "M", "d": "M", "c": "O", "k": "i",
    }  # fmt: skip
    assert listed(requests.take(rows).columns) == columns


def test_nothing_is_marked_where_nothing_is_missing(requests: RequestSchema) -> None:
    assert requests.take(requests.decode(msgspec.json.encode(WHOLE))[0]).defaults is None


def test_an_ordinary_default_is_not_counted() -> None:
    class Plain(msgspec.Struct):
        x: float = 0.0
        n: float | None = None

    requests = RequestSchema(Plain, zone=TOKYO)
    taken = requests.take(requests.decode(b"{}")[0])

    assert (taken.columns["x"].tolist(), taken.defaults) == ([0.0], None)
    assert math.isnan(taken.columns["n"][0])


@pytest.mark.parametrize("missing", [None, math.nan])
def test_rows_of_a_table_get_defaults_for_null_nan_and_absent_columns(requests: RequestSchema, missing: Any) -> None:
    rows, refused = requests.convert(
        [{"key": "x", "f": missing, "i": missing, "k": 1.0}, {"key": "y", "f": 2.0, "i": 3.0}]
    )

    taken = requests.take(rows)

    assert refused == [] and taken.defaults is not None
    assert (taken.columns["f"].tolist(), taken.columns["i"].tolist()) == ([0.5, 2.0], [BIG, 3])
    assert taken.defaults["f"].tolist() == taken.defaults["i"].tolist() == [True, False]
    assert taken.defaults["k"].tolist() == [False, True]


def test_columns_are_filled_as_rows_are(requests: RequestSchema) -> None:
    rows, _ = requests.decode(msgspec.json.encode([{"key": "x"}, WHOLE, {"key": "z"}]))
    expected = requests.take(rows)
    given = {
        "plain": np.array([0.0, 9.0, 0.0]),
        "f": np.array([np.nan, 3.0, np.nan]),
        "g": np.array([None, 2.0, np.nan], object),
        "i": np.array([np.nan, 7.0, np.nan]),
        "b": np.array([None, False, None], object),
        "s": np.array([None, "x", None], object),
        "t": np.array(["NaT", "2022-03-01", "NaT"], "datetime64[us]"),
        "d": np.array(["NaT", "2022-02-02", "NaT"], "datetime64[D]"),
        "c": np.array([None, "blue", None], object),
        "k": np.array([None, 1, None], object),
        "key": np.array(["x", "y", "z"], object),
    }

    taken = requests.fill_defaults(given, 3)

    assert listed(taken.columns) == listed(expected.columns)
    assert {n: a.dtype for n, a in taken.columns.items()} == {n: a.dtype for n, a in expected.columns.items()}
    assert taken.defaults is not None and expected.defaults is not None
    assert listed(taken.defaults) == listed(expected.defaults)
    assert given["f"].tolist()[1] == 3.0 and math.isnan(given["f"][0])  # the caller's columns stay as they were


def test_absent_columns_are_missing_in_every_row(requests: RequestSchema) -> None:
    taken = requests.fill_defaults({"key": np.array(["x", "y"], object)}, 2)

    assert {name: taken.columns[name].tolist() for name in FIELDS} == {n: [v, v] for n, v in FILLED.items()}
    assert taken.defaults is not None and taken.defaults["s"].tolist() == [True, True]


def test_no_rows_have_no_defaults(requests: RequestSchema) -> None:
    assert requests.take([]).defaults is None
    taken = requests.fill_defaults({"key": np.empty(0, object)}, 0)
    assert (taken.defaults, taken.columns["i"].dtype) == (None, np.int64)


def test_a_value_that_is_there_must_keep_the_contract(requests: RequestSchema) -> None:
    for body, told in [
        (b'{"key": "x", "f": -1}', "request expected `float` >= 0.0"),
        (b'{"key": "x", "f": "1"}', "request expected `float | null`, got `str`"),
        (b'{"key": "x", "c": "green"}', "request expected one of 'blue', 'red', got 'green'"),
        (b'{"key": null}', "request expected `str`, got `null`"),
    ]:
        with pytest.raises(ContractViolation) as error:
            requests.decode(body)
        assert error.value.what == told


def test_a_structs_own_check_sees_the_default() -> None:
    class Checked(msgspec.Struct, frozen=True):
        least: Annotated[float, fn.default(1.0)]
        most: float

        def __post_init__(self) -> None:
            if self.least > self.most:
                raise ValueError("least > most")

    requests = RequestSchema(Checked, zone=TOKYO)

    taken = requests.take(requests.decode(b'[{"most": 2}, {"least": 1.5, "most": 2}]')[0])
    assert taken.columns["least"].tolist() == [1.0, 1.5]
    assert taken.defaults is not None and taken.defaults["least"].tolist() == [True, False]
    with pytest.raises(ContractViolation, match="least > most"):
        requests.decode(b'{"most": 0.5}')


def made(annotation: Any, default: Any = msgspec.NODEFAULT) -> Callable[[], Contract]:
    field = ("x", annotation) if default is msgspec.NODEFAULT else ("x", annotation, default)
    return lambda: contract_of(msgspec.defstruct("X", [field]), Answer, place="taxi.py:1")


@pytest.mark.parametrize(
    ("contract", "told"),
    [
        (made(Annotated[float, msgspec.Meta(ge=0), fn.default(-1)]), "expected a default that a client could send, got -1"),
        (made(Annotated[float, fn.default(math.nan)]), "expected a default that a client could send, got nan"),
        (made(Annotated[int, fn.default(1.5)]), "expected a default that a client could send, got 1.5"),
        (made(Annotated[str, fn.default(1)]), "expected a default that a client could send, got 1"),
        (made(Annotated[Colour, fn.default("green")]), "expected a default that a client could send, got 'green'"),
        (made(Annotated[float, fn.default(1.0)], 2.0), "expected one default, got fn.default(…) and another"),
    ],
)  # fmt: skip
def test_a_default_that_breaks_its_own_field_is_refused_at_import(contract: Callable[[], Contract], told: str) -> None:
    with pytest.raises(DeclarationError) as error:
        contract()
    assert error.value.what == f"struct `X` field `x` {told}"
    assert error.value.at == "taxi.py:1"


def test_no_value_is_no_default_and_an_answer_has_none() -> None:
    with pytest.raises(DeclarationError, match="default expected a value, got None"):
        fn.default(None)
    gives = msgspec.defstruct("Gives", [("y", Annotated[float, fn.default(0.0)])])
    with pytest.raises(DeclarationError, match=r"struct `Gives` field `y` expected no fn.default in an answer"):
        contract_of(Row, gives, place="taxi.py:1")


def test_documents_say_that_the_field_may_be_missing_and_what_then_stands() -> None:
    contract = contract_of(Row, Answer, place="taxi.py:1")

    schema = openapi({"api": contract})["components"]["schemas"]["api.takes"]

    assert schema["required"] == ["key"]
    assert schema["properties"]["f"] == {"type": ["number", "null"], "format": "double", "minimum": 0.0, "default": 0.5}
    found = next(f for f in contract.takes_fields if f.name == "f")
    assert found == Field("f", "float", required=False, nullable=True, default=0.5, ge=0.0, filled=True)
    assert msgspec.json.decode(msgspec.json.encode(contract), type=Contract) == contract


REQUIRED, OPTIONAL = made(float), made(float, 0.0)
NULLABLE, FILLED_X = made(float | None, None), made(Annotated[float, fn.default(0.0)])
LOST = "request field `x` lost its default: expected 0.0 where missing, got a missing value refused"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (REQUIRED, FILLED_X, []),
        (OPTIONAL, FILLED_X, []),
        (NULLABLE, FILLED_X, []),
        (FILLED_X, made(Annotated[float, fn.default(1.0)]), []),
        (FILLED_X, NULLABLE, []),
        (FILLED_X, REQUIRED, [LOST]),
        (FILLED_X, OPTIONAL, [LOST]),
    ],
)
def test_adding_a_default_breaks_nobody_and_taking_it_away_does(
    old: Callable[[], Contract], new: Callable[[], Contract], found: list[str]
) -> None:
    assert [str(b) for b in breaks(old(), new())] == found


def test_a_time_with_an_offset_stands_at_its_moment() -> None:
    class Timed(msgspec.Struct):
        t: Annotated[datetime, fn.default(datetime(2022, 1, 1, tzinfo=UTC))]

    requests = RequestSchema(Timed, zone=TOKYO)

    assert requests.take(requests.decode(b"{}")[0]).columns["t"].tolist() == [datetime(2022, 1, 1)]
