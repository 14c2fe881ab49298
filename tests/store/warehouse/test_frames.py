from __future__ import annotations

import datetime as dt
import gc
import subprocess
import sys
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from funade.contract.arrays import Columns
from funade.contract.form import form_of
from funade.errors import ResultRefused
from funade.store.warehouse import frames, query

TOKYO = ZoneInfo("Asia/Tokyo")
NEW_YORK = ZoneInfo("America/New_York")
FORMS = ("pandas", "polars", "arrow", "columns", "relation", "reader", "lazy")


def arrow(value: object, zone: ZoneInfo = TOKYO) -> pa.Table:
    return frames.to_arrow(value, zone=zone, place="taxi/rides.py:18", what="source `rides`")


def refused(value: object) -> str:
    with pytest.raises(ResultRefused) as caught:
        arrow(value)
    return str(caught.value)


def objects(*values: object) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@pytest.fixture
def rides() -> pa.Table:
    return pa.table(
        {
            "ride": pa.array(["a", None, "日本"], pa.string()),
            'fare "yen"': pa.array([1.5, None, 3.0], pa.float64()),
            "zone": pa.array([1, 2, 3], pa.int64()),
            "card": pa.array([True, False, True], pa.bool_()),
            "at": pa.array([0, 1, 1_650_000_000_000_000], pa.timestamp("us", tz="UTC")),
        }
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_table_comes_back_equal_from_every_form(rides: pa.Table, form: Any) -> None:
    frame = frames.from_arrow(rides, form)
    gc.collect()  # a relation must keep its connection alive
    assert arrow(frame).equals(rides)


@pytest.mark.parametrize("form", FORMS)
def test_a_table_without_rows_keeps_its_columns_in_every_form(rides: pa.Table, form: Any) -> None:
    back = arrow(frames.from_arrow(rides.slice(0, 0), form))
    assert back.num_rows == 0
    assert back.column_names == rides.column_names


@pytest.mark.parametrize("form", FORMS)
def test_one_row_comes_back_from_every_form(rides: pa.Table, form: Any) -> None:
    assert arrow(frames.from_arrow(rides.slice(2, 1), form)).to_pylist() == rides.slice(2, 1).to_pylist()


def test_what_a_form_gives_is_what_its_annotation_asks_for(rides: pa.Table) -> None:
    annotations = {
        "pandas": pd.DataFrame, "polars": pl.DataFrame, "arrow": pa.Table, "relation": duckdb.DuckDBPyRelation,
        "reader": pa.RecordBatchReader, "lazy": pl.LazyFrame,
    }  # fmt: skip
    for form, annotation in annotations.items():
        assert form_of(annotation) == form
        assert isinstance(frames.from_arrow(rides, form), annotation)
    assert form_of(Columns) == "columns"


def test_naive_times_are_wall_clock_time_of_the_project() -> None:
    frame = pd.DataFrame({"at": pd.to_datetime(["2022-01-01 09:00", None])})
    assert arrow(frame).column("at").to_pylist() == [dt.datetime(2022, 1, 1, tzinfo=dt.UTC), None]


def test_aware_times_keep_their_moment() -> None:
    frame = pd.DataFrame({"at": pd.to_datetime(["2022-01-01 09:00"]).tz_localize("America/New_York")})
    assert arrow(frame).column("at").to_pylist() == [dt.datetime(2022, 1, 1, 14, tzinfo=dt.UTC)]


def test_a_time_that_occurs_twice_is_the_earlier_and_a_skipped_one_the_last_before_the_gap() -> None:
    frame = pd.DataFrame({"at": pd.to_datetime(["2022-11-06 01:30", "2022-03-13 02:30"])})
    twice, skipped = arrow(frame, NEW_YORK).column("at").to_pylist()
    assert twice == dt.datetime(2022, 11, 6, 5, 30, tzinfo=dt.UTC)
    assert skipped == dt.datetime(2022, 3, 13, 6, 59, 59, 999999, tzinfo=dt.UTC)


def test_times_in_columns_are_utc_and_nanoseconds_are_cut() -> None:
    table = arrow({"at": np.array(["2022-01-01T00:00:00.000001999"], dtype="datetime64[ns]")})
    assert table.schema.field("at").type == pa.timestamp("us", tz="UTC")
    assert table.column("at").cast("int64").to_pylist() == [1_640_995_200_000_001]


def test_pandas_gets_utc_times_its_own_text_and_floats_for_numbers_with_gaps() -> None:
    table = pa.table({"at": pa.array([1], pa.timestamp("us", tz="UTC")), "s": ["x"], "n": pa.array([None], pa.int64())})
    frame = frames.from_arrow(table, "pandas")
    assert [str(kind) for kind in frame.dtypes] == ["datetime64[us, UTC]", "str", "float64"]


def test_columns_have_six_plain_kinds(rides: pa.Table) -> None:
    extra = rides.append_column("gap", pa.array([1, None, 3])).append_column("maybe", pa.array([True, None, False]))
    extra = extra.append_column("big", pa.array([2**64 - 1, 0, 1], pa.uint64()))
    columns = frames.from_arrow(extra.append_column("small", pa.array([1, 2, 3], pa.int8())), "columns")
    assert {name: str(values.dtype) for name, values in columns.items()} == {
        "ride": "object", "fare \"yen\"": "float64", "zone": "int64", "card": "bool", "at": "datetime64[us]",
        "gap": "float64", "maybe": "object", "big": "uint64", "small": "int64",
    }  # fmt: skip
    assert columns["ride"].tolist() == ["a", None, "日本"]
    assert np.isnan(columns["gap"][1])


def test_a_pandas_index_is_dropped_and_nan_is_kept_as_missing() -> None:
    table = arrow(pd.DataFrame({"x": [1.0, np.nan]}, index=[7, 8]))
    assert table.column_names == ["x"]
    assert table.column("x").to_pylist() == [1.0, None]


def test_nan_of_polars_stays_nan() -> None:
    values = arrow(pl.DataFrame({"x": [float("nan"), None]})).column("x").to_pylist()
    assert np.isnan(values[0])
    assert values[1] is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.Series(["a", "b"], dtype="category"), "string"),
        (pd.Series([1, None], dtype="Int64"), "int64"),
        (pd.Series([True, None], dtype="boolean"), "bool"),
        (pd.Series(["a", pd.NA], dtype="string"), "string"),
        (pd.Series(["a", None], dtype="large_string[pyarrow]"), "string"),
        (pd.Series(["a", float("nan"), None], dtype=object), "string"),
        (pd.Series([None, None], dtype=object), "null"),
        (pd.Series([dt.date(2022, 1, 1), None], dtype=object), "date32[day]"),
        (pd.Series([Decimal("1.5"), None], dtype=object), "decimal128(2, 1)"),
        (pd.Series([2**64 - 1], dtype="uint64"), "uint64"),
        (pd.Series(pd.to_timedelta(["1s"])), "duration[us]"),
        (pd.Series([np.array([1.0, 2.0])], dtype=object), "list<item: double>"),
        (pd.Series([1, 2.5], dtype=object), "double"),
    ],
)
def test_pandas_columns_are_kept_in_plain_types(values: Any, kind: str) -> None:
    assert str(arrow(pd.DataFrame({"x": values})).schema.field("x").type) == kind


