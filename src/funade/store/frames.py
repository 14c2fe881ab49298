"""Frames as users know them, to and from the one form in which rows are kept: an Arrow table.

Kept types: bool, whole and floating numbers, text, bytes, date, time, duration in µs, decimal, lists and structs of these,
and ``timestamp[us, UTC]``. Dictionaries and categories are kept as their plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from funade.declare.spec import Form
from funade.errors import ResultRefused

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    import duckdb
    import numpy as np
    import pyarrow as pa

    Columns = dict[str, np.ndarray[Any, Any]]

FORMS = "pandas.DataFrame, polars.DataFrame, pyarrow.Table, a DuckDB relation or a dict of NumPy arrays"

_PIECE = 1 << 20
"""Rows per piece when text is narrowed to 32-bit offsets: a piece then rarely holds 2 GiB."""


def __getattr__(name: str) -> object:
    if name == "Columns":  # the alias needs NumPy, which planning must not import
        import numpy as np

        return dict[str, np.ndarray]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def to_arrow(value: object, *, zone: ZoneInfo, place: str, what: str = "result") -> pa.Table:
    """Any frame as an Arrow table of kept types.

    A naive timestamp is read as wall-clock time in ``zone`` (one that occurs twice is the earlier, one that is
    skipped the moment before the gap); in a dict of NumPy arrays it is UTC. A pandas index is dropped, a pandas
    or NumPy NaN is kept as missing. Nanoseconds are cut to microseconds.

    Raises:
        ResultRefused: not a frame, rows without a column, two columns of one name, a column without one plain type.
    """
    table = _read(value, place, what)
    if not table.num_columns and table.num_rows:
        raise ResultRefused(f"{what} expected at least one column, got none", at=place)
    _refuse_repeats(table.column_names, place, what)
    naive = "UTC" if isinstance(value, Mapping) else zone.key
    columns = [_kept(column, naive, _Where(name, place, what)) for name, column in _columns_of(table)]
    return _pa().table(columns, names=table.column_names)


def from_arrow(table: pa.Table, form: Form, *, connection: duckdb.DuckDBPyConnection | None = None) -> Any:
    """The table as ``form``.

    pandas: text is pandas' ``str``, times are ``datetime64[us, UTC]``, whole numbers with missing values become
    ``float64`` with NaN (exact up to 2**53), bools with missing values and dates become ``object``.
    columns: see ``to_columns``. relation: lives on ``connection``, else on a private in-memory one.
    """
    if form == "columns":
        return to_columns(table)
    if form == "relation":
        return _relation(table, connection or memory())
    return _WRITERS[form](table)


def to_columns(table: pa.Table) -> Columns:
    """One NumPy array per column: ``float64`` (missing is NaN), ``int64``, ``uint64`` where 64 unsigned bits are kept,
    ``bool_``, ``datetime64[us]`` meaning UTC, ``datetime64[D]``, else ``object`` with None for missing.
    """
    return {name: _array(column) for name, column in _columns_of(table)}


def memory() -> duckdb.DuckDBPyConnection:
    """A private in-memory DuckDB that speaks UTC and does not look into Python's variables."""
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("SET TimeZone = 'UTC'").fetchall()
    connection.execute("SET python_enable_replacements = false").fetchall()
    return connection


def from_relation(relation: duckdb.DuckDBPyRelation) -> pa.Table:
    """A relation's rows. As in DuckDB's own ``df()``, decimals become ``float64``; sums of whole numbers (HUGEINT)
    become ``int64``, or ``float64`` where they do not fit.
    """
    pa = _pa()
    table = relation.to_arrow_table()
    for index, (kind, name) in enumerate(zip(map(str, relation.types), table.column_names, strict=True)):
        if kind in ("HUGEINT", "UHUGEINT") or kind.startswith("DECIMAL"):
            wanted = pa.float64() if kind.startswith("DECIMAL") else pa.int64()
            table = table.set_column(index, name, _number(table.column(index), wanted))
    return table


class _Where:
    """Which column of whose result an error is about."""

    def __init__(self, column: str, place: str, what: str) -> None:
        self.column, self.place, self.what = column, place, what

    def refuse(self, expected: str, got: str, do: str = "") -> ResultRefused:
        return ResultRefused(
            f"{self.what} expected column `{self.column}` {expected}, got {got}",
            at=self.place,
            do=do,
            column=self.column,
        )


def _pa() -> Any:
    import pyarrow

    return pyarrow


def _root(value: object) -> tuple[str, str]:
    """(package, class) of the nearest class that is a known frame, looking at the class and its parents."""
    for cls in type(value).__mro__:
        key = (cls.__module__.partition(".")[0].lstrip("_"), cls.__name__)
        if key in _READERS:
            return key
    return "", ""


