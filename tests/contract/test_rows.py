from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum, StrEnum
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from funade.contract.answer import AnswerSchema
from funade.contract.contract import contract_of, default, fields_of
from funade.contract.form import Form
from funade.contract.from_frame import from_frame
from funade.contract.outcome import ERROR, NAN
from funade.contract.request import RequestSchema
from funade.contract.to_frame import to_frame
from funade.errors import AnswerError, ContractViolation, DeclarationError

TOKYO = ZoneInfo("Asia/Tokyo")
INT_MAX, INT_MIN = 2**63 - 1, -(2**63)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Row(msgspec.Struct):
    """Every supported type, once required and once nullable."""

    b: bool
    i: int
    f: float
    s: str
    t: datetime
    d: date
    k: Literal["x", "y"]
    c: Colour
    z: Size = Size.SMALL
    nb: bool | None = None
    ni: int | None = None
    nf: float | None = None
    ns: str | None = None
    nt: datetime | None = None
    nd: date | None = None
    nz: Size | None = None


class Ride(msgspec.Struct):
    fare_yen: Annotated[float, msgspec.Meta(ge=0, le=100)]
    seats: Annotated[int, msgspec.Meta(gt=0, lt=9)] = 1
    note: Annotated[str, msgspec.Meta(max_length=3)] = ""
    kind: Literal["a", "b"] = "a"
    at: datetime | None = None
    day: date | None = None


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    a: int


FULL: dict[str, Any] = {
    "b": True, "i": 3, "f": 1.5, "s": "北千住 🚕", "t": "2022-01-01T09:00:00", "d": "2022-01-02", "k": "x", "c": "red",
    "z": 2, "nb": False, "ni": 4, "nf": 2.5, "ns": "x", "nt": "2022-01-01T00:00:00Z", "nd": "2022-01-03", "nz": 1,
}  # fmt: skip
BARE = {name: value for name, value in FULL.items() if not name.startswith("n") and name != "z"}


def rides(most_rows: int = 100_000) -> RequestSchema:
    return RequestSchema(Ride, zone=TOKYO, most_rows=most_rows)


def refused(requests: RequestSchema, body: bytes | str) -> tuple[str, Any]:
    with pytest.raises(ContractViolation) as violation:
        requests.decode(body if isinstance(body, bytes) else body.encode())
    return str(violation.value), violation.value.path


# --- requests ------------------------------------------------------------------------------------------------------


def test_one_object_and_an_array_are_told_apart() -> None:
    requests = rides()
    (row,), single = requests.decode(b' \n{"fare_yen": 1, "unknown": [1, {"a": 2}]}')
    assert single
    assert isinstance(row, Ride)
    assert (row.fare_yen, row.seats) == (1.0, 1)
    rows, single = requests.decode(b'[{"fare_yen": 1}, {"fare_yen": 2}]')
    assert not single
    assert [r.fare_yen for r in rows] == [1.0, 2.0]


def test_an_empty_array_is_no_rows_and_gives_empty_columns() -> None:
    requests = RequestSchema(Row, zone=TOKYO)
    rows, single = requests.decode(b"[]")
    assert (rows, single) == ([], False)
    columns = requests.take(rows).columns
    assert list(columns) == list(Row.__struct_fields__)
    assert {len(array) for array in columns.values()} == {0}


def test_every_type_becomes_its_column() -> None:
    requests = RequestSchema(Row, zone=TOKYO)
    rows, _ = requests.decode(json.dumps([FULL, BARE]).encode())
    columns = requests.take(rows).columns
    assert list(columns) == list(Row.__struct_fields__)
    assert {name: str(array.dtype) for name, array in columns.items()} == {
        "b": "bool", "i": "int64", "f": "float64", "s": "object", "t": "datetime64[us]", "d": "datetime64[D]",
        "k": "object", "c": "object", "z": "int64", "nb": "object", "ni": "float64", "nf": "float64", "ns": "object",
        "nt": "datetime64[us]", "nd": "datetime64[D]", "nz": "float64",
    }  # fmt: skip
    assert columns["b"].tolist() == [True, True]
    assert columns["s"].tolist() == ["北千住 🚕"] * 2
    assert columns["t"].tolist() == [datetime(2022, 1, 1)] * 2  # 09:00 in Tokyo
    assert columns["d"].tolist() == [date(2022, 1, 2)] * 2
    assert columns["c"].tolist() == ["red", "red"]
    assert type(columns["c"][0]) is str
    assert columns["z"].tolist() == [2, 1]
    assert columns["nb"].tolist() == [False, None]
    assert columns["ns"].tolist() == ["x", None]
    assert columns["nt"].tolist() == [datetime(2022, 1, 1), None]
    assert columns["nd"].tolist() == [date(2022, 1, 3), None]
    for name in ("ni", "nf", "nz"):
        assert math.isnan(columns[name][1])
    assert all(array.flags.c_contiguous and array.flags.writeable for array in columns.values())


