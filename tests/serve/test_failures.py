"""What goes wrong means the same by every door: who answers, what is counted, what is logged, and nothing is stranded.

What each situation means stands in ``support.situations.SITUATIONS``; where a door rightly differs, in ``differs``.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from funade.project.project import Project
from support.doors import DOORS, SINGLE, Asked, Doors, Reply
from support.doors_project import served
from support.metrics import summed
from support.situations import GOOD, SITUATIONS, idle
from support.wait import until


class Difference(NamedTuple):
    """Why a door rightly differs: in its reply, or in what is counted; with neither, the situation cannot be there."""

    why: str
    reply: Reply | None = None
    counts: dict[str, float] | None = None

    @property
    def absent(self) -> bool:
        return self.reply is None and self.counts is None


GRPC_DOORS = ("grpc one", "grpc many", "oip grpc", "queue grpc")
QUEUE_DOORS = ("queue http", "queue grpc")
ENDING_DOORS = ("http one", "grpc one", "oip grpc", *QUEUE_DOORS[:1])


def _requests(api: str, door: str, status: int) -> str:
    return f'funade_requests_total{{api="{api}",door="{door}",status="{status}"}}'


def differs(name: str, door: str) -> Difference | None:
    """How a door differs in a situation; None where it does not."""
    situation = SITUATIONS[name]
    if situation.copies > 1 and door in SINGLE:
        return Difference("it carries one object")
    if situation.amid is not idle and door in QUEUE_DOORS:
        return Difference("a queued request waits until there is room and time; see the test of it below")
    if situation.padding and door in GRPC_DOORS:
        return Difference("the library refuses it before any of our code hears of it", Reply(413), {})
    if situation.padding:
        return Difference("a head is refused before its path is looked at", None, {_requests("", "http", 413): 1})
    if situation.meaning.status == 0 and door not in ENDING_DOORS:
        return Difference("it carries its bytes as one of those that are tried does, and each try costs a process")
    if situation.meaning.status == 0 and door in QUEUE_DOORS:
        return Difference("it is tried once more, alone, and then is a dead letter", Reply(500))
    if situation.meaning.fallback == "error" and door in QUEUE_DOORS:
        return Difference("whoever can wait is not given the fallback for the function's answer", Reply(500))
    return None


HELD = ("funade_waiting_rows", "funade_queue_waiting", "funade_log_lost_rows_total")
PAIRS = [
    (name, door)
    for name in SITUATIONS
    for door in DOORS
    if (difference := differs(name, door)) is None or not difference.absent
]


# -- what is expected of a pair


def expected_reply(name: str, door: str) -> Reply:
    difference, meaning = differs(name, door), SITUATIONS[name].meaning
    if difference is not None and difference.reply is not None:
        return difference.reply
    return Reply(meaning.status, meaning.fallback, meaning.guard if meaning.status == 200 else "")


def expected_counts(name: str, door: str) -> dict[str, float]:
    """How the counters move: metric with its labels → by how much."""
    difference, (api, _, meaning, *_) = differs(name, door), SITUATIONS[name]
    if difference is not None and difference.counts is not None:
        return difference.counts
    if not meaning.counted:
        return {}
    rows = 1 if door in SINGLE else 2
    counts: dict[str, float] = {_requests(api, door.split()[0], meaning.status): 1}
    if meaning.status == 200:
        counts[f'funade_rows_total{{api="{api}"}}'] = rows
    if meaning.fallback:
        label = f'funade_fallback_rows_total{{api="{api}",reason="{meaning.fallback}"}}'
        counts[label] = rows if meaning.whole else 1
    if meaning.guard:
        counts[f'funade_guard_rows_total{{api="{api}",guard="{meaning.guard}"}}'] = 1
    return counts


Logged = tuple[str, str | None, list[str] | None, bool]
"""Of a row: door, fallback, guard and whether it was refused."""


def expected_log(name: str, door: str) -> list[Logged]:
    """The bad row and, where a door carries more, the good one beside it."""
    meaning, kind = SITUATIONS[name].meaning, door.split()[0]
    if not meaning.logged:
        return []
    refused = meaning.status != 200
    bad: Logged = (kind, meaning.fallback or None, [meaning.guard] if meaning.guard else None, refused)
    good: Logged = (kind, meaning.fallback if meaning.whole else None, None, refused)
    return [bad] if door in SINGLE else [bad, good]


# -- the pairs as they are


class Outcome(NamedTuple):
    """What became of a pair: the reply, how the counters moved, and the reply to a good request after it."""

    reply: Reply | Exception
    counts: dict[str, float]
    after: Reply | Exception


Outcomes = dict[tuple[str, str], Outcome]


class Matrix(NamedTuple):
    """All pairs, asked of one server: what became of them, what was logged, what was left, and its own defects."""

    outcomes: Outcomes
    log: dict[int, Logged]
    left: dict[str, float]
    defects: list[Any]


FAMILIES = ("funade_requests_total", "funade_rows_total", "funade_fallback_rows_total", "funade_guard_rows_total")


def ride(name: str, door: str) -> int:
    """The number of the bad row; the good one's is one more."""
    return 10 + 2 * (list(SITUATIONS).index(name) * len(DOORS) + list(DOORS).index(door))