def _read(value: object, place: str, what: str) -> pa.Table:
    if isinstance(value, Mapping):
        return _from_columns(value, place, what)
    reader = _READERS.get(_root(value))
    if reader is None:
        got = "None" if value is None else f"{type(value).__module__.partition('.')[0]}.{type(value).__qualname__}"
        raise ResultRefused(
            f"{what} expected a frame, got {got.removeprefix('builtins.')}", at=place, do=f"return {FORMS}"
        )
    return reader(value, place, what)


def _from_pandas(frame: Any, place: str, what: str) -> pa.Table:
    names = [_name(name, place, what) for name in frame.columns]
    _refuse_repeats(names, place, what)
    series = (frame.iloc[:, index] for index in range(len(names)))
    columns = [_from_values(one, _Where(name, place, what)) for name, one in zip(names, series, strict=True)]
    return _pa().table(columns, names=names)


def _from_columns(frame: Mapping[Any, Any], place: str, what: str) -> pa.Table:
    import numpy as np

    arrays = {_name(name, place, what): np.asarray(values) for name, values in frame.items()}
    for name, values in arrays.items():
        if values.ndim != 1:
            raise _Where(name, place, what).refuse("with one value a row", f"an array of shape {values.shape}")
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"`{name}` {length}" for name, length in lengths.items())
        raise ResultRefused(f"{what} expected columns of one length, got {told}", at=place)
    columns = [_from_values(values, _Where(name, place, what)) for name, values in arrays.items()]
    return _pa().table(columns, names=list(arrays))


def _from_values(values: Any, where: _Where) -> pa.ChunkedArray:
    """A pandas series or NumPy array; NaN in it is a missing value."""
    pa = _pa()
    _refuse_mixed(values, where)
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise where.refuse("of one plain type", _told(values, error), "convert the column") from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _refuse_mixed(values: Any, where: _Where) -> None:
    """Arrow turns some mixtures (bytes with text, bools with numbers) into one type without a word."""
    if str(getattr(values, "dtype", "")) != "object":
        return
    kinds = {type(value) for value in values}
    if float in kinds and len(kinds) > 1 and all(value != value for value in values if type(value) is float):
        kinds.discard(float)
    kinds = {kind for kind in kinds if kind.__name__ not in ("NoneType", "NAType", "NaTType")}
    families = {_family(kind) for kind in kinds}
    if len(families) > 1:
        raise where.refuse(
            "of one plain type", " and ".join(sorted(kind.__name__ for kind in kinds)), "convert the column"
        )


def _family(kind: type) -> str:
    import numpy as np

    if kind is bool or issubclass(kind, np.bool_):
        return "bool"
    if kind in (int, float) or issubclass(kind, np.number):
        return "number"
    return {"Timestamp": "datetime", "str_": "str", "bytes_": "bytes"}.get(kind.__name__, kind.__name__)


def _told(values: Any, error: Exception) -> str:
    kinds = sorted({type(value).__name__ for value in values if value is not None})
    dtype = str(getattr(values, "dtype", ""))
    if dtype != "object":
        return dtype
    first = str(error).splitlines()[0] if str(error) else ""
    return " and ".join(kinds) if len(kinds) > 1 else f"{''.join(kinds)} ({first})"


def _name(name: object, place: str, what: str) -> str:
    if not isinstance(name, str):
        raise ResultRefused(f"{what} expected column names as text, got {name!r}", at=place, do="name the columns")
    return name


def _refuse_repeats(names: list[str], place: str, what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ResultRefused(
                f"{what} expected each column once, got `{name}` twice", at=place, do="rename or drop one"
            )
        seen.add(name)


def _columns_of(table: pa.Table) -> Iterable[tuple[str, pa.ChunkedArray]]:
    return zip(table.column_names, table.columns, strict=True)


def _kept(column: pa.ChunkedArray, zone: str, where: _Where) -> pa.ChunkedArray:
    """The column in its kept type."""
    pa = _pa()
    types = pa.types
    if isinstance(column.type, pa.BaseExtensionType):
        column = _storage(column, where)
    if types.is_dictionary(column.type) or types.is_run_end_encoded(column.type):
        column = _cast(column, column.type.value_type, where)
    if types.is_timestamp(column.type):
        return _utc(column, zone, where)
    wanted = _kept_type(column.type, where)
    return column if wanted == column.type else _cast(column, wanted, where)


def _storage(column: pa.ChunkedArray, where: _Where) -> pa.ChunkedArray:
    pa = _pa()
    name = getattr(column.type, "extension_name", str(column.type))
    if name not in ("arrow.json", "arrow.bool8"):
        raise where.refuse("of a plain type", str(column.type), "convert the column, for instance to text")
    return pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)


def _utc(column: pa.ChunkedArray, zone: str, where: _Where) -> pa.ChunkedArray:
    pa = _pa()
    import pyarrow.compute as pc

    wanted = pa.timestamp("us", tz="UTC")
    safe = column.type.unit != "ns"  # cutting ns to µs is meant, losing years is not
    try:
        if column.type.tz is None:
            column = pc.assume_timezone(
                column.cast(pa.timestamp("us"), safe=safe), zone, ambiguous="earliest", nonexistent="earliest"
            )
        return column if column.type == wanted else column.cast(wanted, safe=safe)
    except pa.ArrowException as error:
        raise where.refuse("with times of years 1 to 9999", str(error).splitlines()[0]) from error


