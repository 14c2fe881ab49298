"""HTTP/2 as bytes: frames taken apart and spoilt, and what a client of gRPC sends first."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

from fuzz import fuzzing

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RESET, SETTINGS, PROMISE, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, PRIORITISED = 1, 4, 8, 32


class Frame(NamedTuple):
    """One frame; ``length`` is what its head says where that is not how long it is."""

    kind: int
    flags: int
    stream: int
    body: bytes
    length: int | None = None

    def sent(self) -> bytes:
        """Its bytes."""
        length = len(self.body) if self.length is None else self.length
        head = length.to_bytes(3, "big") + bytes([self.kind, self.flags]) + self.stream.to_bytes(4, "big")
        return head + self.body


def frames(data: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames, and what is left."""
    found: list[Frame] = []
    at = 0
    while at + 9 <= len(data) and at + 9 + (size := int.from_bytes(data[at : at + 3], "big")) <= len(data):
        stream = int.from_bytes(data[at + 5 : at + 9], "big")
        found.append(Frame(data[at + 3], data[at + 4], stream, data[at + 9 : at + 9 + size]))
        at += 9 + size
    return found, data[at:]


def ends(data: bytes) -> list[int]:
    """The places where something may be put in: behind each whole frame that is not within a head."""
    found, at = [], 0
    for frame in frames(data)[0]:
        at += len(frame.sent())
        if frame.kind not in (HEADERS, CONTINUATION) or frame.flags & END_HEADERS:
            found.append(at)
    return found


def header(name: bytes, value: bytes) -> bytes:
    """A field of a head, as plain text (HPACK: never indexed, no Huffman code)."""
    return b"\x10" + _text(name) + _text(value)


def _text(text: bytes) -> bytes:
    size = len(text)
    if size < 127:
        return bytes([size]) + text
    made, left = bytearray([127]), size - 127
    while left > 127:
        made.append(left & 127 | 128)
        left >>= 7
    return bytes([*made, left]) + text


def asking(path: bytes, message: bytes, *more: tuple[bytes, bytes], stream: int = 1) -> bytes:
    """A call's frames."""
    head = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"localhost"}
    head |= {b"content-type": b"application/grpc", b"te": b"trailers"} | dict(more)
    body = b"\0" + len(message).to_bytes(4, "big") + message
    block = b"".join(header(name, value) for name, value in head.items())
    sent = (Frame(HEADERS, END_HEADERS, stream, block), Frame(DATA, END_STREAM, stream, body))
    return b"".join(frame.sent() for frame in sent)


def opening() -> bytes:
    """What a client sends first of all."""
    return PREFACE + Frame(SETTINGS, 0, 0, b"").sent()


