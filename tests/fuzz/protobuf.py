"""Protocol Buffers as their specification has them on the wire: taken apart, spoilt with their lengths still right."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence
from typing import NamedTuple

from fuzz import fuzzing

VARINT, FIXED64, LENGTH, GROUP, ENDED, FIXED32 = range(6)
_LAST_NUMBER = 2**29 - 1

TEXTS = (
    b"", b"A1", b"low", b"eat in", b"take away",
    b"a", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\x80", b"\0", b"\n", b"\xc3\xa9",
    b"\xe2\x80\xa8", b"\xf4\x90\x80\x80", b"2022-03-01", b"2022-03-01T12:00:00Z", b"0001-01-01T00:00:00+23:59",
    b"9999-12-31T23:59:59.999999-23:59", b"2022-02-29", b"2022-03-01t12:00:00z", b"2022-03-01 12:00:00",
    b"2022-03-01T12:00:00.1234567891Z", b"2022-03-01T24:00:00Z", b"2022-03-01T23:59:60Z", b"null", b"1", b"1e999",
    b"INT64", b"INT8", b"UINT64", b"FP16", b"FP32", b"FP64", b"BOOL", b"BYTES", b"COMPLEX", b"dishes", b"table",
    b"whole",
    b"number", b"truth", b"km", b"a.missing", b"maybe_whole.missing", b"maybe_number.missing", b"note.missing",
    b"minutes", b"by", b"timeout", b"classification", b"shared_memory_region", b"cook", b"mirror", b"everything",
    b"x" * 300, b"`", b'"', b"\\", b"{}", b"[{}]", b"https://hooks.example/\xc3\xa9", b"https://hooks.example/a?b#c",
    b"http://[::1", b"//", b"_km", b"dishes.missing",
)  # fmt: skip
_WHOLE = (
    0, 1, 2, 3, 20, 21, 127, 128, 255, 256, 300, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63,
    2**64 - 1, 2**64 - 3, 2**64 - 2**31, 2**64 - 2**53 - 1, 60_000_000, 99_999, 100_000, 100_001,
)  # fmt: skip
_DOUBLES = (
    0.0,
    -0.0,
    1.0,
    0.5,
    -1.0,
    13.0,
    1e308,
    -1e308,
    5e-324,
    0.1,
    100_000.0,
    2.0**53,
    float("inf"),
    float("-inf"),
)
_NANS = (b"\0\0\0\0\0\0\xf8\x7f", b"\1\0\0\0\0\0\xf0\x7f", b"\xff" * 8)
WORDS = (
    *TEXTS, *_NANS, b"\x80" * 9 + b"\x01", b"\xff" * 9 + b"\x7f", b"\xff" * 5, b"\0", b"\x0a\xff\xff\xff\xff\x07",
    b"\x0b\x0c", b"\x0b" * 120, b"\x0f", b"\x0e", b"\xf8\xff\xff\xff\x0f\x01",
)  # fmt: skip


class Broken(Exception):
    """These bytes are no message."""


class Part(NamedTuple):
    """One field as it was sent: ``body`` is its bytes without tag and length; of a group, what stands within."""

    number: int
    kind: int
    body: bytes

    @property
    def whole(self) -> int:
        """The number of a varint, 64 bits without a sign."""
        return _varint(self.body, 0)[0]


def parts(data: bytes) -> list[Part]:
    """A message's fields in order.

    Raises:
        Broken: it is none.
    """
    found: list[Part] = []
    at = 0
    while at < len(data):
        part, at = _part(data, at, 0)
        if part.kind == ENDED:
            raise Broken("a group ends that never began")
        found.append(part)
    return found


def _part(data: bytes, at: int, depth: int) -> tuple[Part, int]:
    begun = at
    tag, at = _varint(data, at)  # the official runtime skips a group without looking for a number 0 in it
    number, kind = tag >> 3, tag & 7
    if not (depth > 0 or number) or tag >= 2**32 or kind > FIXED32 or depth > 90 or at - begun > 5:
        raise Broken(f"tag {tag}")
    begun = at
    if kind == VARINT:
        at = _varint(data, at)[1]
    elif kind == GROUP:
        while True:
            ends = at
            part, at = _part(data, at, depth + 1)
            if part.kind == ENDED:
                if part.number != number:
                    raise Broken("another group ends")
                return Part(number, kind, data[begun:ends]), at
    elif kind != ENDED:
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if size is None:
            size, at = _varint(data, at)
            begun = at
        at += size
        if at > len(data):
            raise Broken("cut off")
    return Part(number, kind, data[begun:at]), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        if at >= len(data):
            raise Broken("cut off")
        value |= (data[at] & 127) << 7 * place
        at += 1
        if data[at - 1] < 128:
            return value % 2**64, at
    raise Broken("more than ten bytes")


def varint(value: int) -> bytes:
    """A number, 64 bits without a sign, as it is sent."""
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def joined(found: Sequence[Part]) -> bytes:
    """The fields as a message."""
    made = bytearray()
    for number, kind, body in found:
        made += varint(number << 3 | kind)
        if kind == LENGTH:
            made += varint(len(body))
        made += body
        if kind == GROUP:
            made += varint(number << 3 | ENDED)
    return bytes(made)


# -- spoilt


def mutated(known: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the known messages with fields or, one time in three, any bytes changed."""
    if rng.random() < 0.33:
        return fuzzing.mutated(WORDS, known, rng)
    data = rng.choice(known)
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = _spoilt(data, known, rng)
    return data[:6000]


