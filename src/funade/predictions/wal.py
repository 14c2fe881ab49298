"""A worker's predictions as it writes them: frames of columns, appended to a file; a torn last frame is recognised.

A frame is ``size, crc32`` (little-endian unsigned 32 bits), then so many bytes: the length of a MessagePack header, the
header, the columns' bytes as it says. Columns of objects are MessagePack arrays, all others NumPy's own bytes, one
after the other or, in a block, beside those of other columns, row after row.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from funade.contract.arrays import Array

_HEAD = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
Piece = bytes | memoryview
_pack = msgspec.msgpack.Encoder(enc_hook=str).encode
_OBJECTS = "objects"

MOST_BYTES = 1 << 30
"""A frame is never longer; a greater size is a torn one."""


class FrameColumn(NamedTuple):
    """One column of a frame: its name, NumPy's type string or "objects", where it begins, and how far its next value
    is from one (of objects: how many bytes they have).
    """

    name: str
    kind: str
    start: int
    step: int


class PackedColumns(NamedTuple):
    """Columns of one type as the bytes of their rows, one row after the other."""

    names: tuple[str, ...]
    kind: str
    pieces: Sequence[Piece]


class Header(msgspec.Struct, frozen=True, array_like=True):
    """What a frame holds: rows of one api, answered by one release."""

    api: str
    release: int
    rows: int
    columns: tuple[FrameColumn, ...]


class Frame(NamedTuple):
    """One frame and the place after it."""

    header: Header
    columns: dict[str, Array]
    end: int


def framed(
    api: str,
    release: int,
    rows: int,
    columns: Mapping[str, Array],
    blocks: Sequence[PackedColumns] = (),
    order: Sequence[str] = (),
) -> list[Piece]:
    """The pieces of a frame, to be written one after the other; the columns of ``order`` come last, in that order."""
    bodies: list[Piece] = []
    described: dict[str, FrameColumn] = {}
    at = 0
    for name, array in columns.items():
        if array.dtype == object:
            body: Piece = _pack(array.tolist())
            described[name] = FrameColumn(name, _OBJECTS, at, len(body))
        else:
            body = array.view("u1").data if array.size else b""
            described[name] = FrameColumn(name, array.dtype.str, at, array.itemsize)
        bodies.append(body)
        at += len(body)
    for block in blocks:
        width = int(block.kind[2:])
        step = width * len(block.names)
        described |= {name: FrameColumn(name, block.kind, at + i * width, step) for i, name in enumerate(block.names)}
        bodies += block.pieces
        at += step * rows
    described |= {name: described.pop(name) for name in order}
    header = _pack(Header(api, release, rows, tuple(described.values())))
    pieces: list[Piece] = [_LENGTH.pack(len(header)), header, *bodies]
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return [_HEAD.pack(sum(map(len, pieces)), crc), *pieces]


def frames(data: bytes | memoryview) -> Iterator[Frame]:
    """The whole frames of a file's bytes; ends before one that is torn."""
    start = 0
    while start + _HEAD.size <= len(data):
        size, crc = _HEAD.unpack_from(data, start)
        begin, end = start + _HEAD.size, start + _HEAD.size + size
        if size > MOST_BYTES or end > len(data) or zlib.crc32(data[begin:end]) != crc:
            return
        yield _frame(memoryview(data)[begin:end], end)
        start = end


def _frame(body: memoryview, end: int) -> Frame:
    at = _LENGTH.unpack_from(body)[0] + _LENGTH.size
    header = msgspec.msgpack.decode(body[_LENGTH.size : at], type=Header)
    columns: dict[str, Array] = {}
    for name, kind, start, step in header.columns:
        if kind == _OBJECTS:
            columns[name] = np.empty(header.rows, dtype=object)
            columns[name][:] = msgspec.msgpack.decode(body[at + start : at + start + step])
        else:
            columns[name] = np.ndarray(header.rows, kind, body, at + start, (step,))
    return Frame(header, columns, end)
