"""A process that gives logged answers again: it loads one release and asks its apis what they were once asked.

``python -m funade.explain.replay_process ADDRESS`` reads one JSON array of ``LoggedRow`` from standard input and writes
one of ``ReplayedAnswer`` to what was standard output when it began. All are of one release, which is loaded once. A
request is asked together with those it was answered with, as the columns that the function took then: a sum over
another number of rows may differ in its last bit.

"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from funade import threads
from funade.bind.api import BoundApi
from funade.contract.arrays import Columns
from funade.contract.field import Field

PATIENCE_S = 120.0
_NAT = -(2**63)


class LoggedRow(msgspec.Struct, frozen=True):
    """A logged row: a Parquet file of the rows that were answered together, and its place there."""

    release: int
    api: str
    rows: str
    place: int
    fallback: str = ""


class ReplayedAnswer(msgspec.Struct, frozen=True):
    """The answer given again; ``equal`` to the bit, or ``why`` there is none or it differs."""

    answer: dict[str, Any] | None = None
    equal: bool = False
    why: str = ""


def again(store: str, asked: Sequence[LoggedRow]) -> list[ReplayedAnswer]:
    """Answer requests of one release again, in a process of its own that imports that release's code."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "funade.explain.replay_process", store],
        input=msgspec.json.encode(asked),
        capture_output=True,
        timeout=PATIENCE_S + len(asked),
        check=False,
        env=threads.environment(),
    )
    try:
        return msgspec.json.decode(done.stdout, type=list[ReplayedAnswer])
    except msgspec.DecodeError:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = f"release {asked[0].release} did not load: {said[-1][:300] if said else done.returncode}"
        return [ReplayedAnswer(why=why)] * len(asked)


def columns(values: pa.StructArray, fields: Sequence[Field]) -> Columns:
    """A struct's fields as the columns that a function takes."""
    return {field.name: _column(values.field(field.name), field) for field in fields}


def _column(array: pa.Array, field: Field) -> np.ndarray[Any, Any]:
    from funade.contract.columns import dtype_of

    dtype = dtype_of(field)
    if dtype.startswith("datetime"):
        whole = array.cast(pa.int32()).cast(pa.int64()) if dtype.endswith("[D]") else array.cast(pa.int64())
        return np.array(whole.fill_null(_NAT).to_numpy(zero_copy_only=False), dtype="i8").view(f"M8[{dtype[11:-1]}]")
    if dtype == "float64":
        return np.array(array.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype="f8")
    if dtype == "object":
        found = np.empty(len(array), dtype=object)
        found[:] = array.to_pylist()
        return found
    return np.array(array.to_pylist(), dtype=dtype)


def _answered(api: BoundApi, asked: LoggedRow) -> ReplayedAnswer:
    table = pq.read_table(asked.rows, partitioning=None)
    requests, answers = (table.column(side).combine_chunks() for side in ("request", "answer"))
    logged = answers[asked.place].as_py() or {}
    if asked.fallback:
        found = api.answers.constant(api.fallback or {})
        return _compared(api, found, 0, logged, f"the fallback spoke ({asked.fallback})")
    absent = [f.name for f in api.contract.takes_fields if requests.type.get_field_index(f.name) < 0]
    if absent:
        return ReplayedAnswer(why=f"`{absent[0]}` is not logged, as fn.log(without=…) says")
    together = _given(api, requests, asked.place, logged)
    return together if together.equal else _given(api, requests.slice(asked.place, 1), 0, logged, otherwise=together)


def _given(
    api: BoundApi, requests: pa.StructArray, place: int, logged: dict[str, Any], otherwise: ReplayedAnswer | None = None
) -> ReplayedAnswer:
    """The answer of one of the rows, asked together; ``otherwise`` where that is not the logged one either.

    Where the function fails for all, the half with the row is asked, as servers do.
    """
    start, stop = 0, len(requests)
    while True:
        try:
            rows = requests.slice(start, stop - start)
            given = api.give(columns(rows, api.contract.takes_fields), len(rows))
            break
        except Exception as error:  # the user's function may raise anything
            if stop - start == 1:
                return otherwise or ReplayedAnswer(why=f"now it fails: {type(error).__name__}: {error}"[:500])
            middle = (start + stop) // 2
            start, stop = (start, middle) if place < middle else (middle, stop)
    if place - start in given.faults:
        return otherwise or ReplayedAnswer(why=f"now it has no answer: {given.faults[place - start].text}")
    found = _compared(api, given.columns, place - start, logged)
    return found if found.equal or otherwise is None else otherwise


def _compared(api: BoundApi, found: Columns, place: int, logged: dict[str, Any], why: str = "") -> ReplayedAnswer:
    row = {name: column[place : place + 1] for name, column in found.items()}
    fields = [field for field in api.contract.gives_fields if field.name in logged]
    same = all(_same(row[f.name].tolist()[0], _logged(logged[f.name], f)) for f in fields)
    return ReplayedAnswer(
        api.answers.rows(row)[0], same, why if same else f"{why}; the answer differs".removeprefix("; ")
    )


def _logged(value: Any, field: Field) -> Any:
    """A logged value as NumPy's own ``tolist`` gives it."""
    return value.replace(tzinfo=None) if field.type == "datetime" and value is not None else value


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same to the bit; NaN is a missing one."""
    one, other = (None if isinstance(v, float) and v != v else v for v in (one, other))
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    return bool(one == other)


def main(store: str) -> None:
    """Answer what standard input asks."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what users' code prints is not an answer
    from funade.bind.release import load_release

    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=list[LoggedRow])
    loaded = load_release({"store": store, "release": asked[0].release})
    out.write(msgspec.json.encode([_answered(loaded.apis[one.api], one) for one in asked]))
    out.close()


if __name__ == "__main__":
    main(sys.argv[1])
