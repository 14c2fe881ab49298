"""The plan of a run: which release answers which rows, part by part; written down before the first part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from funade.declare.spec import Spec
from funade.digest import of_value
from funade.errors import ResultRefused, closest
from funade.store.warehouse.query import whole

PART_ROWS = 1 << 18
"""Rows per part of a large table: what a kill may cost a worker."""

LEAST_ROWS = 1 << 16
"""Rows per part of a small one."""

FALLBACK, RELEASE = "fallback", "release"
"""The columns that a run adds beside the answers."""


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """Row groups [first, stop) of one file; of these the rows from ``skip`` on, ``rows`` of them (-1: all)."""

    path: str
    first: int
    stop: int
    skip: int = 0
    rows: int = -1


class Part(msgspec.Struct, frozen=True, array_like=True):
    """``rows`` rows from the row ``start`` on, counted over all parts."""

    start: int
    rows: int
    pieces: tuple[Piece, ...]


class RunIdentity(msgspec.Struct, frozen=True):
    """What makes two runs the same run.

    ``origin``: node or table → the version that the rows come from.
    """

    api: str
    release: int
    rows: str
    origin: dict[str, str]
    keep: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """A digest that equal runs share."""
        return of_value(self)


class Plan(msgspec.Struct, frozen=True):
    """A run; ``schema`` is that of the rows, as Arrow writes it; ``carried`` are the columns that stay."""

    id: str
    asked: RunIdentity
    store: str
    schema: bytes
    carried: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """How many rows all parts have."""
        return sum(part.rows for part in self.parts)


def parts(paths: Sequence[Path], workers: int) -> tuple[Part, ...]:
    """The rows of files, in order, as parts of like size, several for each worker.

    The last ones are half and then a quarter as large, for the workers to end together. A row group is cut only where
    it is larger by half than a part should be: who reads its second piece reads past the first.
    """
    groups = [group for path in paths for group in _groups(path)]
    total = sum(rows for _, _, rows in groups)
    most = min(PART_ROWS, max(LEAST_ROWS, total // (4 * workers)))
    made: list[Part] = []
    start, rows, pieces = 0, 0, list[Piece]()
    for path, number, count in groups:
        after = (total - start - rows - count) / (workers * most)
        limit = max(LEAST_ROWS, most if after >= 1 else most // 2 if after >= 1 / 4 else most // 4)
        if pieces and rows + count > limit:
            made.append(Part(start, rows, tuple(pieces)))
            start, rows, pieces = start + rows, 0, []
        if count > 1.5 * limit:
            made += _sliced(path, number, count, start, -(-count // round(count / limit)))
            start += count
        elif pieces and pieces[-1].path == str(path) and pieces[-1].stop == number:
            pieces[-1] = Piece(str(path), pieces[-1].first, number + 1)
            rows += count
        else:
            pieces.append(Piece(str(path), number, number + 1))
            rows += count
    return (*made, Part(start, rows, tuple(pieces))) if pieces or not made else tuple(made)


def _sliced(path: Path, number: int, count: int, start: int, size: int) -> Iterator[Part]:
    """The rows of one row group as several parts."""
    for skip in range(0, count, size):
        rows = min(size, count - skip)
        yield Part(start + skip, rows, (Piece(str(path), number, number + 1, skip, rows),))


def _groups(path: Path) -> list[tuple[Path, int, int]]:
    """The row groups of a file: its path, a group's number and rows."""
    with whole(path):
        metadata = pq.read_metadata(path)
    return [(path, number, metadata.row_group(number).num_rows) for number in range(metadata.num_row_groups)]


def carried(spec: Spec, schema: pa.Schema, keep: Sequence[str]) -> tuple[str, ...]:
    """The columns of the rows that stand in the table beside the answers.

    Raises:
        ResultRefused: the rows lack a column that the contract requires or that is to be kept, or one of theirs has
            the name of an answer's.
    """
    assert spec.contract is not None
    takes = {f.name: f for f in spec.contract.takes_fields}
    wanted = [*(f.name for f in takes.values() if f.required), *keep]
    missing = next((name for name in wanted if name not in schema.names), None)
    if missing is not None:
        there = ", ".join(schema.names) or "no column"
        raise ResultRefused(
            f"api `{spec.name}` expected a column `{missing}` in the rows, got {there}",
            at=spec.place,
            do=closest(missing, schema.names),
        )
    lower = Counter(name.lower() for name in schema.names)
    twice = next((name for name in schema.names if lower[name.lower()] > 1), None)
    if twice is not None:
        raise ResultRefused(
            f"api `{spec.name}` expected rows whose columns have names of their own, got `{twice}` twice",
            at=spec.place,
            do="rename one: SELECT … AS …",
        )
    names = tuple(name for name in schema.names if name not in takes or name in keep)
    answers = {name.lower() for name in (*(f.name for f in spec.contract.gives_fields), FALLBACK, RELEASE)}
    both = next((name for name in names if name.lower() in answers), None)
    if both is not None:
        raise ResultRefused(
            f"api `{spec.name}` expected rows without its answers' columns, got `{both}` on both sides",
            at=spec.place,
            do="rename the rows' column, or the contract's",
        )
    return names


def origin_of(versions: Mapping[str, str], query: str) -> dict[str, str]:
    """The versions of those tables that a query may name."""
    text = query.lower()
    return {name: version for name, version in sorted(versions.items()) if name.lower() in text}