def test_a_column_can_be_changed_without_touching_another() -> None:
    class Pair(msgspec.Struct):
        x: float
        y: float

    requests = RequestSchema(Pair, zone=TOKYO)
    columns = requests.take(requests.decode(b'[{"x":1,"y":2},{"x":3,"y":4}]')[0]).columns
    columns["x"] *= 10
    assert columns["y"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("body", "message", "path"),
    [
        ("", "request expected JSON, got a truncated body - at $", "$"),
        ('{"fare_yen": 1', "request expected JSON, got a truncated body - at $", "$"),
        ('{"fare_yen": 1}x', "request expected JSON, got trailing characters (byte 16) - at $", "$"),
        ("null", "request expected `object | array`, got `null` - at $", "$"),
        ("3", "request expected `object | array`, got `int` - at $", "$"),
        ("[[]]", "request expected `object`, got `array` - at $[0]", "$[0]"),
        ("{}", "request expected field `fare_yen`, got none - at $.fare_yen", "$.fare_yen"),
        ('[{"fare_yen":1},{}]', "request expected field `fare_yen`, got none - at $[1].fare_yen", "$[1].fare_yen"),
        ('{"fare_yen": null}', "request expected `float`, got `null` - at $.fare_yen", "$.fare_yen"),
        ('{"fare_yen": "1"}', "request expected `float`, got `str` - at $.fare_yen", "$.fare_yen"),
        ('{"fare_yen": true}', "request expected `float`, got `bool` - at $.fare_yen", "$.fare_yen"),
        ('{"fare_yen": -0.1}', "request expected `float` >= 0.0 - at $.fare_yen", "$.fare_yen"),
        ('{"fare_yen": 100.1}', "request expected `float` <= 100.0 - at $.fare_yen", "$.fare_yen"),
        (
            '[{"fare_yen":1},{"fare_yen":1},{"fare_yen":1},{"fare_yen":-1}]',
            "request expected `float` >= 0.0 - at $[3].fare_yen",
            "$[3].fare_yen",
        ),
        ('{"fare_yen": NaN}', "request expected JSON, got invalid character (byte 13) - at $", "$"),
        ('{"fare_yen": Infinity}', "request expected JSON, got invalid character (byte 13) - at $", "$"),
        (
            '{"fare_yen": 1e999}',
            "request expected a finite number, got one out of range - at $.fare_yen",
            "$.fare_yen",
        ),
        ('{"fare_yen":1,"seats":1.0}', "request expected `int`, got `float` - at $.seats", "$.seats"),
        ('{"fare_yen":1,"seats":0}', "request expected `int` >= 1 - at $.seats", "$.seats"),
        ('{"fare_yen":1,"seats":9}', "request expected `int` <= 8 - at $.seats", "$.seats"),
        ('{"fare_yen":1,"note":"abcd"}', "request expected `str` of length <= 3 - at $.note", "$.note"),
        ('{"fare_yen":1,"kind":"q"}', "request expected one of 'a', 'b', got 'q' - at $.kind", "$.kind"),
        (
            '{"fare_yen":1,"at":"today"}',
            "request expected an RFC 3339 datetime like 2022-03-01T12:00:00Z - at $.at",
            "$.at",
        ),
        ('{"fare_yen":1,"day":"1 May"}', "request expected an RFC 3339 date like 2022-03-01 - at $.day", "$.day"),
        ('{"fare_yen":1,"at":3}', "request expected `datetime | null`, got `int` - at $.at", "$.at"),
        (b'{"fare_yen":1,"note":"\xff"}', "request expected UTF-8, got another encoding (byte 22) - at $", "$"),
        (b'{"fare_yen":1,"other":"\xff"}', "request expected UTF-8, got another encoding (byte 23) - at $", "$"),
        (b'\xef\xbb\xbf{"fare_yen":1}', "request expected JSON, got invalid character (byte 0) - at $", "$"),
        ('{"fare_yen":1,"note":"\\ud800"}', "request expected JSON, got a truncated body - at $", "$"),
    ],
)
def test_a_request_that_breaks_its_contract_is_refused_with_its_path(
    body: bytes | str, message: str, path: str
) -> None:
    assert refused(rides(), body) == (message, path)


@pytest.mark.parametrize("fare", [0, 100, 0.0, 100.0, -0.0, 5e-324])
def test_a_bound_itself_is_inside(fare: float) -> None:
    rows, _ = rides().decode(json.dumps({"fare_yen": fare, "seats": 8, "note": "北千住"}).encode())
    assert rows[0].fare_yen == fare


