"""T3: four times the load for a minute. What is accepted keeps its time, all else gets the fallback at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from support.client import post
from support.server import Running

CALM = 300.0
"""Requests a second: a function of 4 ms a call and 2 ms a row can answer somewhat less than 500."""

PROMISE_S = 0.1
"""What the api promises 99 of a hundred."""

_BODY = post({"km": 2.0, "does": "work"}, api="promised")


class Reply(NamedTuple):
    after_s: float
    status: int
    shed: bool
    right: bool


class Line:
    """One kept-alive connection with at most one request in flight."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, due: float) -> Reply:
        self.writer.write(_BODY)
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        body = json.loads(await self.reader.readexactly(size))
        shed = b"funade-fallback: busy" in head
        return Reply(time.monotonic() - due, int(head[9:12]), shed, body.get("eta") == (15.0 if shed else 4.0))


async def _load(port: int, rate: float, seconds: float, lines: int) -> list[Reply]:
    """Requests that fall due evenly, each timed from when it was due; from later, where the client itself was late."""
    every = [Line(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(lines)]
    free: asyncio.Queue[Line] = asyncio.Queue()
    for line in every:
        free.put_nowait(line)
    found: list[Reply] = []
    asking: set[asyncio.Task[None]] = set()

    async def one(line: Line, due: float) -> None:
        found.append(await line.ask(due))
        free.put_nowait(line)

    began = time.monotonic()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        if not free.empty():
            due = time.monotonic()
        making = asyncio.create_task(one(await free.get(), due))
        asking.add(making)
        making.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    for line in every:
        line.writer.close()
        await line.writer.wait_closed()
    return found


def _calm(port: int) -> tuple[float, list[Reply]]:
    """A rate that the server keeps up with beside whatever else runs here: 300 a second, 150, …; and the replies."""
    rate = CALM
    while _share_shed(calm := asyncio.run(_load(port, rate, 8, 64))) > 0.01:
        rate /= 2
        assert rate > 10
    return rate, calm


def _share_shed(replies: list[Reply]) -> float:
    return sum(reply.shed for reply in replies) / len(replies)


def _within(replies: list[Reply], share: float) -> float:
    """The seconds within which such a share was answered."""
    times = sorted(reply.after_s for reply in replies)
    return times[int(len(times) * share)]


def _held_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


@pytest.mark.slow
def test_drill_t3_four_times_the_load_leaves_what_is_accepted_its_time(run: Callable[..., Running]) -> None:
    server = run(workers=1)
    (worker,) = server.serving(1).workers
    rate, calm = _calm(server.port)
    held = _held_mb(worker)
    storm = asyncio.run(_load(server.port, 4 * CALM, 60, 256))
    grown = _held_mb(worker) - held
    after = asyncio.run(_load(server.port, rate, 4, 64))
    assert all(reply.status == 200 and reply.right for reply in (*calm, *storm, *after))
    accepted = [reply for reply in storm[400:] if not reply.shed]
    shed = [reply for reply in storm if reply.shed]
    assert len(shed) > len(storm) / 10  # more than half, where this client is never late itself
    for name, replies in {f"{rate:.0f} a second": calm, "accepted": accepted, "shed": shed}.items():
        half_s, most_s = _within(replies, 0.5), _within(replies, 0.99)
        print(f"{name}: {len(replies)}, median {half_s * 1e3:.1f} ms, p99 {most_s * 1e3:.1f} ms")
    print(f"{grown:.1f} MB more")
    for replies in (accepted, shed):
        assert _within(replies, 0.5) <= 3 * max(_within(calm, 0.5), PROMISE_S)
        assert _within(replies, 0.99) <= 10 * max(_within(calm, 0.99), PROMISE_S)
    assert _share_shed(after[100:]) < 0.1
    assert grown < 50
    assert server.state.workers == (worker,)