def _spoilt(data: bytes, known: Sequence[bytes], rng: random.Random) -> bytes:
    try:
        found = parts(data)
    except Broken:
        return fuzzing.mutated(WORDS, [data], rng)
    at = rng.randrange(len(found) + 1)
    if at == len(found) or rng.random() < 0.1:
        found.insert(at, _made(rng))
        return joined(found)
    part = found[at]
    match rng.randrange(9):
        case 0:
            del found[at]
        case 1:
            found.insert(rng.randrange(len(found) + 1), part)
        case 2:
            found[at] = part._replace(number=rng.choice((*range(1, 24), _LAST_NUMBER)))
        case 3:
            found[at] = _made(rng)._replace(number=part.number)
        case 4:
            found += _known(known, rng)
        case 5:
            rng.shuffle(found)
        case _:
            found[at] = part._replace(body=_value(part, known, rng))
    return joined(found)


def _known(known: Sequence[bytes], rng: random.Random) -> list[Part]:
    try:
        found = parts(rng.choice(known))
    except Broken:
        return []
    return rng.sample(found, min(len(found), 2))


def _made(rng: random.Random) -> Part:
    kind = rng.choice((VARINT, FIXED64, LENGTH, LENGTH, GROUP, FIXED32))
    return Part(rng.randrange(1, 24), kind, _body(kind, rng))


def _body(kind: int, rng: random.Random) -> bytes:
    if kind == VARINT:
        return varint(rng.choice(_WHOLE)) if rng.random() < 0.9 else b"\x81\x80\x80\x00"  # longer than it needs to be
    if kind == FIXED64:
        return rng.choice((*_NANS, *(struct.pack("<d", v) for v in _DOUBLES), rng.randbytes(8)))
    if kind == FIXED32:
        return struct.pack("<f", rng.choice((0.0, 1.5, float("nan"), float("inf"), 1e38)))
    if kind == GROUP:
        return rng.choice((b"", b"\x08\x01", b"\x13\x14"))
    return rng.choice(TEXTS)


def _value(part: Part, known: Sequence[bytes], rng: random.Random) -> bytes:
    if part.kind != LENGTH:
        return _body(part.kind, rng)
    chance = rng.random()
    if chance < 0.3:
        return rng.choice(TEXTS)
    if chance < 0.4:  # packed values, or not
        return b"".join(_body(rng.choice((VARINT, FIXED64, FIXED32)), rng) for _ in range(rng.randrange(4)))
    if chance < 0.5:
        return fuzzing.mutated(WORDS, [part.body], rng, 300)
    return _spoilt(part.body, known, rng)