@pytest.mark.parametrize("depth", [20_000, 1_000_000])  # how deep one may go is Python's own, and differs
def test_a_deep_body_is_refused(depth: int) -> None:
    requests = rides()
    assert refused(requests, '{"other":' + "[" * depth) == (
        "request expected flat rows, got too many levels - at $",
        "$",
    )
    assert refused(requests, '{"other":' + '{"a":' * depth) == (
        "request expected flat rows, got too many levels - at $",
        "$",
    )
    assert refused(requests, "[" * depth)[1] == "$[0]"
    assert requests.decode(b'{"fare_yen":1}')[1]


def test_too_many_rows_are_refused_and_the_most_are_taken() -> None:
    requests = rides(most_rows=3)
    body = ",".join(['{"fare_yen":1}'] * 3)
    assert len(requests.decode(f"[{body}]".encode())[0]) == 3
    assert refused(requests, f'[{body},{{"fare_yen":1}}]') == ("request expected `array` of length <= 3 - at $", "$")


def test_whole_numbers_are_taken_up_to_64_bits() -> None:
    requests = RequestSchema(Closed, zone=TOKYO)
    rows, _ = requests.decode(json.dumps([{"a": INT_MAX}, {"a": INT_MIN}]).encode())
    assert requests.take(rows).columns["a"].tolist() == [INT_MAX, INT_MIN]
    top = ("request expected `int` <= 9223372036854775807 - at $.a", "$.a")
    low = ("request expected `int` >= -9223372036854775808 - at $.a", "$.a")
    assert refused(requests, json.dumps({"a": INT_MAX + 1})) == top
    assert refused(requests, json.dumps({"a": 10**400})) in (
        top,
        ("request expected a finite number, got one out of range - at $.a", "$.a"),
    )
    assert refused(requests, json.dumps({"a": INT_MIN - 1})) == low


class Missable(msgspec.Struct, kw_only=True):
    n: int | None
    low: Annotated[int, msgspec.Meta(gt=-5)] | None = None
    wide: Annotated[int, msgspec.Meta(gt=-(2**60), lt=2**60)] | None = None
    stands: Annotated[int, default(1)]


@pytest.mark.parametrize("field", ["n", "low", "wide"])
def test_a_whole_number_beside_a_missing_one_keeps_all_digits_or_is_refused(field: str) -> None:
    requests, most = RequestSchema(Missable, zone=TOKYO), 2**53
    rows, _ = requests.decode(json.dumps([{"n": None, field: most}, {"n": None}, {"n": 7, "stands": INT_MAX}]).encode())
    columns = requests.take(rows).columns
    assert (columns[field][0], columns["stands"][2]) == (most, INT_MAX)
    for beyond in (most + 1, most + 2, INT_MAX):
        top = f"expected `int` <= {most} - at $.{field}"
        assert refused(requests, json.dumps({"n": None, field: beyond})) == (f"request {top}", f"$.{field}")
        assert requests.convert([{"n": None, field: beyond}])[1] == [(0, top)]
    if field != "low":
        low = f"request expected `int` >= {-most} - at $.{field}"
        assert refused(requests, json.dumps({"n": None, field: -most - 1})) == (low, f"$.{field}")


def test_what_a_client_wrote_cannot_break_the_line() -> None:
    message, path = refused(RequestSchema(Closed, zone=TOKYO), json.dumps({"a": 1, "x\n" * 500: 2}))
    assert message.isprintable()
    assert (len(message) < 500, len(path)) == (True, 200)


def test_an_unknown_field_is_refused_where_the_struct_says_so() -> None:
    assert refused(RequestSchema(Closed, zone=TOKYO), '[{"a":1,"b":2}]') == (
        "request expected no field `b` - at $[0].b",
        "$[0].b",
    )


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2022-01-01T09:00:00", "2022-01-01T00:00:00"),
        ("2022-01-01T09:00:00Z", "2022-01-01T09:00:00"),
        ("2022-01-01T09:00:00.123456+05:30", "2022-01-01T03:30:00.123456"),
        ("0001-01-01T00:00:00+09:00", "0000-12-31T15:00:00"),
        ("9999-12-31T23:59:59.999999-09:00", "10000-01-01T08:59:59.999999"),
        ("0001-01-01T09:18:59", "0001-01-01T00:00:00"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999"),
    ],
)
def test_times_become_utc_and_without_an_offset_are_read_in_the_zone(text: str, utc: str) -> None:
    requests = rides()
    rows, _ = requests.decode(json.dumps({"fare_yen": 1, "at": text}).encode())
    assert requests.take(rows).columns["at"][0] == np.datetime64(utc, "us")


def test_a_time_that_the_clock_shows_twice_is_the_earlier_and_a_skipped_one_is_taken() -> None:
    requests = RequestSchema(Ride, zone=ZoneInfo("America/New_York"))
    body = '[{"fare_yen":1,"at":"2022-11-06T01:30:00"},{"fare_yen":1,"at":"2022-03-13T02:30:00"}]'
    times = requests.take(requests.decode(body.encode())[0]).columns["at"]
    assert times.tolist() == [datetime(2022, 11, 6, 5, 30), datetime(2022, 3, 13, 7, 30)]


