"""Answers for one table of rows: what goes into the table, and what is refused."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from funade.batch.plan import FALLBACK, RELEASE
from funade.bind.api import BoundApi
from funade.bind.halves import attempts
from funade.contract import outcome
from funade.contract.arrays import Columns
from funade.contract.arrow import TYPES, to_arrow
from funade.contract.outcome import Fault, Outcome
from funade.contract.table import ColumnsCheck
from funade.errors import BuildFailed, FunadeError, headline

MOST_RAISED, MOST_AT_ONCE = 2000, 100
"""Calls of the function in one table of rows that may raise until the run ends with its error: in all, and before any
succeeds. The first are the calls that find about 250 bad rows among 8,192.
"""


class TableAnswers(NamedTuple):
    """Rows with their answers, and the refused ones with the reason; how many the fallback answered."""

    answers: pa.Table
    refused: pa.Table
    fallback: int


class TableApi:
    """One api of one release, answering tables of rows with the columns of ``schema``.

    Those ``carried`` stand beside the answers.
    """

    def __init__(self, api: BoundApi, release: int, schema: pa.Schema, carried: Sequence[str]) -> None:
        self._api = api
        self._release = release
        self._carried = list(carried)
        self._check = ColumnsCheck(api.requests)
        self._fallback = api.answers.constant(api.fallback) if api.fallback is not None else None
        self._gives = api.contract.gives_fields
        more = pa.schema([(FALLBACK, pa.string()), (RELEASE, pa.int64())])
        own = [pa.field(f.name, TYPES[f.type]) for f in self._gives]
        self.schema = pa.schema([*[schema.field(name) for name in self._carried], *own, *more])
        self.refused_schema = pa.schema([*schema, *_refused_columns(schema)])

    def score(self, table: pa.Table, start: int) -> TableAnswers:
        """The answers for a table's rows; its first row has the number ``start``.

        Raises:
            Exception: whatever the api's function raises, again and again.
        """
        held = self._check.hold(table)
        places = np.arange(table.num_rows) if held.valid is None else np.flatnonzero(held.valid)
        refused = list(held.refused)
        codes = np.zeros(len(places), dtype=np.uint8)
        answered = np.ones(len(places), dtype=bool)
        pieces = []
        for first, answers in self._outcomes(held.batch.columns, len(places)):
            pieces.append(answers.columns)
            for row, fault in answers.faults.items():
                if fault.code == outcome.REFUSED or self._fallback is None:
                    answered[first + row] = False
                    refused.append((int(places[first + row]), fault.text))
                else:
                    codes[first + row] = fault.code
        columns = self._table(pieces, codes, answered)
        chosen = places[answered]
        rows = table.select(self._carried)
        rows = rows if len(chosen) == table.num_rows else rows.take(chosen)
        return TableAnswers(
            self._beside(rows, columns, codes[answered]), self._refused(table, refused, start), int((codes > 0).sum())
        )

    def _outcomes(self, columns: Columns, rows: int) -> Iterator[tuple[int, Outcome]]:
        """The function's answers as (first row, answers), in order; a row on which it raises is alone."""

        def give(start: int, stop: int) -> Outcome:
            # The function may write into its batch, as it may into a request's: these columns are Arrow's memory.
            batch = {name: values[start:stop].copy() for name, values in columns.items()}
            return self._api.give(batch, stop - start)

        errors, most = 0, MOST_AT_ONCE
        for span in attempts(give, rows):
            if span.outcome is not None:
                most = MOST_RAISED
                yield span.start, span.outcome
                continue
            assert isinstance(span.error, Exception)
            errors += 1
            if errors > most:
                raise self._failure(span.error) from span.error
            if not span.halves:
                answer = self._fallback or self._api.answers.blank()
                fault = Fault(outcome.ERROR, f"the function raised {headline(span.error)}")
                yield span.start, Outcome(answer, {0: fault})

    def _failure(self, error: Exception) -> FunadeError:
        if isinstance(error, FunadeError):
            return error
        return BuildFailed(
            f"api `{self._api.name}` expected to answer, got {headline(error)}",
            at=self._api.spec.place,
            do="release one that does",
            traceback="".join(traceback.format_exception(error)),
        )

    def _table(self, pieces: Sequence[Columns], codes: Any, answered: Any) -> pa.Table:
        arrays = []
        for field in self._gives:
            parts = [to_arrow(piece[field.name], field.type) for piece in pieces]
            array = pa.concat_arrays(parts) if len(parts) != 1 else parts[0]
            if codes.any() and self._fallback is not None:
                fallback = to_arrow(self._fallback[field.name], field.type)
                array = pa.concat_arrays([array, fallback]).take(
                    pa.array(np.where(codes > 0, len(array), np.arange(len(array))))
                )
            arrays.append(array if answered.all() else array.filter(pa.array(answered)))
        return pa.table(arrays, names=[field.name for field in self._gives])

    def _beside(self, rows: pa.Table, answers: pa.Table, codes: Any) -> pa.Table:
        number = answers.num_rows
        words = pa.array([outcome.NAMES.get(code, "") for code in range(outcome.NAN + 1)])
        spoke = words.take(pa.array(codes)) if codes.any() else pa.repeat("", number)
        release = pa.array(np.full(number, self._release, dtype=np.int64))
        return pa.table([*rows.columns, *answers.columns, spoke, release], schema=self.schema)

    def _refused(self, table: pa.Table, refused: Sequence[tuple[int, str]], start: int) -> pa.Table:
        ordered = sorted(refused)
        rows = table.take(pa.array([place for place, _ in ordered], pa.int64()))
        reasons = [
            pa.array([start + p for p, _ in ordered], pa.int64()),
            pa.array([r for _, r in ordered], pa.string()),
        ]
        return pa.table([*rows.columns, *reasons], schema=self.refused_schema)


def _refused_columns(schema: pa.Schema) -> Iterator[Any]:
    """The two columns added to refused rows, under free names: the row's number from 0, and the reason."""
    names = {name.lower() for name in schema.names}
    for base, kind in (("row", pa.int64()), ("reason", pa.string())):
        yield pa.field(next(n for n in (base, f"refused_{base}", f"funade_{base}") if n not in names), kind)