def test_polars_columns_are_kept_in_plain_types() -> None:
    frame = pl.DataFrame(
        {
            "c": pl.Series(["a"], dtype=pl.Categorical),
            "t": [dt.time(1, 2)],
            "d": [dt.datetime(2022, 1, 1)],
            "l": [["x"]],
        }
    )
    assert [str(field.type) for field in arrow(frame).schema] == [
        "string", "time64[us]", "timestamp[us, tz=UTC]", "list<item: string>",
    ]  # fmt: skip


def test_sums_and_decimals_of_sql_are_ordinary_numbers() -> None:
    relation = query.memory().sql(
        "SELECT sum(i) AS whole, 1.5 AS half, sum(i) * 10.0::HUGEINT AS more FROM range(3) t(i)"
    )
    assert [str(field.type) for field in arrow(relation).schema] == ["int64", "double", "int64"]


def test_a_sum_past_64_bits_becomes_a_float() -> None:
    assert arrow(query.memory().sql("SELECT (2::HUGEINT ** 70)::HUGEINT AS x")).column("x").to_pylist() == [2.0**70]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "source `rides` expected a frame, got None"),
        ([1, 2], "source `rides` expected a frame, got list"),
        (pd.Series([1]), "source `rides` expected a frame, got pandas.Series"),
        (np.zeros(3), "source `rides` expected a frame, got numpy.ndarray"),
    ],
)
def test_what_is_no_frame_is_refused_by_its_type(value: object, message: str) -> None:
    remedy = "return pandas.DataFrame, polars.DataFrame, pyarrow.Table, a DuckDB relation or a dict of NumPy arrays"
    assert refused(value) == f"{message} - at taxi/rides.py:18; {remedy}"


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (
            pd.DataFrame([[1, 2]], columns=["a", "a"]),
            "source `rides` expected each column once, got `a` twice - at taxi/rides.py:18; rename or drop one",
        ),
        (
            pd.DataFrame([[1, 2]], columns=["a", "A"]),
            "source `rides` expected each column once, got `a` and `A`, which SQL takes for one"
            " - at taxi/rides.py:18; rename or drop one",
        ),
        (
            pd.DataFrame([[1]]),
            "source `rides` expected column names as text, got 0 - at taxi/rides.py:18; name the columns",
        ),
        (
            pd.DataFrame({"": [1]}),
            "source `rides` expected column names as text, got '' - at taxi/rides.py:18; name the columns",
        ),
        (
            pd.DataFrame(index=[1, 2]),
            "source `rides` expected at least one column, got none - at taxi/rides.py:18",
        ),
        (
            {"a": np.zeros(2), "b": np.zeros(3)},
            "source `rides` expected columns of one length, got `a` 2, `b` 3 - at taxi/rides.py:18",
        ),
        (
            {"a": np.zeros((2, 2))},
            "source `rides` expected column `a` with one value a row, got an array of shape (2, 2)"
            " - at taxi/rides.py:18",
        ),
        (
            {"a": 1.0},
            "source `rides` expected column `a` with one value a row, got an array of shape () - at taxi/rides.py:18",
        ),
    ],
)  # fmt: skip
def test_a_frame_of_the_wrong_shape_is_refused(frame: object, message: str) -> None:
    assert refused(frame) == message