def _kept_type(kind: pa.DataType, where: _Where) -> pa.DataType:
    pa = _pa()
    types = pa.types
    for test, wanted in _KEPT_AS(pa):
        if test(kind):
            return wanted
    if types.is_list(kind) or types.is_large_list(kind) or types.is_list_view(kind) or types.is_large_list_view(kind):
        return pa.list_(_kept_type(kind.value_type, where))
    if types.is_fixed_size_list(kind):
        return pa.list_(_kept_type(kind.value_type, where), kind.list_size)
    if types.is_struct(kind):
        return pa.struct([(kind.field(i).name, _kept_type(kind.field(i).type, where)) for i in range(kind.num_fields)])
    if types.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp("us", tz="UTC")
    if _plain(kind):
        return kind
    raise where.refuse("of a plain type", str(kind), "convert the column, for instance to text")


def _KEPT_AS(pa: Any) -> tuple[tuple[Callable[[Any], bool], Any], ...]:
    types = pa.types
    return (
        (types.is_large_string, pa.string()),
        (types.is_string_view, pa.string()),
        (types.is_large_binary, pa.binary()),
        (types.is_binary_view, pa.binary()),
        (types.is_fixed_size_binary, pa.binary()),
        (types.is_date64, pa.date32()),
        (types.is_time, pa.time64("us")),
        (types.is_float16, pa.float32()),
        (types.is_duration, pa.duration("us")),
    )


def _plain(kind: pa.DataType) -> bool:
    types = _pa().types
    tests = (types.is_boolean, types.is_integer, types.is_floating, types.is_string, types.is_binary, types.is_date32,
             types.is_decimal128, types.is_decimal256, types.is_null)  # fmt: skip
    return any(test(kind) for test in tests)


def _cast(column: pa.ChunkedArray, wanted: pa.DataType, where: _Where) -> pa.ChunkedArray:
    pa = _pa()
    pieces = [chunk.slice(at, _PIECE) for chunk in column.chunks for at in range(0, len(chunk), _PIECE)]
    safe = not (pa.types.is_duration(wanted) or pa.types.is_time(wanted))
    try:
        return pa.chunked_array([piece.cast(wanted, safe=safe) for piece in pieces], wanted)
    except pa.ArrowException as error:
        raise where.refuse(f"that fits {wanted}", str(error).splitlines()[0]) from error


def _number(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    pa = _pa()
    if pa.types.is_floating(column.type):
        return column
    try:
        return column.cast(wanted)
    except pa.ArrowException:
        return column.cast(pa.float64())


def _relation(table: pa.Table, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    return connection.from_arrow(table)


def _to_pandas(table: pa.Table) -> Any:
    return table.to_pandas(ignore_metadata=True)


def _to_polars(table: pa.Table) -> Any:
    import polars as pl

    return pl.DataFrame(table)


def _array(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    import numpy as np

    types, kind = _pa().types, column.type
    if types.is_timestamp(kind):
        return _numpy(column.cast(_pa().timestamp("us"))).astype("datetime64[us]", copy=False)
    if types.is_date(kind):
        return _numpy(column).astype("datetime64[D]", copy=False)
    if types.is_boolean(kind) and not column.null_count:
        return _numpy(column).astype(np.bool_, copy=False)
    if types.is_floating(kind) or (types.is_integer(kind) and column.null_count):
        return _numpy(column.cast("float64", safe=False)).astype(np.float64, copy=False)
    if types.is_integer(kind):
        return _numpy(column).astype(np.uint64 if types.is_uint64(kind) else np.int64, copy=False)
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values


def _numpy(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = column.to_numpy()
    return array


_READERS: dict[tuple[str, str], Callable[[Any, str, str], Any]] = {
    ("pandas", "DataFrame"): _from_pandas,
    ("polars", "DataFrame"): lambda frame, place, what: frame.to_arrow(),
    ("polars", "LazyFrame"): lambda frame, place, what: frame.collect().to_arrow(),
    ("pyarrow", "Table"): lambda table, place, what: table,
    ("pyarrow", "RecordBatch"): lambda batch, place, what: _pa().Table.from_batches([batch]),
    ("pyarrow", "RecordBatchReader"): lambda reader, place, what: reader.read_all(),
    ("duckdb", "DuckDBPyRelation"): lambda relation, place, what: from_relation(relation),
}

_WRITERS: dict[str, Callable[[Any], Any]] = {
    "": lambda table: table,
    "arrow": lambda table: table,
    "sql": lambda table: table,
    "pandas": _to_pandas,
    "polars": _to_polars,
    "lazy": lambda table: _to_polars(table).lazy(),
    "reader": lambda table: table.to_reader(),
}