def asked(name: str, door: str) -> Asked:
    """The request of a pair."""
    api, change, _, _, within_ms, padding, copies = SITUATIONS[name]
    good, number = GOOD[api], ride(name, door)
    if copies > 1:
        return Asked(api, [{"ride": 0, "km": 5.0}] * copies)
    numbered = {"ride": number} if "ride" in good else {}
    bad = good | numbered | change
    beside = [] if door in SINGLE else [good | ({"ride": number + 1} if numbered else {})]
    return Asked(api, [bad, *beside], within_ms, padding)


def tried(doors: Doors, door: str, asked: Asked) -> Reply | Exception:
    try:
        return DOORS[door](doors, asked)
    except Exception as error:  # one pair's trouble is told by its own test
        return error


def moved(doors: Doors, before: dict[str, float], expected: dict[str, float]) -> dict[str, float]:
    """How the counters moved, once they moved as expected or a while has passed."""

    def now() -> dict[str, float]:
        after = doors.metrics()
        rises = {key: after[key] - before.get(key, 0) for key in after if key.startswith(FAMILIES)}
        return {key: rise for key, rise in rises.items() if rise}

    with suppress(AssertionError):
        until(lambda: now() == expected, 30.0)
    return now()


def situated(doors: Doors, name: str, among: Sequence[str]) -> Outcomes:
    """One situation at all doors, and a good request at each once it is over."""
    replies: dict[str, tuple[Reply | Exception, dict[str, float]]] = {}
    situation = SITUATIONS[name]
    with situation.amid(doors):
        for door in among:
            before = doors.metrics()
            reply = tried(doors, door, asked(name, door))
            replies[door] = reply, moved(doors, before, expected_counts(name, door))
    good = Asked(situation.api, [GOOD[situation.api]])
    return {(name, door): Outcome(*replies[door], tried(doors, door, good)) for door in among}


@pytest.fixture(scope="module")
def matrix(failing: Path) -> Matrix:
    outcomes: Outcomes = {}
    with served(failing) as server, closing(Doors(server)) as doors:
        for name in SITUATIONS:
            outcomes |= situated(doors, name, [door for pair, door in PAIRS if pair == name])
        with suppress(AssertionError):
            until(lambda: not any(held(doors).values()), 60.0)
        left = held(doors)
    query = "SELECT request.ride AS ride, door, fallback, guard, refused FROM predictions WHERE request.ride >= 10"
    rows = Project(failing).sql(query, form="arrow").to_pylist()
    return Matrix(outcomes, {row.pop("ride"): tuple(row.values()) for row in rows}, left, server.events("defect"))


def held(doors: Doors) -> dict[str, float]:
    """Rows that wait for an api, requests that wait in the queue, and rows that the log has lost."""
    metrics = doors.metrics()
    return {name: summed(metrics, name) for name in HELD}


# -- the tests


@pytest.mark.parametrize(("name", "door"), PAIRS)
def test_a_situation_means_the_same_by_every_door(matrix: Matrix, name: str, door: str) -> None:
    outcome = matrix.outcomes[name, door]
    assert outcome.reply == expected_reply(name, door)
    assert outcome.counts == expected_counts(name, door)
    numbers = (ride(name, door), ride(name, door) + 1)
    assert [matrix.log[number] for number in numbers if number in matrix.log] == expected_log(name, door)
    assert outcome.after == Reply(200)


def test_nothing_is_left_of_what_went_wrong(matrix: Matrix) -> None:
    assert matrix.left == dict.fromkeys(HELD, 0)
    assert matrix.defects == []