def test_a_structs_own_check_refuses_a_row() -> None:
    class Ordered(msgspec.Struct):
        low: float
        high: float

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low is above high")

    assert refused(RequestSchema(Ordered, zone=TOKYO), '[{"low":2,"high":1}]') == (
        "request expected a valid row, got: low is above high - at $[0]",
        "$[0]",
    )


def test_the_first_missing_field_is_the_first_declared() -> None:
    class Two(msgspec.Struct):
        number: float
        text: str

    assert refused(RequestSchema(Two, zone=TOKYO), "{}")[1] == "$.number"


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda t: t.encode("utf-8", "surrogatepass")))
def test_no_body_raises_anything_but_a_contract_violation(body: bytes) -> None:
    requests = rides()
    for wrapped in (body, b'{"fare_yen":' + body + b"}", b'{"fare_yen":1,"note":"' + body + b'"}'):
        try:
            rows, _ = requests.decode(wrapped)
        except ContractViolation as violation:
            assert isinstance(violation.path, str)
            assert violation.path.startswith("$")
            assert str(violation).isprintable()
        else:
            requests.take(rows).columns


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FULL, "zz"]), inner, max_size=5),
    max_leaves=12,
)


@given(_json)
def test_no_json_raises_anything_but_a_contract_violation(value: Any) -> None:
    requests = RequestSchema(Row, zone=TOKYO)
    for shaped in (value, FULL | value if isinstance(value, dict) else {**FULL, "f": value}):
        try:
            rows, _ = requests.decode(json.dumps(shaped).encode())
        except ContractViolation:
            continue
        requests.take(rows).columns


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)))
def test_a_float_travels_through_json_columns_and_back_with_every_bit(values: list[float]) -> None:
    class One(msgspec.Struct):
        x: float

    requests, answers = RequestSchema(One, zone=TOKYO), AnswerSchema(fields_of(One, place="x"))
    rows, _ = requests.decode(json.dumps([{"x": v} for v in values]).encode())
    columns = answers.check(requests.take(rows).columns, len(values))
    back = json.loads(answers.encode(columns, 0, len(values), single=False))
    assert [math.copysign(1, r["x"]) for r in back] == [math.copysign(1, v) for v in values]
    assert [r["x"] for r in back] == values


_values = {
    "b": st.booleans(),
    "i": st.integers(INT_MIN, INT_MAX),
    "f": st.floats(allow_nan=False, allow_infinity=False),
    "s": st.text(st.characters(exclude_categories=["Cs"])),
    "t": st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)),
    "d": st.dates(),
    "k": st.sampled_from(["x", "y"]),
    "c": st.sampled_from(["red", "blue"]),
    "z": st.sampled_from([1, 2]),
    "nb": st.none() | st.booleans(),
    "ni": st.none() | st.integers(-(2**53), 2**53),
    "nf": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "ns": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    "nt": st.none() | st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC)),
    "nd": st.none() | st.dates(),
    "nz": st.none() | st.sampled_from([1, 2]),
}


@given(st.lists(st.fixed_dictionaries(_values), max_size=4), st.sampled_from(["pandas", "polars", "arrow", "columns"]))
def test_rows_come_back_from_every_frame_as_they_went_in(rows: list[dict[str, Any]], form: Form) -> None:
    requests, answers = RequestSchema(Row, zone=TOKYO), AnswerSchema(fields_of(Row, place="x"))
    decoded, _ = requests.decode(msgspec.json.encode(rows))
    frame = to_frame(requests.take(decoded).columns, form, fields=requests.fields)
    columns = from_frame(frame, form=form, rows=len(rows), zone=TOKYO)
    checked = answers.check(columns, len(rows), api="echo")
    assert answers.rows(checked) == msgspec.json.decode(msgspec.json.encode(rows))


# --- rows of a table -----------------------------------------------------------------------------------------------


def test_a_tables_rows_are_read_as_requests_and_the_refused_are_named() -> None:
    at = datetime(2022, 1, 1, tzinfo=timezone(timedelta(hours=9)))
    rows: list[dict[str, Any]] = [
        {"fare_yen": 1.0, "seats": 2, "note": "a", "kind": "b", "at": at, "day": date(2022, 1, 1), "extra": object()},
        {"fare_yen": -1.0},
        {"fare_yen": float("nan")},
        {"fare_yen": None, "seats": 1},
        {"fare_yen": float("inf")},
        {"fare_yen": 2, "seats": None, "at": None},
        {"fare_yen": 3, "seats": 4.0},
        {"fare_yen": 3, "seats": 4.5},
        {"fare_yen": 3, "seats": float("nan")},
        {"fare_yen": 3, "seats": True},
    ]
    requests = RequestSchema(Ride, zone=TOKYO)
    kept, bad = requests.convert(rows)
    assert [(r.fare_yen, r.seats, r.at) for r in kept] == [(1.0, 2, at), (2.0, 1, None), (3.0, 4, None), (3.0, 1, None)]
    assert bad == [
        (1, "expected `float` >= 0.0 - at $.fare_yen"),
        (2, "expected field `fare_yen`, got none - at $.fare_yen"),
        (3, "expected field `fare_yen`, got none - at $.fare_yen"),
        (4, "expected `float` <= 100.0 - at $.fare_yen"),
        (7, "expected `int`, got `float` - at $.seats"),
        (9, "expected `int`, got `bool` - at $.seats"),
    ]


