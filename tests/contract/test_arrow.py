"""Columns pass between NumPy and Arrow and keep every value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from funade.contract.arrays import Array
from funade.contract.arrow import MOMENT, TYPES, to_arrow, to_numpy

NOON = datetime(2022, 3, 1, 12, 0, 0, 7)
FAR = 2**53 + 1

COLUMNS: dict[str, tuple[str, Array, list[Any]]] = {
    "bool": ("bool", np.array([True, False]), [True, False]),
    "bool with a null": ("bool", np.array([True, None], dtype=object), [True, None]),
    "no bool at all": ("bool", np.array([None, None], dtype=object), [None, None]),
    "int": ("int", np.array([FAR, -(2**63)]), [FAR, -(2**63)]),
    "int with a null": ("int", np.array([3.0, np.nan]), [3, None]),
    "float": ("float", np.array([0.1, -0.0]), [0.1, -0.0]),
    "float with a null": ("float", np.array([np.inf, np.nan]), [np.inf, None]),
    "str": ("str", np.array(["", "東京"], dtype=object), ["", "東京"]),
    "str with a null": ("str", np.array(["x", None], dtype=object), ["x", None]),
    "no str at all": ("str", np.array([None], dtype=object), [None]),
    "datetime": ("datetime", np.array([NOON], dtype="datetime64[us]"), [NOON.replace(tzinfo=UTC)]),
    "datetime with a null": ("datetime", np.array(["NaT", NOON], "datetime64[us]"), [None, NOON.replace(tzinfo=UTC)]),
    "date": ("date", np.array(["1969-12-31"], dtype="datetime64[D]"), [date(1969, 12, 31)]),
    "date with a null": ("date", np.array(["NaT", "9999-12-31"], "datetime64[D]"), [None, date(9999, 12, 31)]),
}
"""Field's type, its column, and the values that both stand for."""

each = pytest.mark.parametrize("name", list(COLUMNS))


@each
def test_a_column_becomes_arrow_with_the_fields_type(name: str) -> None:
    field_type, column, values = COLUMNS[name]

    array = to_arrow(column, field_type)

    assert array.type == TYPES[field_type]
    assert array.to_pylist() == values


@each
@pytest.mark.parametrize("chunked", [False, True])
def test_a_column_comes_back_from_arrow_as_it_was(name: str, chunked: bool) -> None:
    field_type, column, _ = COLUMNS[name]
    array = to_arrow(column, field_type)

    back = to_numpy(pa.chunked_array([array.slice(0, 1), array.slice(1)]) if chunked else array)

    assert back.dtype == column.dtype
    assert np.array_equal(back, column, equal_nan=back.dtype.kind in "fM")


@each
def test_an_empty_column_passes_both_ways(name: str) -> None:
    field_type, column, _ = COLUMNS[name]
    array = to_arrow(column[:0], field_type)
    assert array.type == TYPES[field_type]
    assert len(to_numpy(array)) == 0


def test_without_a_fields_type_objects_have_the_type_that_arrow_finds() -> None:
    assert to_arrow(np.array(["x", None], dtype=object)).type == pa.string()
    assert to_arrow(np.array([1, None], dtype=object)).type == pa.int64()
    assert to_arrow(np.array([None], dtype=object)).type == pa.null()
    assert to_arrow(np.array([3.0, np.nan])).type == pa.float64()
    with pytest.raises(pa.ArrowException):
        to_arrow(np.array([1, "x"], dtype=object))


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1, 2], pa.int8()), np.array([1, 2], dtype="int64")),
        (pa.array([FAR, 1], pa.uint64()), np.array([FAR, 1], dtype="uint64")),
        (pa.array([1, None], pa.uint64()), np.array([1.0, np.nan])),
        (pa.array([0.5, None], pa.float16()), np.array([0.5, np.nan])),
        (pa.array([1_000], pa.timestamp("ns")), np.array([1], dtype="datetime64[us]")),
        (pa.array([0], pa.timestamp("s", "Asia/Tokyo")), np.array([0], dtype="datetime64[us]")),
        (pa.array([86_400_000, None], pa.date64()), np.array([1, "NaT"], dtype="datetime64[D]")),
        (pa.array([None, None]), np.array([None, None], dtype=object)),
        (pa.array([[1], None]), None),
        (pa.array(["x", None], pa.large_string()), np.array(["x", None], dtype=object)),
    ],
)
def test_other_types_of_arrow_come_as_the_nearest_column(array: pa.Array, expected: Array | None) -> None:
    column = to_numpy(array)
    if expected is None:
        assert column.dtype == object
        assert column.tolist() == array.to_pylist()
    else:
        assert column.dtype == expected.dtype
        assert np.array_equal(column, expected, equal_nan=column.dtype.kind in "fM")


def test_times_of_another_unit_are_kept_in_microseconds() -> None:
    assert to_arrow(np.array([NOON], dtype="datetime64[ns]")).type == MOMENT
