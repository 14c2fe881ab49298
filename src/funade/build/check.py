"""Data checks: one snapshot's rows held against its policies, all of them counted in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from funade.declare.policy import NotNull, OneOf, Policy, RowCount, Unique, Within
from funade.errors import closest
from funade.store import frames, snapshots
from funade.store.records import Finding
from funade.store.snapshots import quoted

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa

    from funade.store.blobs import Blobs

SHOWN = 3
"""Row numbers in a message."""

LISTED = 100
"""Row numbers in a finding."""

KEPT = 100_000
"""Bad rows kept aside for inspection, for each check."""


class _Rule(msgspec.Struct):
    """One policy as SQL: ``bad`` is true for a bad row; for ``unique``, ``extra`` counts how many rows repeat another."""

    check: str
    expected: str
    bad: str = ""
    values: tuple[Any, ...] = ()
    extra: str = ""
    columns: tuple[str, ...] = ()


def check(paths: Sequence[Path], policies: Sequence[Policy], *, blobs: Blobs, dataset: str = "") -> tuple[Finding, ...]:
    """One finding for each policy of ``policy.CHECKS``, in their order; row numbers count from 0 through all files.

    The bad rows of a check (the first 100,000) are kept as a Parquet blob with one more column, ``row_number``.
    """
    schema = snapshots.schema_of(paths)
    rows = _row_count(paths)
    plans = [_plan(policy, schema, rows) for policy in policies]
    rules = [plan for plan in plans if isinstance(plan, _Rule)]
    failed = iter(_failed(paths, rules, rows, blobs))
    at = f"dataset `{dataset}`" if dataset else ""
    findings = [next(failed) if isinstance(plan, _Rule) else plan for plan in plans]
    return tuple(msgspec.structs.replace(finding, at=at) for finding in findings)


def _failed(paths: Sequence[Path], rules: list[_Rule], rows: int, blobs: Blobs) -> list[Finding]:
    if not rules or not rows:
        return [_held(rule) for rule in rules]
    connection = frames.memory()
    try:
        counts = _counts(connection, paths, rules)
        positions = _positions(connection, paths, [rule for rule, count in zip(rules, counts, strict=True) if count])
    finally:
        connection.close()
    table = snapshots.read(paths) if positions else None
    found = iter(positions)
    return [
        _finding(rule, next(found), table, blobs) if count else _held(rule)
        for rule, count in zip(rules, counts, strict=True)
    ]


def _row_count(paths: Sequence[Path]) -> int:
    import pyarrow.parquet as pq

    return sum(int(pq.read_metadata(path).num_rows) for path in paths)


def _plan(policy: Policy, schema: pa.Schema, rows: int) -> _Rule | Finding:
    """A policy as SQL; or its finding, where no row needs to be read for it."""
    if isinstance(policy, RowCount):
        return _row_count_finding(policy, rows)
    if not isinstance(policy, Within | NotNull | OneOf | Unique):
        raise TypeError(f"{type(policy).__name__} is not a check of rows")
    columns = policy.columns if isinstance(policy, NotNull | Unique) else (policy.column,)
    missing = [column for column in columns if column not in schema.names]
    if missing and not (rows == 0 and not schema.names):
        return _missing(_NAMES[type(policy)], missing[0], schema)
    if missing:
        return Finding(check=_NAMES[type(policy)], expected=_expected(policy), got="no row", holds=True)
    return _rule(policy, schema)


def _rule(policy: Within | NotNull | OneOf | Unique, schema: pa.Schema) -> _Rule | Finding:
    expected, name = _expected(policy), _NAMES[type(policy)]
    if isinstance(policy, Within):
        kind = schema.field(policy.column).type
        if not _numeric(kind):
            return Finding(check=name, expected=expected, got=f"a column of {kind}", holds=False)
        bad, values = _outside(policy, schema)
        return _Rule(name, expected, bad, values)
    if isinstance(policy, NotNull):
        return _Rule(name, expected, " OR ".join(f"{_value(column, schema)} IS NULL" for column in policy.columns))
    if isinstance(policy, OneOf):
        bad, values = _other(policy, schema)
        return _Rule(name, expected, bad, values)
    return _Rule(name, expected, extra=_repeats(policy, schema), columns=policy.columns)


_NAMES: dict[type, str] = {Within: "within", NotNull: "not_null", OneOf: "one_of", Unique: "unique", RowCount: "rows"}


def _expected(policy: Policy) -> str:
    """What the policy asks for, as a message says it."""
    if isinstance(policy, Within):
        return f"`{policy.column}` {_range(policy.least, policy.greatest)}"
    if isinstance(policy, OneOf):
        return f"`{policy.column}` one of {_few([repr(value) for value in policy.values])}"
    if isinstance(policy, NotNull):
        return f"{_listed(policy.columns)} in every row"
    if isinstance(policy, Unique):
        return f"{_listed(policy.columns)} unique"
    assert isinstance(policy, RowCount)
    if policy.most is None:
        return f"at least {policy.least} rows"
    return f"{policy.least} to {policy.most} rows"


def _range(least: float | None, greatest: float | None) -> str:
    if least is None and greatest is None:
        return "a number"
    if least is None:
        return f"at most {_number(greatest)}"
    if greatest is None:
        return f"at least {_number(least)}"
    return f"in [{_number(least)}, {_number(greatest)}]"


def _number(value: float | None) -> str:
    return str(int(value)) if value is not None and float(value).is_integer() and abs(value) < 1e15 else str(value)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)


def _few(words: list[str], most: int = 8) -> str:
    return ", ".join(words[:most]) + (f", … ({len(words)})" if len(words) > most else "")


def _row_count_finding(policy: RowCount, rows: int) -> Finding:
    holds = policy.least <= rows and (policy.most is None or rows <= policy.most)
    return Finding(check="rows", expected=_expected(policy), got=f"{rows} rows", holds=holds)


def _missing(check: str, column: str, schema: pa.Schema) -> Finding:
    return Finding(
        check=check,
        expected=f"a column `{column}`",
        got=_few(list(schema.names)) or "no column",
        holds=False,
        do=closest(column, schema.names),
    )


def _held(rule: _Rule) -> Finding:
    return Finding(check=rule.check, expected=rule.expected, got="no bad row", holds=True)


def _finding(rule: _Rule, positions: np.ndarray[Any, Any], table: pa.Table, blobs: Blobs) -> Finding:
    count = len(positions)
    first = ", ".join(str(row) for row in positions[:SHOWN].tolist())
    return Finding(
        check=rule.check,
        expected=rule.expected,
        got=f"{count} bad row{'s' if count > 1 else ''} (first: {first})",
        holds=False,
        count=count,
        rows=tuple(positions[:LISTED].tolist()),
        bad_digest=_kept_aside(table, positions[:KEPT], blobs),
    )


def _kept_aside(table: pa.Table, positions: np.ndarray[Any, Any], blobs: Blobs) -> str:
    import pyarrow as pa

    name = "row_number"
    while name in table.column_names:
        name += "_"
    numbers = pa.array(positions, pa.int64())
    return snapshots.keep(blobs, table.take(numbers).append_column(name, numbers))


def _numeric(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return any(
        test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    )


def _value(column: str, schema: pa.Schema) -> str:
    """The column in SQL, NULL where it is NaN."""
    import pyarrow as pa

    name = quoted(column)
    return f"nullif({name}, 'nan')" if pa.types.is_floating(schema.field(column).type) else name


def _outside(policy: Within, schema: pa.Schema) -> tuple[str, tuple[Any, ...]]:
    value = _value(policy.column, schema)
    bounds = [(f"{value} < ?", policy.least), (f"{value} > ?", policy.greatest)]
    given = [(sql, float(bound)) for sql, bound in bounds if bound is not None]
    return " OR ".join(sql for sql, _ in given) or "false", tuple(bound for _, bound in given)


def _other(policy: OneOf, schema: pa.Schema) -> tuple[str, tuple[Any, ...]]:
    """The column's value is there but is none of the policy's; only values of the column's own sort can match."""
    import pyarrow as pa

    kind, value = schema.field(policy.column).type, _value(policy.column, schema)
    allowed: list[Any] = [one for one in policy.values if one is not None]
    if pa.types.is_boolean(kind):
        allowed = [one for one in allowed if isinstance(one, bool)]
    elif _numeric(kind):
        allowed = [one for one in allowed if isinstance(one, int | float) and not isinstance(one, bool)]
    elif pa.types.is_string(kind):
        allowed = [one for one in allowed if isinstance(one, str)]
    else:
        allowed, value = [str(one) for one in allowed], f"CAST({value} AS VARCHAR)"
    if not allowed:
        return f"{value} IS NOT NULL", ()
    marks = ", ".join("?" for _ in allowed)
    return f"{value} NOT IN ({marks})", tuple(allowed)


