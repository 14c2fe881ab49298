"""A small batch as the frame that a user's function takes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from funade.contract.arrays import Array, Columns
from funade.contract.field import Field
from funade.contract.form import Form
from funade.errors import DeclarationError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def to_frame(columns: Columns, form: Form | str, *, fields: Sequence[Field] = ()) -> Any:
    """Columns as ``form``, typed as a table read from the store is.

    pandas: RangeIndex, ``str``, ``datetime64[us, UTC]``, dates as objects. polars and Arrow: missing is null, and with
    ``fields`` whole numbers that are missing somewhere stay whole. ``fields`` also tells text from other objects
    where every value is missing.

    Raises:
        DeclarationError: a form that no batch has.
    """
    make = _FORMS.get(form)
    if make is None:
        raise DeclarationError(f"batch expected as pandas, polars, arrow or columns, got {form or 'no frame'!r}")
    return make(columns, {f.name: f.type for f in fields} if fields else {})


@functools.lru_cache(maxsize=256)
def _labels(names: tuple[str, ...]) -> pd.Index[Any]:
    import pandas as pd

    return pd.Index(names)


@functools.cache
def _text() -> Any:
    import pandas as pd

    return pd.StringDtype("pyarrow", na_value=np.nan)


@functools.cache
def _times() -> Any:
    import pandas as pd

    return pd.DatetimeTZDtype("us", "UTC")


def _pandas(columns: Columns, types: Mapping[str, str]) -> Any:
    """A pandas frame made of one block for each type: much faster than letting pandas sort the columns into blocks."""
    import pandas as pd
    from pandas.api.internals import create_dataframe_from_blocks

    groups: dict[str, list[int]] = {}
    alone: list[tuple[Any, Array]] = []
    arrays = list(columns.values())
    for place, (name, array) in enumerate(columns.items()):
        kind = array.dtype.kind
        if kind in "fib":
            groups.setdefault(array.dtype.char, []).append(place)
        else:
            alone.append((_extension(array, types.get(name, "")), np.array([place])))
    blocks = [(np.array([arrays[p] for p in places]), np.array(places)) for places in groups.values()]
    index = pd.RangeIndex(len(arrays[0]) if arrays else 0)
    return create_dataframe_from_blocks([*blocks, *alone], index=index, columns=_labels((*columns,)))


def _extension(array: Array, kind: str) -> Any:
    """Text, times and objects as one pandas block."""
    import pandas as pd
    import pyarrow as pa

    if array.dtype.kind == "M":
        if np.datetime_data(array.dtype)[0] == "D":
            return array.astype(object).reshape(1, -1)
        return pd.array(array, dtype=_times())
    if kind == "str" or (not kind and any(isinstance(v, str) for v in array.tolist())):
        return pd.arrays.ArrowStringArray(pa.array(array, pa.large_string()), dtype=_text())
    return array.reshape(1, -1)


def _arrow(columns: Columns, types: Mapping[str, str]) -> pa.Table:
    import pyarrow as pa

    from funade.contract.arrow import to_arrow

    arrays = [to_arrow(array, types.get(name, "")) for name, array in columns.items()]
    # A column of which nothing is known but that all is missing reads as text, not as nothing.
    return pa.table([a.cast(pa.string()) if pa.types.is_null(a.type) else a for a in arrays], names=list(columns))


def _polars(columns: Columns, types: Mapping[str, str]) -> Any:
    import polars as pl

    return pl.DataFrame(_arrow(columns, types))


_FORMS: dict[str, Callable[[Columns, Mapping[str, str]], Any]] = {
    "pandas": _pandas,
    "polars": _polars,
    "arrow": _arrow,
    "lazy": lambda columns, types: _polars(columns, types).lazy(),
    "columns": lambda columns, types: dict(columns),
}
