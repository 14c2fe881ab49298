"""Columns held whole keep and refuse what the same rows do when they are read one by one."""

from __future__ import annotations

import enum
import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import funade as fn
from funade.contract.request import RequestSchema
from funade.contract.table import CheckedRows, ColumnsCheck

ZONE = ZoneInfo("America/New_York")
Meta = msgspec.Meta


class Level(enum.Enum):
    LOW = "low"
    EMPTY = ""


class Row(msgspec.Struct, kw_only=True):
    """Every kind of field."""

    km: float
    share: Annotated[float, Meta(ge=0, lt=1)]
    step: Annotated[float, Meta(multiple_of=0.5)]
    riders: int
    stars: Annotated[int, Meta(gt=-3, le=2**53 + 2)]
    even: Annotated[int, Meta(multiple_of=2)]
    paid: bool
    code: Annotated[str, Meta(min_length=1, max_length=3, pattern="^[a-zé]*$")]
    at: datetime
    fixed: Annotated[datetime, Meta(tz=True)]
    day: date
    level: Level
    kind: Literal["", "a"]
    grade: Literal[1, 2]
    note: str | None
    seats: int | None
    wet: bool | None
    until: datetime | None
    tip: Annotated[float, Meta(le=5)] | None = None
    often: int = 7
    spare: str = "s"
    known: Annotated[float, fn.default(0.5)]
    times: Annotated[int, fn.default(2**53 + 1)]
    told: Annotated[str, fn.default("none")]
    seen: Annotated[datetime, fn.default(datetime(2022, 1, 1, tzinfo=UTC))]
    dry: Annotated[bool, fn.default(True)]


FLOATS = [0.0, -0.0, 0.5, 1.0, 3.0, -2.5, 1e300, 2.0**53, 2.0**63, -(2.0**63), 5e-324, math.nan, math.inf, -math.inf]
INTS = [0, 1, 2, -3, 7, 2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3, 2**63 - 1, -(2**63)]
TEXTS = ["", "a", "abc", "abcd", "é", "éé", "A", "low", "a\n", "2022-03-13T02:30:00", "2022-01-01", "3"]
MOMENTS = [
    datetime(2022, 3, 13, 2, 30),
    datetime(2022, 11, 6, 1, 30, 0, 7),
    datetime(1, 1, 1),
    datetime(9999, 12, 31, 23),
]
EAST = timezone(timedelta(hours=9))

KINDS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "float64": (pa.float64(), FLOATS),
    "float32": (pa.float32(), [0.0, -0.0, 0.5, 3.0, 2.0**63, math.nan, math.inf]),
    "int64": (pa.int64(), INTS),
    "int8": (pa.int8(), [0, 1, -3, 7]),
    "uint64": (pa.uint64(), [0, 2, 2**63 - 1, 2**63, 2**64 - 1]),
    "bool": (pa.bool_(), [True, False]),
    "str": (pa.string(), TEXTS),
    "large": (pa.large_string(), TEXTS),
    "view": (pa.string_view(), TEXTS),
    "words": (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    "naive": (pa.timestamp("us"), MOMENTS),
    "aware": (pa.timestamp("us", "Asia/Tokyo"), [m.replace(tzinfo=EAST) for m in MOMENTS[:2]]),
    "utc": (pa.timestamp("ms", "UTC"), [datetime(2022, 3, 1, tzinfo=UTC), datetime(1600, 1, 1, tzinfo=UTC)]),
    "day": (pa.date32(), [date(1, 1, 1), date(2022, 2, 28), date(9999, 12, 31)]),
    "null": (pa.null(), []),
    "bytes": (pa.binary(), [b"a", b""]),
    "list": (pa.list_(pa.float64()), [[1.0], []]),
}
LIKELY = {
    "float": ["float64", "int64", "float32"], "int": ["int64", "float64", "uint64", "int8"], "bool": ["bool"],
    "str": ["str", "words", "large", "view"], "datetime": ["aware", "utc", "naive"], "date": ["day"],
}  # fmt: skip

REQUESTS = RequestSchema(Row, zone=ZONE)
FINE: dict[str, Any] = {
    "km": 1.0, "share": 0.5, "step": 1.5, "riders": 3, "stars": 1, "even": 4, "paid": True, "code": "ab",
    "at": datetime(2022, 3, 1, tzinfo=UTC), "fixed": datetime(2022, 3, 1, tzinfo=UTC), "day": date(2022, 3, 1),
    "level": "low", "kind": "a", "grade": 2, "note": "n", "seats": 4, "wet": False,
    "until": datetime(2022, 3, 1, tzinfo=UTC),
}  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    """Rows that are fine but in two or three columns, which are anything or not there."""
    rows = draw(st.integers(0, 6))
    columns: dict[str, Any] = {name: pa.array([value] * rows, _type(value)) for name, value in FINE.items()}
    fields = draw(st.lists(st.sampled_from(REQUESTS.fields), min_size=1, max_size=3, unique_by=lambda f: f.name))
    for field in fields:
        kinds = draw(st.sampled_from([LIKELY[field.type], LIKELY[field.type], [*KINDS], ["absent"]]))
        kind = draw(st.sampled_from(kinds))
        if kind == "absent":
            columns.pop(field.name, None)
            continue
        type, values = KINDS[kind]
        pool = st.sampled_from([None, *values])
        columns[field.name] = _array(draw(st.lists(pool, min_size=rows, max_size=rows)), type)
    columns["other"] = pa.array([b"x"] * rows)
    return pa.table(columns)


