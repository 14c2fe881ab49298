"""The relay of gRPC's connections, fed in this process: all is passed on, and GOAWAY stands between two frames."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Hashable
from typing import Any, NamedTuple

from funade.serve.grpc.relay import GOAWAY, ClientEnd, LibraryEnd, Relay
from fuzz import fuzzing, http2


class Wire(asyncio.Transport):
    """What was written, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.wrote = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.wrote += data

    def close(self) -> None:
        self.closed = True


class Plan(NamedTuple):
    """What the library says, in pieces; before which of them the client is there, and is to be sent elsewhere."""

    pieces: list[bytes]
    opens: int
    leaves: list[int]


class Quiet(Relay):
    """Accepts nobody."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        with socket.socket() as unused:
            super().__init__(loop, unused, "", most=1)


def relayed(loop: asyncio.AbstractEventLoop, data: bytes, rng: random.Random) -> Hashable:
    """How the relay passes on what a library says, whole and in pieces."""
    pieces = fuzzing.cut(data, rng)
    leaves = sorted(rng.randrange(len(pieces) + 1) for _ in range(rng.choice((0, 1, 1, 2, 3))))
    plan = Plan(pieces, rng.choice((0, 0, 0, rng.randrange(len(pieces) + 1))), leaves)
    places = told(plan)
    wrote = passed(loop, plan)
    expected = bytearray(data)
    for place in reversed(places):
        expected[place:place] = GOAWAY
    assert wrote == expected, (plan, places, wrote)
    bytewise = Plan([data[i : i + 1] for i in range(len(data))], 0, [])
    if len(data) < 200:
        assert passed(loop, bytewise) == data
    found, left = http2.frames(data)
    heads = any(frame.kind == http2.CONTINUATION for frame in found)
    return min(len(found), 6), heads, len(left) > 0


def told(plan: Plan) -> list[int]:
    """Where GOAWAY must stand, from the whole of the stream: where the next frame ends, or at once between two."""
    ends = http2.ends(b"".join(plan.pieces))
    places, at, owed = list[int](), 0, False
    for step in range(len(plan.pieces) + 1):
        heard = plan.pieces[:step] if step == plan.opens else []
        for event in (
            *heard,
            *[None] * plan.leaves.count(step),
            *(plan.pieces[step : step + 1] if step >= plan.opens else []),
        ):
            if event is None and step >= plan.opens and at in ends:
                places.append(at)
            elif event is None:
                owed = True
            else:
                found = [end for end in ends if at < end <= at + len(event)] if owed else []
                places += found[:1]
                owed = owed and not found
                at += len(event)
    return sorted(places)


def passed(loop: asyncio.AbstractEventLoop, plan: Plan) -> bytes:
    """What the client gets; what the client says is passed on as well."""
    relay, far = Quiet(loop), LibraryEnd()
    near = ClientEnd(relay, far)
    behind, before = Wire(), Wire()
    far.connection_made(behind)
    asked = bytearray()
    for step in range(len(plan.pieces) + 1):
        if step == plan.opens:
            near.connection_made(before)
        for _ in range(plan.leaves.count(step)):
            near.leave()
        if step < len(plan.pieces):
            far.data_received(plan.pieces[step])
        if step >= plan.opens:
            asked += b"%d" % step
            near.data_received(b"%d" % step)
    assert behind.wrote == asked
    near.connection_lost(None)
    assert behind.closed
    return bytes(before.wrote)
