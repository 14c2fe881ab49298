"""What an evaluation is made of: an api's answers joined to the rows they are judged on, and the numbers that come out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from funade.errors import ResultRefused

if TYPE_CHECKING:
    from funade.bind import Bound
    from funade.declare.spec import Spec


class Judged:
    """How many rows an evaluation looked at."""

    def __init__(self) -> None:
        self.least: int | None = None
        self.refused = 0

    def saw(self, rows: int, refused: int = 0) -> None:
        """Count one input's rows."""
        self.least = rows if self.least is None else min(self.least, rows)
        self.refused += refused


def replay(api: Bound, table: Any) -> tuple[Any, list[int]]:
    """An api's answers for a table's rows, joined to them; and the numbers of the rows its contract refused.

    Only the contract's columns go in, decoded as requests.

    Raises:
        ResultRefused: a column stands on both sides, or one that the contract requires is missing.
    """
    import numpy as np
    import pyarrow as pa

    names = [f.name for f in api.contract.takes_fields]
    both = [f.name for f in api.contract.gives_fields if f.name in table.schema.names]
    if both:
        raise ResultRefused(
            f"api `{api.name}` expected rows without its answers' columns, got `{both[0]}` on both sides"
        )
    missing = [f.name for f in api.contract.takes_fields if f.required and f.name not in table.schema.names]
    if missing:
        raise ResultRefused(
            f"api `{api.name}` expected a column `{missing[0]}` in the rows, got {', '.join(table.schema.names)}"
        )
    rows, refused = api.requests.convert(table.select([n for n in names if n in table.schema.names]).to_pylist())
    if refused:
        keep = np.ones(table.num_rows, dtype=bool)
        keep[[index for index, _ in refused]] = False
        table = table.filter(pa.array(keep))
    answers = api.answer(rows)
    for name, values in answers.items():
        table = table.append_column(name, pa.array(values, from_pandas=True))
    return table, [index for index, _ in refused]


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