def test_an_infinite_number_of_a_table_is_refused_also_without_bounds() -> None:
    class One(msgspec.Struct):
        x: float | None = None

    kept, bad = RequestSchema(One, zone=TOKYO).convert([{"x": math.inf}, {"x": -math.inf}, {"x": math.nan}, {}])
    assert [r.x for r in kept] == [None, None]
    assert bad == [(i, "expected a finite number, got infinity - at $.x") for i in (0, 1)]


def test_a_missing_value_is_null_where_taken_and_an_absent_column_the_default() -> None:
    class Odd(msgspec.Struct):
        must: float | None
        may: float | None = 3.0
        other: float = 4.0

    requests = RequestSchema(Odd, zone=TOKYO)
    kept, bad = requests.convert([{"must": None, "may": None, "other": None}, {"must": 1.0}, {}])
    assert [(r.must, r.may, r.other) for r in kept] == [(None, None, 4.0), (1.0, 3.0, 4.0)]
    assert bad == [(2, "expected field `must`, got none - at $.must")]


def test_rows_of_arrow_convert_as_the_same_rows_in_json() -> None:
    table = pa.table({"fare_yen": [1.0, None], "at": pa.array([datetime(2022, 1, 1, tzinfo=UTC), None])})
    requests = RequestSchema(Ride, zone=TOKYO)
    kept, bad = requests.convert(table.to_pylist())
    from_json, _ = requests.decode(b'{"fare_yen": 1.0, "at": "2022-01-01T00:00:00Z"}')
    assert kept == from_json
    assert [index for index, _ in bad] == [1]


# --- frames --------------------------------------------------------------------------------------------------------


def batch(rows: int = 2) -> tuple[RequestSchema, dict[str, np.ndarray[Any, Any]]]:
    requests = RequestSchema(Row, zone=TOKYO)
    bodies = [FULL, *[BARE] * (rows - 1)] if rows else []
    return requests, requests.take(requests.decode(json.dumps(bodies).encode())[0]).columns


def stored(columns: dict[str, np.ndarray[Any, Any]], requests: RequestSchema) -> pa.Table:
    return to_frame(columns, "arrow", fields=requests.fields)


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
def test_a_pandas_batch_is_typed_as_a_stored_table_is(rows: int) -> None:
    requests, columns = batch(rows)
    frame = to_frame(columns, "pandas", fields=requests.fields)
    expected = stored(columns, requests).to_pandas()
    nullable = [f.name for f in requests.fields if f.nullable and f.type == "int"]  # float64 whether missing or not
    expected = expected.astype(dict.fromkeys(nullable, "float64"))
    expected["nb"] = expected["nb"].astype(object)
    pd.testing.assert_frame_equal(frame, expected)
    assert type(frame.index) is pd.RangeIndex


def test_text_that_is_missing_everywhere_is_still_text() -> None:
    requests = RequestSchema(Row, zone=TOKYO)
    columns = requests.take(requests.decode(json.dumps(BARE).encode())[0]).columns
    assert str(to_frame(columns, "pandas", fields=requests.fields)["ns"].dtype) == "str"
    assert to_frame(columns, "polars", fields=requests.fields)["ns"].dtype == pl.String
    assert to_frame(columns, "polars", fields=requests.fields)["ni"].dtype == pl.Int64


def test_a_batch_can_be_changed_without_touching_the_columns() -> None:
    requests, columns = batch()
    frame = to_frame(columns, "pandas", fields=requests.fields)
    frame["f"] = frame["f"] * 2
    frame.loc[0, "i"] = 99
    assert columns["f"].tolist() == [1.5, 1.5]
    assert columns["i"].tolist() == [3, 3]


