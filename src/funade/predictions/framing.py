"""Records of answered requests as one frame of the log: their values in columns, and what is known of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from funade.contract.arrays import Array
from funade.predictions import wal
from funade.store.prediction_record import DOORS, Record


def framed(records: Sequence[Record], release: int, fields: Mapping[str, frozenset[str]]) -> list[wal.Piece]:
    """The pieces of one frame with records that have the same columns.

    ``fields`` names an api's fields that are not kept.
    """
    first = records[0]
    rows = sum([record.rows for record in records])
    without = fields.get(first.api, frozenset())
    columns = _facts(records)
    columns |= _columns([record.request.columns for record in records], "q:", without)
    columns |= _columns([record.answers for record in records], "a:", without)
    for side, letter in (("defaults", "d:"), ("guards", "g:")):
        columns |= _masks(records, side, letter)
    blocks = []
    for parts in zip(*[record.request.packed for record in records], strict=True):
        if without.isdisjoint(parts[0].names):
            names = tuple(["q:" + name for name in parts[0].names])
            blocks.append(wal.PackedColumns(names, parts[0].kind, [part.data for part in parts]))
        else:  # some of the block are not kept
            tables = [dict(zip(part.names, part.columns(), strict=True)) for part in parts]
            columns |= _columns(tables, "q:", without)
    order = ["q:" + name for name in first.request.names if name not in without]
    return wal.framed(first.api, release, rows, columns, blocks, order)


def _columns(tables: Sequence[Mapping[str, Array]], letter: str, without: frozenset[str]) -> dict[str, Array]:
    pieces = zip(*[table.values() for table in tables], strict=True)
    named = zip(tables[0], pieces, strict=True)
    return {letter + name: _joined(arrays) for name, arrays in named if name not in without}


def _joined(arrays: Sequence[Array]) -> Array:
    if len(arrays) == 1:
        return np.ascontiguousarray(arrays[0])
    joined = np.concatenate(arrays)
    if joined.dtype.kind != "f" or all(array.dtype.kind == "f" for array in arrays):
        return joined
    # Whole numbers, now with and now without missing ones: as floats the great ones would lose digits.
    return np.concatenate([array.astype(object) for array in arrays])


def _facts(records: Sequence[Record]) -> dict[str, Array]:
    """What the log tells of each row besides its values."""
    rows = [record.rows for record in records]
    total = sum(rows)
    counts = [count for record in records for count in record.counts]
    requests = len(counts)

    def each(values: Array) -> Array:
        return values if requests == total else np.repeat(values, counts)

    def whole(values: Sequence[int]) -> Array:
        return np.repeat(np.array(values, dtype="i8"), rows)

    came = np.array([since for record in records for since in record.since])
    went = np.repeat(np.array([record.now for record in records]), [len(record.counts) for record in records])
    return {
        "number": each(np.concatenate([_numbers(record.numbers) for record in records])),
        "row": _rows(records, counts, total),
        "call": whole([record.numbers[0] for record in records]),
        "at": whole([int(record.at * 1e6) for record in records]),
        "latency_ms": each(((went - came) * 1e3).astype("f4")),
        "door": each(_doors([door for record in records for door in record.doors])),
        "spoke": _spoke(records, total),
    }


def _numbers(numbers: Sequence[int]) -> Array:
    if isinstance(numbers, range):
        return np.arange(numbers.start, numbers.stop, dtype="i8")
    return np.array(numbers, dtype="i8")


def _spoke(records: Sequence[Record], total: int) -> Array:
    if all(record.spoke is None for record in records):
        return np.zeros(total, "u1")
    return np.concatenate([np.zeros(e.rows, "u1") if e.spoke is None else e.spoke for e in records])


def _doors(doors: Sequence[str]) -> Array:
    if doors.count(doors[0]) == len(doors):
        return np.full(len(doors), DOORS.index(doors[0]), dtype="u1")
    return np.array([DOORS.index(door) for door in doors], dtype="u1")


def _rows(records: Sequence[Record], counts: Sequence[int], total: int) -> Array:
    """Each row's place in its request; -1 where the request was one object."""
    if all(all(record.singles) for record in records):
        return np.full(total, -1, dtype="i4")
    singles = np.repeat([single for record in records for single in record.singles], counts)
    first = np.repeat(np.cumsum([0, *counts[:-1]]), counts)
    return np.where(singles, -1, np.arange(total) - first).astype("i4")


def _masks(records: Sequence[Record], side: str, letter: str) -> dict[str, Array]:
    sides = [getattr(record, side) or {} for record in records]
    names = dict.fromkeys(name for masks in sides for name in masks)
    return {
        letter + name: np.concatenate(
            [
                masks.get(name, np.zeros(record.rows, dtype=np.bool_))
                for record, masks in zip(records, sides, strict=True)
            ]
        )
        for name in names
    }
