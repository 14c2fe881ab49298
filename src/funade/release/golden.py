"""Golden rows: requests that every worker of a release must answer as the gate did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from funade.bind.api import BoundApi
from funade.digest import canonical
from funade.errors import ContractViolation
from funade.store.warehouse import query

DRAWN = 200
"""Rows drawn by hash of their key."""

TRIES = 5
"""How many of a column's least (or greatest) values are tried before one that the contract takes is found."""

Request = dict[str, Any]


def draw(api: BoundApi, rows: pa.Table, key: Sequence[str]) -> list[Request]:
    """Requests from rows: 200 by hash of their key, then of each column one with its least, greatest, a missing value.

    Rows that the contract refuses are passed over. The same rows, in whatever order, give the same 200.
    """
    names = [f.name for f in api.contract.takes_fields if f.name in rows.column_names]
    if not names or not rows.num_rows:
        return []
    hashed = _by_hash(rows, [k for k in key if k in rows.column_names] or names)
    accepted = _accepted(api, rows.select(names))
    drawn = islice((request for n in hashed for request in accepted(n)), DRAWN)
    return unique([*drawn, *_extremes(rows.select(names), accepted)])


def read(path: Path, name: str, api: BoundApi) -> list[Request]:
    """The requests of a JSON-lines file; empty lines are passed over.

    Raises:
        ContractViolation: the file is not there, a line is not an object, or the contract refuses it.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractViolation(
            f"api `{api.name}` expected golden rows in {name}, got {type(error).__name__}"
        ) from None
    requests: list[Request] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except msgspec.DecodeError:
            raise ContractViolation(
                f"api `{api.name}` expected a JSON object on each line, got {line[:40]!r}", at=f"{name}:{number}"
            ) from None
        refused = api.requests.convert([request])[1]
        if refused:
            what = f"api `{api.name}` expected golden rows that it takes, got one that it refuses: {refused[0][1]}"
            raise ContractViolation(what, at=f"{name}:{number}")
        requests.append(request)
    return requests


def unique(requests: Sequence[Request]) -> list[Request]:
    """The requests without repeats, each where it stood first."""
    by_content: dict[bytes, Request] = {}
    for request in requests:
        by_content.setdefault(canonical(request), request)
    return list(by_content.values())


def _by_hash(rows: pa.Table, names: Sequence[str]) -> list[int]:
    """The numbers of the first rows by hash of these columns; twice as many as are drawn, for some may be refused."""
    columns = [f"c{index}" for index in range(len(names))]
    table = pa.table([*(rows.column(n) for n in names), np.arange(rows.num_rows)], names=[*columns, "n"])
    text = ", ".join(f"coalesce(CAST({column} AS VARCHAR), chr(0))" for column in columns)
    connection = query.memory()
    try:
        connection.register("rows", table)
        order = f"SELECT n FROM rows ORDER BY md5(concat_ws(chr(31), {text})), n LIMIT {2 * DRAWN}"
        return [int(n) for (n,) in connection.execute(order).fetchall()]
    finally:
        connection.close()


_Accepted = Callable[[int], list[Request]]


def _accepted(api: BoundApi, rows: pa.Table) -> _Accepted:
    """Row number → that row as a request in a list, or an empty one where the contract refuses it."""

    def request_of(number: int) -> list[Request]:
        request = rows.slice(number, 1).to_pylist()[0]
        converted, _ = api.requests.convert([request])
        return [_plain(request)] if converted else []

    return request_of


def _plain(request: Request) -> Request:
    """JSON values: NaN is missing, times are text."""
    plain: Request = msgspec.to_builtins(request)
    return {name: None if value != value else value for name, value in plain.items()}


def _extremes(rows: pa.Table, accepted: _Accepted) -> list[Request]:
    requests: list[Request] = []
    for column in rows.columns:
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), None, column)
        missing = pc.index(pc.is_null(column), True).as_py()
        requests += accepted(missing) if missing >= 0 else []
        if not pa.types.is_nested(column.type):
            requests += _extreme(column, "min", accepted) + _extreme(column, "max", accepted)
    return requests


def _extreme(column: pa.ChunkedArray, side: str, accepted: _Accepted) -> list[Request]:
    """A request with the least (or greatest) value whose row the contract takes."""
    left = column
    for _ in range(TRIES):
        value = pc.min_max(left)[side]
        if not value.is_valid:
            return []
        requests = accepted(pc.index(column, value).as_py())
        if requests:
            return requests
        left = left.filter(pc.greater(left, value) if side == "min" else pc.less(left, value))
    return []