def test_polars_and_arrow_batches_have_null_for_missing_and_utc_times() -> None:
    requests, columns = batch()
    table = to_frame(columns, "arrow", fields=requests.fields)
    assert {f.name: str(f.type) for f in table.schema} == {
        "b": "bool", "i": "int64", "f": "double", "s": "string", "t": "timestamp[us, tz=UTC]", "d": "date32[day]",
        "k": "string", "c": "string", "z": "int64", "nb": "bool", "ni": "int64", "nf": "double", "ns": "string",
        "nt": "timestamp[us, tz=UTC]", "nd": "date32[day]", "nz": "int64",
    }  # fmt: skip
    assert {n for n in table.column_names if table[n].null_count} == {"nb", "ni", "nf", "ns", "nt", "nd", "nz"}
    frame = to_frame(columns, "polars", fields=requests.fields)
    assert frame["t"].dtype == pl.Datetime("us", "UTC")
    assert frame.null_count().row(0)[-1] == 1


def test_a_batch_has_no_other_form() -> None:
    with pytest.raises(DeclarationError, match=r"^batch expected as pandas, polars, arrow or columns, got 'relation'$"):
        to_frame({}, "relation")


class Verdict(msgspec.Struct):
    score: Annotated[float, msgspec.Meta(ge=0, le=1)]
    block: bool


def answered(result: Any, rows: int = 2, form: Form = "pandas") -> list[dict[str, Any]]:
    answers = AnswerSchema(fields_of(Verdict, place="x"))
    columns = from_frame(result, form=form, rows=rows, api="screen", zone=TOKYO)
    return answers.rows(answers.check(columns, rows, api="screen"))


SCORES = {"score": [0.5, 1.0], "block": [False, True]}
EXPECTED = [{"score": 0.5, "block": False}, {"score": 1.0, "block": True}]


@pytest.mark.parametrize(
    "result",
    [
        pd.DataFrame(SCORES),
        pd.DataFrame(SCORES, index=[0, 1]),
        pd.DataFrame(SCORES)[["block", "score"]],
        pd.DataFrame(SCORES).astype({"score": "float32", "block": "int8"}),
        pd.DataFrame(SCORES).astype({"score": "Float64", "block": "boolean"}),
        pd.DataFrame(SCORES).astype(object),
        pl.DataFrame(SCORES),
        pl.LazyFrame(SCORES),
        pa.table(SCORES),
        pa.RecordBatch.from_pydict(SCORES),
        {name: np.array(values) for name, values in SCORES.items()},
        {"score": np.array([0.5, 1.0], dtype="float32"), "block": [0, 1]},
        {name: pd.Series(values) for name, values in SCORES.items()},
    ],
    ids=lambda r: type(r).__name__,
)
def test_any_frame_of_the_right_values_is_an_answer(result: Any) -> None:
    assert answered(result) == EXPECTED


_POSITION = "answers align by position:"


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (
            pd.DataFrame(SCORES, index=[1, 0]),
            "api `screen` answered a permuted index (row 0 is labelled 1), expected 0 to 1 in order; "
            f"{_POSITION} return them in the batch's order",
        ),
        (
            pd.DataFrame(SCORES, index=[0, 2]),
            "api `screen` answered another index (row 1 is labelled 2), expected 0 to 1 in order; "
            f"{_POSITION} keep the batch's index, or reset_index(drop=True)",
        ),
        (
            pd.DataFrame(SCORES, index=["a", "b"]),
            "api `screen` answered another index (row 0 is labelled 'a'), expected 0 to 1 in order; "
            f"{_POSITION} keep the batch's index, or reset_index(drop=True)",
        ),
        (
            pd.DataFrame(SCORES).iloc[:1],
            "api `screen` answered 1 rows, expected 2; return one answer per row, in the batch's order",
        ),
        (
            pl.DataFrame(SCORES).head(1),
            "api `screen` answered 1 rows, expected 2; return one answer per row, in the batch's order",
        ),
        (
            {"score": np.zeros(3), "block": np.zeros(3, dtype=bool)},
            "api `screen` answered 3 rows, expected 2; return one answer per row, in the batch's order",
        ),
        (
            {"score": np.zeros((2, 2)), "block": [True, False]},
            "api `screen` answered `score` with shape (2, 2), expected one value a row",
        ),
        ({"score": 0.5, "block": True}, "api `screen` answered `score` with shape (), expected one value a row"),
        (None, "api `screen` answered None, expected a pandas frame; return one column per field"),
        ([0.5], "api `screen` answered list, expected a pandas frame; return one column per field"),
        (
            pd.Series([0.5, 1.0]),
            "api `screen` answered Series, expected a pandas frame; return one column per field",
        ),
        (
            pd.DataFrame([[0.5, 1.0, True]] * 2, columns=["score", "score", "block"]),
            "api `screen` answered column `score` twice, expected each once; drop or rename one",
        ),
        (
            pd.DataFrame({"score": [0.5, 1.0]}),
            "api `screen` answered no column `block`, got score; return `block`",
        ),
        (
            pd.DataFrame(SCORES | {"why": ["a", "b"]}),
            "api `screen` answered an extra column `why`, expected score, block; leave it out",
        ),
        (
            pd.DataFrame(SCORES | {"score": ["a", "b"]}),
            "api `screen` answered `score` as str, expected float; convert the column",
        ),
        (
            pd.DataFrame(SCORES | {"score": [True, False]}),
            "api `screen` answered `score` as bool, expected float; convert the column",
        ),
        (
            pd.DataFrame(SCORES | {"block": [0, 2]}),
            "api `screen` answered `block` as int64, expected bool; convert the column",
        ),
        (
            pd.DataFrame(SCORES | {"block": [0.0, 1.0]}),
            "api `screen` answered `block` as float64, expected bool; convert the column",
        ),
    ],
)
def test_a_result_that_is_no_answer_is_refused(result: Any, message: str) -> None:
    with pytest.raises(AnswerError) as error:
        answered(result)
    assert str(error.value) == message


