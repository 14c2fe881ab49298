"""Requests that wait together are answered together, in order, and never fail each other."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from funade.serve.limits import Limits
from support.client import Client, Response, post, roundtrip
from support.server import Running
from support.wait import unread, until


def _together(server: Running, rows: list[Any], *, api: str = "arrival", **headers: str) -> list[Response]:
    """The responses to requests that all wait while a call is held."""
    hold = server.hold()
    with Client(server.port) as busy, contextlib.ExitStack() as stack:
        busy.ask({"km": 0, "does": "sleep 0.03"}, api=api)  # after a slow call the loop does not wait for the next
        busy.send(post({"km": 0, "does": hold.act}, api=api))
        hold.begun()
        clients = [stack.enter_context(Client(server.port)) for _ in rows]
        for client, row in zip(clients, rows, strict=True):
            client.send(post(row, api=api, **headers))
        roundtrip(server.port)
        hold.open()
        busy.response()
        return [client.response() for client in clients]


def test_requests_that_wait_are_answered_by_one_call(server: Running) -> None:
    responses = _together(server, [{"km": i} for i in range(20)])
    assert [r.json["eta"] for r in responses] == [2.0 * i for i in range(20)]
    assert {r.json["batch"] for r in responses} == {20}


@pytest.mark.parametrize("bad", ["raise", "nan", "short", "exit"])
def test_one_bad_request_fails_alone(server: Running, bad: str) -> None:
    rows: list[Any] = [{"km": i} for i in range(20)]
    rows[7]["does"] = bad
    rows[8] = [{"km": 8}, {"km": 8, "does": bad}, {"km": 8}]
    responses = _together(server, rows, api="plain")
    for i, response in enumerate(responses):
        assert response.status == (500 if i in (7, 8) else 200)
    error = "api `plain` failed to answer; see the server's log"
    assert responses[7].json == {"error": error}
    assert responses[8].json == {"error": error, "path": "$[1]"}
    assert [responses[i].json["eta"] for i in (0, 6, 9, 19)] == [0.0, 12.0, 18.0, 38.0]


def test_a_failing_function_is_answered_for_by_the_fallback(server: Running) -> None:
    rows: list[Any] = [{"km": 1, "does": "raise"}, [{"km": 1}, {"km": 2, "does": "raise"}, {"km": 3}], {"km": 4}]
    one, many, good = _together(server, rows)
    assert (one.status, one.json["eta"], one.headers["funade-fallback"]) == (200, 15.0, "error")
    assert [a["eta"] for a in many.json] == [2.0, 15.0, 6.0]
    assert many.headers["funade-fallback"] == "error; rows=1"
    assert "funade-fallback" not in good.headers


def test_a_failing_functions_traceback_is_in_the_log_and_not_in_the_answer(run: Callable[..., Running]) -> None:
    server = run(workers=1)
    with Client(server.port) as client:
        responses = [client.ask({"km": 1, "does": "raise"}, api="plain") for _ in range(5)]
    assert all(b"private" not in r.body and b"Error" not in r.body for r in responses)
    (event,) = server.events("api failed")
    assert event["api"] == "plain"
    assert event["error"] == "ValueError: a private detail"
    assert "rides.py" in event["traceback"]


def test_past_the_bound_the_fallback_or_503_answers_at_once(run: Callable[..., Running]) -> None:
    server = run(workers=1, limits=Limits(waiting_rows=10))
    rows: list[Any] = [{"km": i} for i in range(15)]
    shed = _together(server, rows)
    assert [r.headers.get("funade-fallback") for r in shed] == [None] * 10 + ["busy"] * 5
    refused = _together(server, [*rows, [{"km": 1}] * 100], api="plain")
    assert [r.status for r in refused] == [200] * 10 + [503] * 6
    assert refused[-1].headers["retry-after"] == "1"
    assert refused[-1].json["error"] == "api `plain` has too many requests waiting; try again"
    with Client(server.port) as client:
        assert len(client.ask([{"km": 1}] * 100).json) == 100  # alone it is taken whatever its size


def test_late_work_is_not_started(server: Running) -> None:
    hold = server.hold()
    with Client(server.port) as busy, Client(server.port) as client:
        busy.send(post({"km": 0, "does": hold.act}))
        hold.begun()
        by_fallback = client.ask({"km": 1}, funade_timeout_ms="50")
        assert (by_fallback.status, by_fallback.headers["funade-fallback"]) == (200, "late")
        assert client.ask([{"km": 1}], api="plain", funade_timeout_ms="50").status == 504
        hold.open()
        busy.response()
    in_time = _together(server, [{"km": 1}], funade_timeout_ms="60000")[0]
    assert in_time.json == {"eta": 2.0, "model": 1, "threshold": 1, "batch": 1}


@pytest.mark.parametrize("heads", [1, 500])
def test_a_client_that_asks_on_without_waiting_is_answered_and_leaves_room_for_others(
    run: Callable[..., Running], heads: int
) -> None:
    server = run(workers=1, limits=Limits(waiting_rows=200))
    with Client(server.port) as busy, Client(server.port) as greedy, Client(server.port) as other:
        other.ask({"km": 3})
        hold = server.hold()
        busy.send(post({"km": 0, "does": hold.act}))
        hold.begun()
        greedy.send(b"".join(post({"km": i}, x_number=str(i % heads)) for i in range(500)))
        roundtrip(server.port)
        other.send(post({"km": 3}))
        roundtrip(server.port)
        hold.open()
        assert "funade-fallback" not in other.response().headers
        assert [greedy.response().json["eta"] for _ in range(500)] == [2.0 * i for i in range(500)]
        assert greedy.ask({"km": 5}).json["eta"] == 10.0


def test_a_client_that_reads_late_what_it_asked_without_waiting_gets_all_in_order(server: Running) -> None:
    with Client(server.port) as client:
        asked = b"".join(post([{"km": i}] * 40) for i in range(3000))
        sending = threading.Thread(target=client.send, args=(asked,))
        sending.start()
        until(lambda: unread(client.sock) > 50_000)
        for i in range(3000):
            answers = client.response().json
            assert [len(answers), answers[0]["eta"], answers[-1]["eta"]] == [40, 2.0 * i, 2.0 * i]
        sending.join()


def test_a_row_in_work_past_its_time_gets_the_fallback(server: Running) -> None:
    with Client(server.port) as client:
        hold = server.hold()
        response = client.ask({"km": 1, "does": hold.act}, funade_timeout_ms="50")
        assert response.headers["funade-fallback"] == "late"
        hold.open()
        assert client.ask({"km": 1}).json["eta"] == 2.0


def test_the_server_reads_and_refuses_while_a_function_runs(server: Running) -> None:
    with Client(server.port) as busy, Client(server.port) as client:
        hold = server.hold()
        busy.send(post({"km": 1, "does": hold.act}))
        hold.begun()
        assert client.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").response().status == 200
        assert client.ask({"km": "far"}).status == 422
        hold.open()
        assert busy.response().status == 200


def test_a_client_that_left_is_not_worked_for(server: Running) -> None:
    with Client(server.port) as busy:
        hold, never = server.hold(), server.hold()
        busy.send(post({"km": 0, "does": hold.act}))
        hold.begun()
        with Client(server.port) as gone:
            gone.send(post({"km": 1, "does": never.act}))
            roundtrip(server.port)
        roundtrip(server.port)
        hold.open()
        assert busy.response().status == 200
        assert busy.ask({"km": 1}).json["batch"] == 1  # or it would wait for `never`


def test_apis_take_turns(server: Running) -> None:
    found: dict[str, list[Response]] = {}

    def ask(api: str) -> None:
        with Client(server.port) as client:
            found[api] = [client.ask([{"km": 1}] * 10, api=api) for _ in range(50)]

    threads = [threading.Thread(target=ask, args=(api,)) for api in ("arrival", "plain")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for responses in found.values():
        assert all([a["eta"] for a in json.loads(r.body)] == [2.0] * 10 for r in responses)
