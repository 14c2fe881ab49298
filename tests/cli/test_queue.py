"""The commands about asynchronous requests."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from funade.cli import main
from funade.store.queue_records import Delivery, Failure, Receipt, Result, Submission
from support import toy

Said = Callable[..., str]


@pytest.fixture
def said(root: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """What one command prints; it ends with ``code``."""

    def run(*arguments: str, code: int = 0) -> str:
        ended: int | str | None = 0
        try:
            main(["-C", str(root), "--at", "2022-01-31T12:00", "queue", *arguments])
        except SystemExit as exit_:
            ended = exit_.code
        out, err = capsys.readouterr()
        assert ended == code, err
        return out or err

    return run


@pytest.fixture
def ids(root: Path) -> list[str]:
    """One request that is done, one dead, one whose callback is given up, one that waits."""
    queue = toy.project(root).queue
    hooked = Submission("judge", b'{"x": 3.0}', callback="https://a/")
    asked = [Submission("judge", b'{"x": 1.0}'), Submission("judge", b'{"x": 2.0}'), hooked]
    found = [receipt.id for receipt in queue.submit(asked) if isinstance(receipt, Receipt)]
    done, dead, told = queue.claim(50)
    queue.settle(
        [
            Result(done.id, b'{"score":6.0,"high":false}', "abc-1", 4),
            Failure(dead.id, 1, "release 4 has no api `judge`", again=False),
            Result(told.id, b'{"score":18.0,"high":true}', "abc-2", 4),
        ]
    )
    for _ in range(queue.rules.call_tries):
        with sqlite3.connect(root / ".funade" / "queue.db") as other:
            other.execute("UPDATE calls SET due = 0")
        other.close()
        (call,) = queue.callbacks.claim(1)
        queue.callbacks.settle([Delivery(call.request.id, call.attempt, "status 500")])
    found += [receipt.id for receipt in queue.submit([Submission("judge", b"{}")]) if isinstance(receipt, Receipt)]
    queue.close()
    return found


def test_a_queue_that_was_never_used_is_empty_and_makes_no_file(said: Said, root: Path) -> None:
    assert said() == "0 waiting; 0 being answered; 0 done; 0 dead\n"
    assert said("requeue", "--all") == "0 dead letters back in the queue\n"
    assert not (root / ".funade" / "queue.db").exists()


def test_the_queue_is_listed_with_its_dead_letters(said: Said, ids: list[str]) -> None:
    assert said() == (
        "1 waiting, the oldest for 0.00 s; 0 being answered; 2 done; 1 dead\n"
        "callbacks: 0 to deliver, 1 given up\n"
        "\n"
        f"dead letter                       api    attempts  age     why\n"
        f"{ids[2]}  judge  1         0.00 s  callback: status 500\n"
        f"{ids[1]}  judge  1         0.00 s  release 4 has no api `judge`\n"
    )
    found = json.loads(said("--json"))
    letters = found.pop("dead_letters")
    assert found == {
        "waiting": 1, "claimed": 0, "done": 2, "dead": 1, "calls": 0, "dead_calls": 1, "bytes": 84, "oldest_age_s": 0.0,
    }  # fmt: skip
    assert [letter["id"] for letter in letters] == [ids[2], ids[1]]
    assert letters[1] == {
        "id": ids[1],
        "api": "judge",
        "state": "dead",
        "attempts": 1,
        "submitted_at": "2022-01-31T12:00:00.000+00:00",
        "ended_at": "2022-01-31T12:00:00.000+00:00",
        "error": "release 4 has no api `judge`",
    }


def test_one_request_is_shown_with_what_it_asked_and_got(said: Said, ids: list[str]) -> None:
    assert said("show", ids[0]) == (
        f"request {ids[0]} to judge: done, 1 attempt\n"
        '  asked {"x": 1.0}\n'
        '  answer {"score":6.0,"high":false}\n'
        "  prediction abc-1\n"
        "  release 4\n"
    )
    assert "  callback https://a/ dead status 500\n" in said("show", ids[2])
    assert json.loads(said("show", ids[0], "--json"))["answer"] == {"score": 6.0, "high": False}
    assert said("show", "abc", code=2) == "Misuse: queue expected a request, got `abc`; see them: funade queue\n"


def test_dead_letters_are_given_back_one_by_one_or_all(said: Said, ids: list[str]) -> None:
    assert said("requeue", ids[1]) == "1 dead letter back in the queue\n"
    assert said("requeue", "--all") == "1 dead letter back in the queue\n"
    assert said().splitlines()[:2] == [
        "2 waiting, the oldest for 0.00 s; 0 being answered; 2 done; 0 dead",
        "callbacks: 1 to deliver, 0 given up",
    ]
    assert said("requeue", ids[0], code=2) == (
        f"Misuse: queue expected a dead letter, got `{ids[0]}`; see them: funade queue\n"
    )
    for wrong, got in (([], "neither"), ([ids[1], "--all"], "both")):
        assert said("requeue", *wrong, code=2) == f"Misuse: funade queue requeue: ids or --all expected, got {got}\n"


def test_requests_are_dropped(said: Said, ids: list[str]) -> None:
    assert said("drop", ids[1], ids[3]) == "2 requests forgotten\n"
    assert said().startswith("0 waiting; 0 being answered; 2 done; 0 dead\n")


def test_a_length_of_time_that_is_none_is_refused(said: Said, root: Path) -> None:
    file = root / "funade.toml"
    file.write_text(file.read_text() + '\n[queue]\nkeep = "1d"\n')
    assert said(code=1) == (f"ProjectError: [queue] expected `keep` like '1 day' or '12 hours', got '1d' - at {file}\n")