_MEND = "mend the function, or say in the contract that such a value may be answered"


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([0.5, math.nan], "row 1 with `score` nan"),
        ([math.inf, 0.5], "row 0 with `score` inf"),
        ([0.5, -math.inf], "row 1 with `score` -inf"),
        ([0.5, 1.0000000000000002], "row 1 with `score` 1.0000000000000002"),
        ([-5e-324, 0.5], "row 0 with `score` -5e-324"),
        ([None, 0.5], "row 0 with `score` nan"),
    ],
)
def test_a_value_that_may_not_leave_is_named_with_its_row(scores: list[float], told: str) -> None:
    with pytest.raises(AnswerError) as error:
        answered({"score": scores, "block": [True, False]}, form="columns")
    assert str(error.value) == f"api `screen` answered {told}, expected a finite number >= 0 and <= 1; {_MEND}"


def test_a_bad_row_is_told_without_its_neighbours() -> None:
    answers = AnswerSchema(fields_of(Verdict, place="x"))
    columns = {"score": np.array([0.1, np.nan, 0.3, 7.0]), "block": np.zeros(4, dtype=bool)}
    settled, bad = answers.judge(columns, 4, api="screen")
    assert bad == {
        1: (NAN, "`score` nan, expected a finite number >= 0 and <= 1"),
        3: (ERROR, "`score` 7.0, expected a finite number >= 0 and <= 1"),
    }
    assert settled["score"][[0, 2]].tolist() == [0.1, 0.3]


class Wide(msgspec.Struct):
    n: Annotated[int, msgspec.Meta(gt=0, lt=4)] | None
    s: Annotated[str, msgspec.Meta(max_length=2)]
    k: Literal["a", "b"] | None
    t: datetime | None
    d: date | None
    f: float | None
    ok: bool | None
    e: float = 2.0
    at: datetime = datetime(2022, 1, 1)


def wide(**changes: Any) -> dict[str, Any]:
    fine = {"n": [1, 3], "s": ["x", "yy"], "k": ["a", None], "t": None, "d": None, "f": [1.0, None], "ok": [True, None]}
    found = fine | changes
    return {name: np.array([None, None] if v is None else v) for name, v in found.items()}


def wide_rows(columns: dict[str, Any]) -> list[dict[str, Any]]:
    answers = AnswerSchema(fields_of(Wide, place="x"))
    found = from_frame(columns, form="columns", rows=2, api="wide")
    return answers.rows(answers.check(found, 2, api="wide"))


def test_missing_values_are_null_and_a_field_with_a_default_may_be_left_out() -> None:
    assert wide_rows(wide(t=np.array(["2022-01-01", "NaT"], "M8[us]"), d=np.array(["2022-01-01", "NaT"], "M8[D]"))) == [
        {"n": 1, "s": "x", "k": "a", "t": "2022-01-01T00:00:00Z", "d": "2022-01-01", "f": 1.0, "ok": True, "e": 2.0,
         "at": "2022-01-01T00:00:00Z"},
        {"n": 3, "s": "yy", "k": None, "t": None, "d": None, "f": None, "ok": None, "e": 2.0,
         "at": "2022-01-01T00:00:00Z"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": [0, 1]}, "row 0 with `n` 0, expected int > 0 and < 4"),
        ({"n": [1, 4]}, "row 1 with `n` 4, expected int > 0 and < 4"),
        ({"n": [1.5, 1]}, "`n` as float64, expected int"),
        ({"n": [True, False]}, "`n` as bool, expected int"),
        ({"n": np.array([1, 2**63], "uint64")}, "`n` as uint64, expected int"),
        ({"n": [1, 2**70]}, "`n` as int, expected int"),
        ({"n": np.array([None, 2**53 + 1], dtype=object)}, "`n` as NoneType and int, expected int"),
        ({"s": ["x", "yyy"]}, "row 1 with `s` 'yyy', expected str at most 2 characters"),
        ({"s": ["x", None]}, "row 1 with `s` missing, expected str at most 2 characters"),
        ({"s": np.array(["x", 3], dtype=object)}, "row 1 with `s` 3, expected str at most 2 characters"),
        ({"s": ["x", "\ud800"]}, "row 1 with `s` '\\ud800', expected str at most 2 characters"),
        ({"s": [1, 2]}, "`s` as int64, expected str"),
        ({"k": ["a", "c"]}, "row 1 with `k` 'c', expected str a, b"),
        ({"t": ["2022-01-01", "x"]}, "`t` as str, expected datetime"),
        ({"t": [1, 2]}, "`t` as int64, expected datetime"),
        ({"t": np.array(["10000-01-01", "2022-01-01"], "M8[us]")}, "row 0 with `t` outside the years 1 to 9999"),
        ({"d": np.array(["2022-01-01T01", "2022-01-01"], "M8[us]")}, "`d` as datetime64[us], expected date"),
        ({"f": [np.inf, 1]}, "row 0 with `f` inf, expected a finite number"),
        ({"ok": [1, 2]}, "`ok` as int64, expected bool"),
        ({"ok": np.array([True, "x"], dtype=object)}, "row 1 with `ok` 'x', expected bool"),
        ({"e": [np.nan, 1]}, "row 0 with `e` nan, expected a finite number"),
    ],
)
def test_each_type_is_held_against_its_contract(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AnswerError) as error:
        wide_rows(wide(**changes))
    assert str(error.value).startswith(f"api `wide` answered {message}")


