"""Frames as users know them, to and from the one form in which rows are kept: an Arrow table of kept types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa

from funade.contract.arrays import Columns
from funade.contract.arrow import to_numpy, to_table
from funade.contract.form import Form, form_of_value
from funade.errors import ResultRefused
from funade.store.warehouse import query
from funade.store.warehouse.column_types import ColumnPlace, to_kept

KNOWN = "pandas.DataFrame, polars.DataFrame, pyarrow.Table, a DuckDB relation or a dict of NumPy arrays"


def to_arrow(value: object, *, zone: ZoneInfo, place: str, what: str = "result") -> pa.Table:
    """Any frame as an Arrow table of kept types.

    A naive timestamp is read as wall-clock time in ``zone`` (one that occurs twice is the earlier, one that is
    skipped the last microsecond before the gap); in a dict of NumPy arrays it is UTC. A pandas index is dropped;
    NaN of pandas and NumPy is kept as missing. Nanoseconds are cut to microseconds.

    Raises:
        ResultRefused: not a frame, rows without a column, two columns of one name (SQL does not tell `A` from `a`),
            a column without one plain type.
    """
    table = _read(value, place, what)
    if table.num_rows and not table.num_columns:
        raise ResultRefused(f"{what} expected at least one column, got none", at=place)
    _refuse_names(table.column_names, place, what)
    naive = "UTC" if isinstance(value, Mapping) else zone.key
    columns = [to_kept(column, naive, ColumnPlace(name, place, what)) for name, column in _columns(table)]
    return pa.table(columns, names=table.column_names)


def from_arrow(table: pa.Table, form: Form, *, connection: duckdb.DuckDBPyConnection | None = None) -> Any:
    """The table as ``form``.

    pandas: text is pandas' ``str``, times are ``datetime64[us, UTC]``, whole numbers with missing values become
    ``float64`` with NaN (exact up to 2**53), bools with missing values and dates become ``object``.
    columns: as ``contract.arrow.to_numpy`` makes them. relation: lives on ``connection``, else on a private one in
    memory; relations that are to be joined need one connection.
    """
    if form == "relation":
        return (connection or query.memory()).from_arrow(table)
    return _WRITERS[form](table)


def _columns(table: pa.Table) -> Iterable[tuple[str, pa.ChunkedArray]]:
    return zip(table.column_names, table.columns, strict=True)


def _read(value: Any, place: str, what: str) -> pa.Table:
    form = form_of_value(value)
    if form == "columns":
        return _from_columns(value, place, what)
    if form == "pandas":
        return _from_pandas(value, place, what)
    table = query.rows_of(value) if form == "relation" else to_table(value, form)
    if table is not None:
        return table
    package = type(value).__module__.partition(".")[0]
    got = "None" if value is None else f"{package}.{type(value).__qualname__}".removeprefix("builtins.")
    raise ResultRefused(f"{what} expected a frame, got {got}", at=place, do=f"return {KNOWN}")


def _from_pandas(frame: Any, place: str, what: str) -> pa.Table:
    names = list(frame.columns)
    _refuse_names(names, place, what)
    columns = [_from_values(frame.iloc[:, index], ColumnPlace(name, place, what)) for index, name in enumerate(names)]
    if not names and len(frame):
        raise ResultRefused(f"{what} expected at least one column, got none", at=place)
    return pa.table(columns, names=names)


def _from_columns(frame: Mapping[Any, Any], place: str, what: str) -> pa.Table:
    _refuse_names(list(frame), place, what)
    arrays = {name: np.asarray(values) for name, values in frame.items()}
    for name, values in arrays.items():
        if values.ndim != 1:
            raise ColumnPlace(name, place, what).refusal("with one value a row", f"an array of shape {values.shape}")
    if len({len(values) for values in arrays.values()}) > 1:
        lengths = ", ".join(f"`{name}` {len(values)}" for name, values in arrays.items())
        raise ResultRefused(f"{what} expected columns of one length, got {lengths}", at=place)
    return pa.table(
        [_from_values(values, ColumnPlace(n, place, what)) for n, values in arrays.items()], names=list(arrays)
    )


def _from_values(values: Any, where: ColumnPlace) -> pa.ChunkedArray:
    """A pandas series or NumPy array; NaN in it is a missing value."""
    _refuse_mixed(values, where)
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise where.refusal("of one plain type", _contents(values, error), "convert it") from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _refuse_mixed(values: Any, where: ColumnPlace) -> None:
    """Arrow turns some mixtures (bytes with text, naive with aware times) into one type without a word."""
    if str(getattr(values, "dtype", "")) != "object":
        return
    kinds = {type(value) for value in values}
    if float in kinds and len(kinds) > 1 and all(value != value for value in values if type(value) is float):
        kinds.discard(float)
    kinds = {kind for kind in kinds if kind.__name__ not in ("NoneType", "NAType", "NaTType")}
    families = {_family(kind) for kind in kinds}
    if len(families) > 1:
        raise where.refusal("of one plain type", " and ".join(sorted(kind.__name__ for kind in kinds)), "convert it")
    if families == {"datetime"} and len({v.tzinfo is None for v in values if hasattr(v, "tzinfo") and v == v}) > 1:
        raise where.refusal("of one plain type", "times with and without a time zone", "convert it")


def _family(kind: type) -> str:
    if kind is bool or issubclass(kind, np.bool_):
        return "bool"
    if kind in (int, float) or issubclass(kind, np.number):
        return "number"
    return {"Timestamp": "datetime", "str_": "str", "bytes_": "bytes"}.get(kind.__name__, kind.__name__)


def _contents(values: Any, error: Exception) -> str:
    """What a column holds that Arrow cannot take."""
    dtype = str(getattr(values, "dtype", ""))
    if dtype != "object":
        return dtype
    kinds = sorted({type(value).__name__ for value in values if value is not None})
    return " and ".join(kinds) if len(kinds) > 1 else f"{''.join(kinds)} ({str(error).splitlines()[0]})"


def _refuse_names(names: list[Any], place: str, what: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str) or not name or "\0" in name:
            raise ResultRefused(f"{what} expected column names as text, got {name!r}", at=place, do="name the columns")
        other = seen.setdefault(name.lower(), name)
        if other is not name or names.count(name) > 1:
            got = f"`{name}` twice" if other == name else f"`{other}` and `{name}`, which SQL takes for one"
            raise ResultRefused(f"{what} expected each column once, got {got}", at=place, do="rename or drop one")


def _to_columns(table: pa.Table) -> Columns:
    return {name: to_numpy(column) for name, column in _columns(table)}


def _to_polars(table: pa.Table) -> Any:
    import polars as pl

    return pl.DataFrame(table)


_WRITERS: dict[str, Callable[[Any], Any]] = {
    "": lambda table: table,
    "arrow": lambda table: table,
    "sql": lambda table: table,
    "columns": _to_columns,
    "pandas": lambda table: table.to_pandas(ignore_metadata=True),
    "polars": _to_polars,
    "lazy": lambda table: _to_polars(table).lazy(),
    "reader": lambda table: table.to_reader(),
}
