"""A client is sent elsewhere between two frames, wherever the bytes are cut; or at once, where there are no files."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

import hypothesis.strategies as st
from hypothesis import given

from funade.serve.grpc.relay import GOAWAY, LibraryEnd, Relay


class Kept(asyncio.Transport):
    """What was written, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)


class End:
    transport: Kept | None = None


def frame(length: int, kind: int = 0, flags: int = 0) -> bytes:
    return length.to_bytes(3, "big") + bytes([kind, flags, 0, 0, 0, 1]) + bytes(random.Random(length).randbytes(length))


frames = st.lists(st.tuples(st.sampled_from([0, 1, 5, 9, 300]), st.sampled_from([0, 1, 4, 9]), st.sampled_from([0, 4])))


@given(frames, st.lists(st.integers(1, 40), min_size=1), st.integers(0, 60), st.integers(0, 3))
def test_goaway_stands_between_two_frames(
    kinds: list[tuple[int, int, int]], cuts: list[int], leave_at: int, open_at: int
) -> None:
    parts = [frame(0, 4)] + [frame(*kind) for kind in kinds]
    stream, far, end, at = b"".join(parts), LibraryEnd(), End(), 0
    far.other = cast(Any, end)
    for step in range(len(stream) + 1):
        if step == open_at:
            end.transport = Kept()
            if step > leave_at:
                far.leave()
            far.catch_up()
        elif step == leave_at and end.transport is not None:
            far.leave()
        piece = stream[at : at + cuts[step % len(cuts)]]
        at += len(piece)
        if piece:
            far.data_received(piece)
    written = end.transport.written if end.transport is not None else b""
    before, said, after = written.partition(GOAWAY)
    assert before + after == (stream if end.transport else b"")
    ends = {len(b"".join(parts[: n + 1])) for n in range(len(parts)) if not _begun(parts[: n + 1])}
    assert not said or len(before) in ends


def _begun(parts: list[bytes]) -> bool:
    """Whether a head is being sent: HEADERS (1) or CONTINUATION (9) without END_HEADERS (4)."""
    return parts[-1][3] in (1, 9) and not parts[-1][4] & 4


@contextmanager
def no_more_files() -> Iterator[None]:
    """The block in which this process can open nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_client_for_whom_there_are_no_files_left_is_closed_without_a_defect() -> None:
    defects: list[Any] = []

    async def joined(accepted: socket.socket, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, facts: defects.append(facts))
        relay = Relay(loop, listener, "unused", most=1)
        with no_more_files():
            relay._accepted(accepted)
            await asyncio.wait(relay._making)
        gc.collect()  # a task that failed tells of it when it is collected

    client, accepted = socket.socketpair()
    with closing(client), socket.socket() as listener:
        asyncio.run(joined(accepted, listener))
        assert accepted.fileno() < 0
        assert client.recv(1) == b""
    assert defects == []