WORDS = (
    PREFACE,
    b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    *(
        frame.sent()
        for frame in (
            Frame(SETTINGS, 0, 0, b""),
            Frame(SETTINGS, 1, 0, b""),
            Frame(SETTINGS, 1, 0, b"\0\1\0\0\0\0"),
            Frame(SETTINGS, 0, 0, b"\0\1\0\0\0\0"),
            Frame(SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"),
            Frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"),
            Frame(SETTINGS, 0, 0, b"\0\5\0\0\0\0"),
            Frame(SETTINGS, 0, 0, b"\0\5\xff\xff\xff\xff\0\6\0\0\0\0"),
            Frame(SETTINGS, 0, 0, b"\0\4\0"),
            Frame(SETTINGS, 0, 3, b""),
            Frame(PING, 0, 0, b"12345678"),
            Frame(PING, 0, 0, b"1"),
            Frame(WINDOW, 0, 0, b"\0\0\0\0"),
            Frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"),
            Frame(WINDOW, 0, 1, b"\x7f\xff\xff\xff"),
            Frame(RESET, 0, 1, b"\0\0\0\x08"),
            Frame(RESET, 0, 0, b"\0\0\0\x08"),
            Frame(RESET, 0, 1, b"\0"),
            Frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\0"),
            Frame(GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0"),
            Frame(PRIORITY, 0, 1, b"\0\0\0\1\0"),
            Frame(PROMISE, END_HEADERS, 1, b"\0\0\0\2"),
            Frame(CONTINUATION, 0, 1, b""),
            Frame(CONTINUATION, END_HEADERS, 1, b"\x82"),
            Frame(HEADERS, 0, 1, b"\x82"),
            Frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff"),
            Frame(HEADERS, END_HEADERS | PRIORITISED, 1, b"\0\0\0\1\0\x82"),
            Frame(HEADERS, END_HEADERS, 1, b"\x3f\xff\xff\xff\xff\x0f"),
            Frame(HEADERS, END_HEADERS, 1, b"\x80\xff\xff"),
            Frame(HEADERS, END_HEADERS, 1, b"\0\xff\xff\xff\xff\xff\x7f"),
            Frame(DATA, PADDED, 1, b"\xff\0"),
            Frame(DATA, END_STREAM, 0, b""),
            Frame(DATA, END_STREAM, 1, b"\0\xff\xff\xff\xff"),
            Frame(DATA, END_STREAM, 1, b"\1\0\0\0\1\0"),
            Frame(DATA, 0, 1, b"\0\0\0"),
            Frame(DATA, 0, 1, b"", 0xFFFFFF),
            Frame(0xFF, 0xFF, 0x7FFFFFFF, b"?"),
        )
    ),
    *(
        header(name, value)
        for name, value in (
            (b"grpc-timeout", b"0n"),
            (b"grpc-timeout", b"99999999H"),
            (b"grpc-timeout", b"-1S"),
            (b"grpc-encoding", b"gzip"),
            (b"grpc-encoding", b"?"),
            (b"authorization", b"Bearer x"),
            (b"x-bin", b"%%%"),
            (b"Upper", b"x"),
            (b":path", b"/"),
            (b"x", b"\0\r\n\xff"),
            (b"", b""),
            (b"content-length", b"-1"),
            (b"connection", b"close"),
            (b"y" * 9000, b"z"),
        )
    ),
)


def mutated(known: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the known streams with frames or, one time in three, any bytes changed."""
    if rng.random() < 0.33:
        return fuzzing.mutated(WORDS, known, rng, 40_000)
    data = rng.choice(known)
    begins = len(PREFACE) if data.startswith(PREFACE) else 0
    found, left = frames(data[begins:])
    for _ in range(rng.choice((1, 1, 2, 4))):
        found = _spoilt(found, known, rng)
    return (data[:begins] + b"".join(frame.sent() for frame in found) + left)[:40_000]


def _spoilt(found: list[Frame], known: Sequence[bytes], rng: random.Random) -> list[Frame]:
    if not found:
        return frames(rng.choice(WORDS[2:]))[0]
    at = rng.randrange(len(found))
    frame = found[at]
    match rng.randrange(9):
        case 0:
            return found[:at] + found[at + 1 :]
        case 1:
            return [*found[:at], frame, *found[at:]]
        case 2:
            frame = frame._replace(kind=rng.choice((*range(10), 200)))
        case 3:
            frame = frame._replace(flags=rng.choice((0, 1, 4, 5, 8, 32, 255)))
        case 4:
            frame = frame._replace(stream=rng.choice((0, 1, 2, 3, 2**31 - 1, 2**31)))
        case 5:
            frame = frame._replace(length=rng.choice((0, 1, len(frame.body) + 1, 16384, 16385, 2**24 - 1)))
        case 6:  # a head in several parts
            middle = rng.randrange(len(frame.body) + 1)
            rest = Frame(CONTINUATION, frame.flags & END_HEADERS, frame.stream, frame.body[middle:])
            first = frame._replace(flags=frame.flags & ~END_HEADERS, body=frame.body[:middle])
            return [*found[:at], first, rest, *found[at + 1 :]]
        case 7:
            return [*found[:at], *frames(rng.choice(WORDS))[0], *found[at:]]
        case _:
            frame = frame._replace(body=fuzzing.mutated(WORDS, [frame.body], rng, 40_000))
    return [*found[:at], frame, *found[at + 1 :]]
