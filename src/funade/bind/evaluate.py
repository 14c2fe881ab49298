"""What an evaluation judges: the answers of an api joined to rows, and the numbers that come of them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from funade.bind.api import BoundApi
from funade.declare.spec import Spec
from funade.errors import AnswerError, ResultRefused, closest


class JudgedRows:
    """How many rows an evaluation looked at."""

    def __init__(self) -> None:
        self.least: int | None = None
        self.refused = 0
        self.guarded = 0

    def saw(self, rows: int, refused: int = 0, guarded: int = 0) -> None:
        """Count one input's rows."""
        self.least = rows if self.least is None else min(self.least, rows)
        self.refused += refused
        self.guarded += guarded


class Replay(NamedTuple):
    """A table's rows joined to an api's answers.

    ``refused`` are the numbers of the rows that have none, by the contract or because a guard rejects them; ``guarded``
    counts those that the fallback answered because a guard held the api's own answer back.
    """

    table: Any
    refused: list[int]
    guarded: int = 0


def replay(api: BoundApi, table: Any) -> Replay:
    """An api's answers for a table's rows, as they would leave.

    Only the contract's columns go in, decoded as requests.

    Raises:
        ResultRefused: a column stands on both sides, or one that the contract requires is missing.
    """
    names = [f.name for f in api.contract.takes_fields]
    both = [f.name for f in api.contract.gives_fields if f.name in table.schema.names]
    if both:
        raise ResultRefused(
            f"api `{api.name}` expected rows without its answers' columns, got `{both[0]}` on both sides",
            at=api.spec.place,
            do="rename the rows' column, or the contract's",
        )
    missing = [f.name for f in api.contract.takes_fields if f.required and f.name not in table.schema.names]
    if missing:
        raise ResultRefused(
            f"api `{api.name}` expected a column `{missing[0]}` in the rows, got {', '.join(table.schema.names)}",
            at=api.spec.place,
            do=closest(missing[0], table.schema.names),
        )
    rows, refused = api.requests.convert(table.select([n for n in names if n in table.schema.names]).to_pylist())
    keep = np.ones(table.num_rows, dtype=bool)
    keep[[index for index, _ in refused]] = False
    if refused:
        table = table.filter(pa.array(keep))
    try:
        decided = api.decide(api.take(rows).columns, len(rows))
    except AnswerError as error:
        raise AnswerError(error.what, at=error.at or api.spec.place, do=error.do, **error.facts) from error
    for name, values in decided.columns.items():
        table = table.append_column(name, pa.array(values, from_pandas=True))
    if decided.rejected:
        answered = np.ones(table.num_rows, dtype=bool)
        answered[[*decided.rejected]] = False
        table = table.filter(pa.array(answered))
        keep[keep] = answered
    return Replay(table, np.flatnonzero(~keep).tolist(), len(decided.guarded))


def metrics_of(spec: Spec, result: Any) -> dict[str, float | None]:
    """An evaluation's numbers; None where one is NaN or infinite.

    Raises:
        ResultRefused: it gave something else than numbers by name.
    """
    if not isinstance(result, dict) or not all(isinstance(k, str) for k in result):
        raise ResultRefused(
            f"evaluation `{spec.name}` expected numbers by name, got {type(result).__name__}", at=spec.place
        )
    numbers: dict[str, float | None] = {}
    for name, value in result.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise ResultRefused(
                f"evaluation `{spec.name}` expected a number for {name}, got {value!r}", at=spec.place
            ) from None
        numbers[name] = number if math.isfinite(number) else None
    return numbers
