"""What only the queue can meet: it is full, its requests wait for room, and what it has claimed cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.doors import Asked, Doors, Reply
from support.doors_project import served
from support.metrics import summed
from support.situations import GOOD, busy
from support.wait import until


@pytest.fixture(scope="module")
def doors(failing: Path) -> Iterator[Doors]:
    with served(failing) as server, closing(Doors(server)) as opened:
        yield opened


def test_requests_wait_while_their_api_has_no_room_and_a_full_queue_refuses_more(doors: Doors) -> None:
    before = summed(doors.metrics(), "funade_requests_total", door="queue", status="503")
    asked = Asked("suggest", [GOOD["suggest"]])
    with busy(doors, "suggest"):
        submitted = [doors.submit(asked) for _ in range(3)]
        assert doors.submit(asked) == (503, "")
        assert doors.queue_grpc(asked) == Reply(503)
    assert [(status, doors.looked_at(id)) for status, id in submitted] == [(202, Reply(200))] * 3
    assert summed(doors.metrics(), "funade_requests_total", door="queue", status="503") == before + 2


def test_what_cannot_be_read_once_it_is_claimed_is_a_dead_letter_and_not_held(doors: Doors) -> None:
    with busy(doors):
        _, first = doors.submit(Asked("suggest", [GOOD["suggest"]]))
        until(lambda: doors.state(first) == "claimed")
        status, second = doors.submit(Asked("checked", [GOOD["checked"] | {"km": 14.0}]))
        assert status == 202
        doors.server.open_gate("trap")  # from now on the contract's check fails
    assert doors.looked_at(first) == Reply(200)
    until(lambda: doors.state(second) == "dead")
    assert summed(doors.metrics(), "funade_queue_waiting") == 0