@pytest.mark.parametrize(
    ("values", "got"),
    [
        (objects(1, "x"), "int and str"),
        (objects(b"x", "y"), "bytes and str"),
        (objects(True, 2), "bool and int"),
        (objects(np.float64(1), "x"), "float64 and str"),
        (objects(dt.date(2022, 1, 1), dt.datetime(2022, 1, 1)), "date and datetime"),
        (
            objects(dt.datetime(2022, 1, 1), dt.datetime(2022, 1, 1, tzinfo=dt.UTC)),
            "times with and without a time zone",
        ),
        (objects(2**70), "int (Python int too large to convert to C long)"),
        (np.array([1 + 2j]), "complex128"),
    ],
)
def test_a_column_of_mixed_values_is_refused_by_name(values: Any, got: str) -> None:
    message = f"source `rides` expected column `x` of one plain type, got {got} - at taxi/rides.py:18; convert it"
    assert refused(pd.DataFrame({"x": values})) == message
    assert refused({"x": values}) == message


def test_a_type_that_no_other_library_knows_is_refused_by_column() -> None:
    frame = pd.DataFrame({"x": pd.period_range("2022", periods=1, freq="D")})
    assert refused(frame) == (
        "source `rides` expected column `x` of a plain type, got extension<pandas.period<ArrowPeriodType>>"
        " - at taxi/rides.py:18; convert it, for instance to text"
    )


def test_an_empty_frame_without_columns_is_a_table_without_columns() -> None:
    assert arrow(pd.DataFrame()).shape == (0, 0)
    assert arrow({}).shape == (0, 0)


def test_a_class_derived_from_a_frame_is_one() -> None:
    class Rides(pd.DataFrame):  # type: ignore[misc]
        pass

    assert arrow(Rides({"x": [1]})).to_pylist() == [{"x": 1}]


def test_relations_on_one_connection_can_be_joined(rides: pa.Table) -> None:
    connection = query.memory()
    left = frames.from_arrow(rides, "relation", connection=connection)
    right = frames.from_arrow(rides.select(["zone"]), "relation", connection=connection)
    assert left.join(right, "zone").to_arrow_table().num_rows == 3


def test_the_module_loads_no_frame_library() -> None:
    heavy = ("pandas", "polars", "sklearn", "skops", "lightgbm")
    code = "import sys, funade.store.warehouse.snapshots, funade.store.codecs, funade.build.check as check\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
