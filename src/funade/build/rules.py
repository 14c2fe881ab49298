"""Rules: a check policy as SQL over one snapshot's columns, and as the words a message uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import types

from funade.declare.policy import NotNull, OneOf, Policy, RowCount, Unique, Within, policy_name
from funade.errors import closest
from funade.store.records import Finding
from funade.store.warehouse.query import quoted


class Rule(msgspec.Struct, frozen=True):
    """One policy over rows.

    ``bad`` is the SQL condition of a bad row, with ``values`` for its marks; for ``unique`` it is empty, ``repeats``
    is the SQL number of rows beyond the different ones, and ``columns`` are those that may not repeat.
    """

    check: str
    expected: str
    bad: str = ""
    values: tuple[Any, ...] = ()
    repeats: str = ""
    columns: tuple[str, ...] = ()

    @property
    def count(self) -> str:
        """The SQL number that is 0 where the rule holds."""
        return self.repeats or f"count(*) FILTER ({self.bad})"


def rule_of(policy: Policy, schema: pa.Schema, rows: int) -> Rule | Finding:
    """A policy as a rule; or its finding, where no row needs to be read for it."""
    name, expected = policy_name(policy), expectation(policy)
    if isinstance(policy, RowCount):
        holds = policy.least <= rows and (policy.most is None or rows <= policy.most)
        return Finding(check=name, expected=expected, got=f"{rows} row{'' if rows == 1 else 's'}", holds=holds)
    assert isinstance(policy, Within | NotNull | OneOf | Unique)
    columns = policy.columns if isinstance(policy, NotNull | Unique) else (policy.column,)
    missing = next((column for column in columns if column not in schema.names), None)
    if missing is not None and (rows or schema.names):
        got = _few(schema.names) or "no column"
        return Finding(
            check=name, expected=f"a column `{missing}`", got=got, holds=False, do=closest(missing, schema.names)
        )
    if not rows:
        return Finding(check=name, expected=expected, got="no row", holds=True)
    if isinstance(policy, Unique):
        return Rule(name, expected, repeats=_repeats(policy, schema), columns=policy.columns)
    if isinstance(policy, Within) and not _numeric(schema.field(policy.column).type):
        kind = schema.field(policy.column).type
        return Finding(check=name, expected=expected, got=f"a column of {kind}", holds=False)
    bad, values = _bad(policy, schema)
    return Rule(name, expected, bad, values)


def expectation(policy: Policy) -> str:
    """What a policy asks for, e.g. ``\\`fare_yen\\` in [0, 100000]``."""
    if isinstance(policy, Within):
        return f"`{policy.column}` {_range(policy.least, policy.greatest)}"
    if isinstance(policy, OneOf):
        return f"`{policy.column}` one of {_few([repr(value) for value in policy.values])}"
    if isinstance(policy, NotNull):
        return f"{_listed(policy.columns)} in every row"
    if isinstance(policy, Unique):
        return f"{_listed(policy.columns)} unique"
    assert isinstance(policy, RowCount)
    return f"at least {policy.least} rows" if policy.most is None else f"{policy.least} to {policy.most} rows"


def _few(words: Sequence[str]) -> str:
    """The first eight words, and how many there are when that is not all."""
    return ", ".join(words[:8]) + (f", … ({len(words)} in all)" if len(words) > 8 else "")


def _range(least: float | None, greatest: float | None) -> str:
    if least is None or greatest is None:
        words = [f"at least {_number(least)}"] if least is not None else []
        words += [f"at most {_number(greatest)}"] if greatest is not None else []
        return words[0] if words else "a number"
    return f"in [{_number(least)}, {_number(greatest)}]"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else str(value)


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f"`{column}`" for column in columns)


def _bad(policy: Within | NotNull | OneOf, schema: pa.Schema) -> tuple[str, tuple[Any, ...]]:
    if isinstance(policy, Within):
        return _outside(policy, schema)
    if isinstance(policy, OneOf):
        return _other(policy, schema)
    return " OR ".join(f"{_value(column, schema)} IS NULL" for column in policy.columns) or "false", ()


def _outside(policy: Within, schema: pa.Schema) -> tuple[str, tuple[Any, ...]]:
    value = _value(policy.column, schema)
    bounds = [(f"{value} < ?", policy.least), (f"{value} > ?", policy.greatest)]
    present = [(sql, float(bound)) for sql, bound in bounds if bound is not None]
    return " OR ".join(sql for sql, _ in present) or "false", tuple(bound for _, bound in present)


def _other(policy: OneOf, schema: pa.Schema) -> tuple[str, tuple[Any, ...]]:
    """SQL for a value that is present but not among the policy's; only those of the column's own type can match."""
    kind, value = schema.field(policy.column).type, _value(policy.column, schema)
    allowed: list[Any] = [choice for choice in policy.values if choice is not None]
    if pa.types.is_boolean(kind):
        allowed = [choice for choice in allowed if isinstance(choice, bool)]
    elif _numeric(kind):
        allowed = [choice for choice in allowed if isinstance(choice, int | float) and not isinstance(choice, bool)]
    elif pa.types.is_string(kind):
        allowed = [choice for choice in allowed if isinstance(choice, str)]
    else:
        allowed, value = [str(choice) for choice in allowed], f"CAST({value} AS VARCHAR)"
    if not allowed:
        return f"{value} IS NOT NULL", ()
    return f"{value} NOT IN ({', '.join('?' for _ in allowed)})", tuple(allowed)


def _repeats(policy: Unique, schema: pa.Schema) -> str:
    """How many rows are more than the different ones; two missing values are the same value."""
    values = [_value(column, schema) for column in policy.columns]
    if len(values) == 1:
        return f"count(*) - count(DISTINCT {values[0]}) - CAST(count(*) > count({values[0]}) AS BIGINT)"
    return f"count(*) - count(DISTINCT row({', '.join(values)}))"


def _value(column: str, schema: pa.Schema) -> str:
    """The column in SQL, NULL where it is NaN."""
    name = quoted(column)
    floating = pa.types.is_floating(schema.field(column).type)
    return f"(CASE WHEN NOT isnan({name}) THEN {name} END)" if floating else name


def _numeric(kind: pa.DataType) -> bool:
    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_null)
    return any(test(kind) for test in tests)
