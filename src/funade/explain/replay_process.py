"""A process that gives a logged answer again: it loads the release and asks its api what it was once asked.

It is begun with ``ReplaySettings`` and sends one ``Replayed``. A request is asked together with those it was answered
with, as the columns that the function took then: a sum over another number of rows may differ in its last bit.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from funade.bind.api import BoundApi
from funade.bind.halves import attempts
from funade.bind.release import load_release
from funade.contract.arrays import Columns
from funade.contract.arrow import to_numpy
from funade.contract.columns import dtype_of
from funade.contract.field import Field
from funade.contract.outcome import Outcome
from funade.process.child import Child, ChildFailed, Surroundings
from funade.process.parent import Parent, run

PATIENCE_S = 120.0
_LONGEST = 400


class LoggedRow(msgspec.Struct, frozen=True):
    """A logged row: a Parquet file of the rows that were answered together, and its place there."""

    api: str
    rows: str
    place: int
    fallback: str = ""


class ReplaySettings(msgspec.Struct, frozen=True):
    """What to answer again, by a release of the store with that address."""

    store: str
    release: int
    row: LoggedRow


class ReplayedAnswer(msgspec.Struct, frozen=True):
    """The answer given again; ``equal`` to the bit, or ``why`` there is none or it differs."""

    answer: dict[str, Any] | None = None
    equal: bool = False
    why: str = ""


class Replayed(msgspec.Struct, frozen=True, tag=True):
    """What the process says in the end."""

    answer: ReplayedAnswer


def replay(store: str, release: int, row: LoggedRow) -> ReplayedAnswer:
    """Answer a row again, in a process of its own that imports the code of the release."""
    settings = ReplaySettings(store, release, row)
    with closing(Child("funade.explain.replay_process", settings, Surroundings(keeps_errors=True))) as child:
        try:
            return child.hear(Replayed, PATIENCE_S).answer
        except ChildFailed as failed:
            return ReplayedAnswer(why=f"release {release} did not load: {failed}"[:_LONGEST])


def columns(values: pa.StructArray, fields: Sequence[Field]) -> Columns:
    """A struct's fields as the columns that a function takes, which may write into them."""
    return {f.name: np.array(to_numpy(values.field(f.name)), dtype=dtype_of(f)) for f in fields}


def _answer(api: BoundApi, row: LoggedRow) -> ReplayedAnswer:
    table = pq.read_table(row.rows, partitioning=None)
    requests, answers = (table.column(side).combine_chunks() for side in ("request", "answer"))
    logged = answers[row.place].as_py() or {}
    if row.fallback:
        constant = api.answers.constant(api.fallback or {})
        return _compared(api, constant, 0, logged, f"the fallback spoke ({row.fallback})")
    absent = [f.name for f in api.contract.takes_fields if requests.type.get_field_index(f.name) < 0]
    if absent:
        return ReplayedAnswer(why=f"`{absent[0]}` is not logged, as fn.log(without=…) says")
    together = _among(api, requests, row.place, logged)
    return together if together.equal else _among(api, requests.slice(row.place, 1), 0, logged, otherwise=together)


def _among(
    api: BoundApi, requests: pa.StructArray, place: int, logged: dict[str, Any], otherwise: ReplayedAnswer | None = None
) -> ReplayedAnswer:
    """The answer of one of the rows, asked together; ``otherwise`` where that is not the logged one either.

    Where the function fails for all, the half with the row is asked, as servers do.
    """

    def give(start: int, stop: int) -> Outcome:
        return api.give(columns(requests.slice(start, stop - start), api.contract.takes_fields), stop - start)

    *_, (start, _, outcome, error) = attempts(give, len(requests), toward=place)
    if outcome is None:
        return otherwise or ReplayedAnswer(why=f"now it fails: {type(error).__name__}: {error}"[:500])
    if place - start in outcome.faults:
        return otherwise or ReplayedAnswer(why=f"now it has no answer: {outcome.faults[place - start].text}")
    answer = _compared(api, outcome.columns, place - start, logged)
    return answer if answer.equal or otherwise is None else otherwise


def _compared(api: BoundApi, answers: Columns, place: int, logged: dict[str, Any], why: str = "") -> ReplayedAnswer:
    row = {name: column[place : place + 1] for name, column in answers.items()}
    fields = [field for field in api.contract.gives_fields if field.name in logged]
    same = all(_same(row[f.name].tolist()[0], _logged(logged[f.name], f)) for f in fields)
    return ReplayedAnswer(
        api.answers.rows(row)[0], same, why if same else f"{why}; the answer differs".removeprefix("; ")
    )


def _logged(value: Any, field: Field) -> Any:
    """A logged value as NumPy's own ``tolist`` gives it."""
    return value.replace(tzinfo=None) if field.type == "datetime" and value is not None else value


def _same(left: Any, right: Any) -> bool:
    """Whether two values are the same to the bit; NaN is a missing one."""
    left, right = (None if isinstance(v, float) and v != v else v for v in (left, right))
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("<d", left) == struct.pack("<d", right)
    return bool(left == right)


def main(settings: ReplaySettings, parent: Parent) -> None:
    """Answer the row; end at once when the parent ends."""
    parent.listen(msgspec.Struct)
    loaded = load_release({"store": settings.store, "release": settings.release})
    parent.send(Replayed(_answer(loaded.apis[settings.row.api], settings.row)))


if __name__ == "__main__":
    run(main, ReplaySettings)