def _repeats(policy: Unique, schema: pa.Schema) -> str:
    """How many rows are more than the different values there are; two missing values are the same value."""
    values = [_value(column, schema) for column in policy.columns]
    if len(values) == 1:
        return f"count(*) - count(DISTINCT {values[0]}) - CAST(count(*) > count({values[0]}) AS BIGINT)"
    return f"count(*) - count(DISTINCT row({', '.join(values)}))"


def _source(paths: Sequence[Path]) -> str:
    return f"read_parquet({snapshots.literal([str(path) for path in paths])}, union_by_name = true)"


def _counts(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], rules: list[_Rule]) -> list[int]:
    """How many rows each rule finds, all in one SELECT."""
    terms = [rule.extra or f"count(*) FILTER ({rule.bad})" for rule in rules]
    values = [value for rule in rules for value in rule.values]
    row = connection.execute(f"SELECT {', '.join(terms)} FROM {_source(paths)}", values).fetchall()[0]
    return [int(count) for count in row]


def _positions(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], rules: list[_Rule]
) -> list[np.ndarray[Any, Any]]:
    """The row numbers that each rule finds, ascending."""
    import numpy as np

    told = [rule for rule in rules if rule.bad]
    masks: dict[int, np.ndarray[Any, Any]] = {}
    if told:
        terms = [f"coalesce({rule.bad}, false) AS b{index}" for index, rule in enumerate(told)]
        values = [value for rule in told for value in rule.values]
        query = f"SELECT {', '.join(terms)} FROM {_source(paths)}"
        table: pa.Table = connection.sql(query, params=values).to_arrow_table()
        masks = {id(rule): np.flatnonzero(table.column(i).to_numpy()) for i, rule in enumerate(told)}
    return [masks[id(rule)] if rule.bad else _repeated(connection, paths, rule.columns) for rule in rules]


def _repeated(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], columns: Sequence[str]
) -> np.ndarray[Any, Any]:
    """Numbers of all rows that agree with another in these columns."""
    import numpy as np
    import pyarrow as pa

    table = snapshots.read(paths)
    keys = [_no_nan(table.column(column)) for column in columns]
    names = [f"c{index}" for index in range(len(keys))]
    connection.register("keys", pa.table([*keys, np.arange(table.num_rows)], names=[*names, "n"]))
    groups = f"SELECT list(n) AS ns FROM keys GROUP BY {', '.join(names)} HAVING count(*) > 1"
    found: pa.Table = connection.sql(f"SELECT unnest(ns) AS n FROM ({groups})").to_arrow_table()
    return np.sort(found.column("n").to_numpy())


def _no_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), None, column)
