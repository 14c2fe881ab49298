"""Data checks: one snapshot's rows held against its policies, all of them counted in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funade.build.rules import Rule, rule_of
from funade.declare.policy import Policy
from funade.errors import BlobDamaged
from funade.store.ports.blobs import Blobs
from funade.store.records import Finding
from funade.store.warehouse import query, snapshots

SHOWN = 3
"""Row numbers in a message."""

LISTED = 100
"""Row numbers in a finding."""

KEPT = 100_000
"""Bad rows kept aside for inspection, for each check."""


def check(paths: Sequence[Path], policies: Sequence[Policy], *, blobs: Blobs, dataset: str = "") -> tuple[Finding, ...]:
    """One finding for each policy of ``policy.CHECKS``, in their order; row numbers count from 0 through all files.

    The bad rows of a check (the first 100,000) are kept as a Parquet blob with one more column, ``row_number``.
    For ``unique`` these are all rows that agree with another, missing values being equal.

    Raises:
        BlobDamaged: a file cannot be read.
    """
    schema, rows = snapshots.schema_of(paths), snapshots.count(paths)
    plans = [rule_of(policy, schema, rows) for policy in policies]
    made = iter(_findings(paths, [plan for plan in plans if isinstance(plan, Rule)], blobs))
    at = f"dataset `{dataset}`" if dataset else ""
    findings = [next(made) if isinstance(plan, Rule) else plan for plan in plans]
    return tuple(msgspec.structs.replace(finding, at=at) for finding in findings)


def _findings(paths: Sequence[Path], rules: list[Rule], blobs: Blobs) -> list[Finding]:
    if not rules:
        return []
    connection = query.memory()
    try:
        failed = [rule for rule, count in zip(rules, _counts(connection, paths, rules), strict=True) if count]
        table = snapshots.read(paths) if failed else None
        positions = _positions(connection, paths, failed) | _repeated(connection, table, failed)
    except duckdb.Error as error:
        raise BlobDamaged(f"rows expected readable Parquet, got: {str(error).splitlines()[0]}") from error
    finally:
        connection.close()
    return [_failed(rule, positions[rule], table, blobs) if rule in positions else _held(rule) for rule in rules]


def _counts(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], rules: list[Rule]) -> list[int]:
    """How many bad rows each rule finds (for ``unique``, how many repeats), all in one SELECT."""
    counts = ", ".join(rule.count for rule in rules)
    values = [value for rule in rules for value in rule.values]
    rows = connection.execute(f"SELECT {counts} FROM {query.parquet(paths)}", values).fetchall()
    return [int(count) for count in rows[0]]


def _positions(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], rules: list[Rule]
) -> dict[Rule, np.ndarray[Any, Any]]:
    """The row numbers that each rule with a condition finds, ascending."""
    broken = [rule for rule in rules if rule.bad]
    if not broken:
        return {}
    terms = ", ".join(f"coalesce({rule.bad}, false) AS b{index}" for index, rule in enumerate(broken))
    values = [value for rule in broken for value in rule.values]
    marks = connection.sql(f"SELECT {terms} FROM {query.parquet(paths)}", params=values).to_arrow_table()
    return {rule: np.flatnonzero(marks.column(index).to_numpy()) for index, rule in enumerate(broken)}


def _repeated(
    connection: duckdb.DuckDBPyConnection, table: pa.Table | None, rules: list[Rule]
) -> dict[Rule, np.ndarray[Any, Any]]:
    """For each ``unique`` rule the numbers of all rows that agree with another, ascending."""
    repeated: dict[Rule, np.ndarray[Any, Any]] = {}
    for rule in rules:
        if rule.bad or table is None:
            continue
        names = [f"c{index}" for index in range(len(rule.columns))]
        keys = [_without_nan(table.column(column)) for column in rule.columns]
        connection.register("keys", pa.table([*keys, np.arange(table.num_rows)], names=[*names, "n"]))
        groups = f"SELECT list(n) AS ns FROM keys GROUP BY {', '.join(names)} HAVING count(*) > 1"
        numbers = connection.sql(f"SELECT unnest(ns) AS n FROM ({groups})").to_arrow_table()
        repeated[rule] = np.sort(numbers.column("n").to_numpy())
    return repeated


def _without_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(column.type) else column


def _held(rule: Rule) -> Finding:
    return Finding(check=rule.check, expected=rule.expected, got="no bad row", holds=True)


def _failed(rule: Rule, positions: np.ndarray[Any, Any], table: pa.Table, blobs: Blobs) -> Finding:
    count = len(positions)
    first = ", ".join(str(row) for row in positions[:SHOWN].tolist())
    return Finding(
        check=rule.check,
        expected=rule.expected,
        got=f"{count} bad row{'' if count == 1 else 's'} (first: {first})",
        holds=False,
        count=count,
        rows=tuple(positions[:LISTED].tolist()),
        bad_digest=_kept_aside(table, positions[:KEPT], blobs),
    )


def _kept_aside(table: pa.Table, positions: np.ndarray[Any, Any], blobs: Blobs) -> str:
    name = "row_number"
    while name in table.column_names:
        name += "_"
    numbers = pa.array(positions, pa.int64())
    return snapshots.keep(blobs, table.take(numbers).append_column(name, numbers))