def _type(value: Any) -> pa.DataType | None:
    return pa.timestamp("us", "UTC") if isinstance(value, datetime) else None


def _array(values: list[Any], type: pa.DataType) -> pa.Array:
    return pa.array(values, pa.string()).dictionary_encode() if pa.types.is_dictionary(type) else pa.array(values, type)


def same(held: CheckedRows, requests: RequestSchema, table: pa.Table) -> None:
    rows, refused = requests.convert(table.to_pylist())
    assert held.refused == refused
    kept = np.ones(table.num_rows, dtype=bool) if held.valid is None else held.valid
    assert np.flatnonzero(~kept).tolist() == [row for row, _ in refused]
    if not rows:
        return
    taken = requests.take(rows)
    assert [*held.batch.columns] == [*taken.columns]
    for name, expected in taken.columns.items():
        got = held.batch.columns[name]
        assert got.dtype == expected.dtype, name
        if expected.dtype == object:
            assert [(type(v), v) for v in got] == [(type(v), v) for v in expected], name
        else:
            assert got.tobytes() == expected.tobytes() or _same_nan(got, expected), name
    masks, wanted = held.batch.defaults or {}, taken.defaults or {}
    assert {n: m.tolist() for n, m in masks.items()} == {n: m.tolist() for n, m in wanted.items()}


def _same_nan(got: Any, expected: Any) -> bool:
    """The same bits but in NaN, of which there are many."""
    if got.dtype.kind != "f":
        return False
    both = np.isnan(got) & np.isnan(expected)
    return bool(got[~both].tobytes() == expected[~both].tobytes())


@given(tables())
def test_columns_are_kept_and_refused_as_their_rows_are(table: pa.Table) -> None:
    same(ColumnsCheck(REQUESTS).hold(table), REQUESTS, table)


class Ordered(msgspec.Struct):
    """Says for itself what is wrong."""

    low: float
    high: Annotated[float, fn.default(1.0)]

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


def test_a_struct_that_looks_at_its_own_values_is_asked_row_by_row() -> None:
    requests = RequestSchema(Ordered, zone=ZONE)
    table = pa.table({"low": [0.0, 2.0, 3.0, None], "high": [1.0, None, 4.0, 5.0]})
    held = ColumnsCheck(requests).hold(table)
    same(held, requests, table)
    assert [row for row, _ in held.refused] == [1, 3]


def test_a_time_that_python_has_not_is_refused_beside_others() -> None:
    class When(msgspec.Struct):
        at: datetime

    far = pa.array([0, 2**62, 10], pa.int64()).cast(pa.timestamp("us", "UTC"))
    held = ColumnsCheck(RequestSchema(When, zone=ZONE)).hold(pa.table({"at": far}))
    assert held.refused == [(1, "expected a time in the years 1 to 9999, got another")]
    assert held.batch.columns["at"].astype("int64").tolist() == [0, 10]


@pytest.mark.parametrize("kind", [pa.int64(), pa.uint64(), pa.float64()])
def test_whole_numbers_that_a_float_does_not_keep_are_refused_beside_missing_ones(kind: pa.DataType) -> None:
    class Plain(msgspec.Struct):
        n: int | None
        m: Annotated[int, fn.default(1)]

    far = 2.0**53 + 2 if pa.types.is_floating(kind) else 2**53 + 1
    requests = RequestSchema(Plain, zone=ZONE)
    table = pa.table({"n": pa.array([None, 2**53, far, 1], kind), "m": pa.array([None, far, far, far], kind)})
    held = ColumnsCheck(requests).hold(table)
    same(held, requests, table)
    assert held.refused == [(2, f"expected `int` <= {2**53} - at $.n")]
    assert held.batch.columns["m"].tolist() == [1, far, far]


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_columns_of_many_chunks_are_held_as_one(rows: int) -> None:
    class Plain(msgspec.Struct):
        x: float
        n: int | None

    one = pa.table({"x": np.linspace(0, 1, rows), "n": pa.array([None] * rows, pa.int64())})
    requests = RequestSchema(Plain, zone=ZONE)
    table = pa.concat_tables([one, one.slice(0, rows // 2)])
    same(ColumnsCheck(requests).hold(table), requests, table)