@pytest.mark.parametrize(
    ("changes", "name", "values"),
    [
        ({"n": [1.0, np.nan]}, "n", [1, None]),
        ({"n": np.array([1, 2], dtype="uint8")}, "n", [1, 2]),
        ({"n": np.array([np.int32(1), None], dtype=object)}, "n", [1, None]),
        ({"f": [1, 2]}, "f", [1.0, 2.0]),
        ({"f": np.array([1.5, 2], dtype="float32")}, "f", [1.5, 2.0]),
        ({"ok": [0, 1]}, "ok", [False, True]),
        ({"k": np.array([Colour.RED, None], dtype=object)}, "k", None),
        ({"d": np.array(["2022-01-01", "2022-01-02"], "M8[us]")}, "d", ["2022-01-01", "2022-01-02"]),
        ({"d": np.array([date(2022, 1, 1), None], dtype=object)}, "d", ["2022-01-01", None]),
        (
            {"t": np.array(["2022-01-01", "2022-01-02"], "M8[ns]")},
            "t",
            ["2022-01-01T00:00:00Z", "2022-01-02T00:00:00Z"],
        ),
        (
            {"t": np.array([pd.Timestamp("2022-01-01T09", tz="Asia/Tokyo"), pd.NaT])},
            "t",
            ["2022-01-01T00:00:00Z", None],
        ),
    ],
)
def test_types_change_only_where_nothing_is_lost(changes: dict[str, Any], name: str, values: list[Any] | None) -> None:
    if values is None:
        with pytest.raises(AnswerError, match=r"^api `wide` answered row 0 with `k` 'red', expected str a, b"):
            wide_rows(wide(**changes))
        return
    assert [row[name] for row in wide_rows(wide(**changes))] == values


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_users_time_without_an_offset_is_read_in_the_projects_zone(frame: Any) -> None:
    class Eta(msgspec.Struct):
        at: datetime

    answers = AnswerSchema(fields_of(Eta, place="x"))
    naive, aware = datetime(2022, 1, 1, 9), datetime(2022, 1, 1, tzinfo=UTC)
    for value in (naive, aware):
        found = from_frame(frame({"at": [value]}), form="", rows=1, zone=TOKYO)
        assert answers.encode(answers.check(found, 1), 0, 1, single=True) == b'{"at":"2022-01-01T00:00:00Z"}'


def test_only_named_columns_are_taken_when_others_are_allowed() -> None:
    frame = pd.DataFrame({"a": [1], "b": [2]})
    assert list(from_frame(frame, form="pandas", rows=1, wanted=["b"])) == ["b"]
    with pytest.raises(AnswerError, match=r"^api `eta` expected column `c`, got b$"):
        from_frame(frame, form="pandas", rows=1, wanted=["b", "c"], api="eta")


def test_a_slice_is_encoded_alone() -> None:
    answers = AnswerSchema(contract_of(Ride, Verdict, place="x").gives_fields)
    columns = {"score": np.array([0.1, 0.2, 0.3]), "block": np.array([True, False, True])}
    assert answers.encode(columns, 1, 3, single=False) == b'[{"score":0.2,"block":false},{"score":0.3,"block":true}]'
    assert answers.encode(columns, 2, 3, single=True) == b'{"score":0.3,"block":true}'
    assert answers.encode(answers.empty(), 0, 0, single=False) == b"[]"
    assert answers.rows(answers.check(answers.empty(), 0)) == []
