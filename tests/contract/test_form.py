"""Which frame an annotation asks for, and which a value is."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from funade.contract.form import form_of, form_of_value

TABLE = pa.table({"km": [1.0, None]})
FRAMES = {
    "pandas": TABLE.to_pandas(),
    "polars": pl.DataFrame({"km": [1.0]}),
    "lazy": pl.LazyFrame({"km": [1.0]}),
    "arrow": TABLE,
    "batch": TABLE.to_batches()[0],
    "reader": TABLE.to_reader(),
    "relation": duckdb.sql("SELECT 1.0 AS km"),
}


class Rides(pd.DataFrame):  # type: ignore[misc]
    """A project's own frame."""


@pytest.mark.parametrize("form", list(FRAMES))
def test_a_frame_and_its_class_have_one_form(form: str) -> None:
    frame = FRAMES[form]
    assert form_of_value(frame) == form
    assert form_of(type(frame)) == ("" if form == "batch" else form)  # no function is handed a batch of Arrow


def test_a_frame_derived_from_a_librarys_has_its_form() -> None:
    assert form_of_value(Rides(TABLE.to_pandas())) == "pandas"


@pytest.mark.parametrize("value", [None, "SELECT 1", 1.0, [1], np.zeros(2), pd.Series([1.0]), pl.Series([1.0])])
def test_what_is_no_frame_has_no_form(value: Any) -> None:
    assert form_of_value(value) == ""


def test_columns_are_a_dict_of_arrays_and_sql_is_text() -> None:
    assert form_of_value({"km": np.zeros(2)}) == form_of(dict[str, np.ndarray]) == "columns"
    assert form_of(str) == "sql"
    assert form_of(dict[str, int]) == ""
