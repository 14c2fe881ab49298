"""Requests that wait together are answered together, in order, and never fail each other."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from funade.serve.limits import Limits
from support.client import Client, Response, post
from support.server import Running


def _together(port: int, rows: list[Any], *, api: str = "arrival", **headers: str) -> list[Response]:
    """The responses to requests that all wait while the lane is busy for 0.3 s."""
    with Client(port) as busy:
        busy.send(post({"km": 0, "does": "sleep 0.3"}, api=api))
        time.sleep(0.1)
        clients = [Client(port) for _ in rows]
        for client, row in zip(clients, rows, strict=True):
            client.send(post(row, api=api, **headers))
        found = [client.response() for client in clients]
        for client in clients:
            client.sock.close()
        busy.response()
        return found


def test_requests_that_wait_are_answered_by_one_call(server: Running) -> None:
    responses = _together(server.port, [{"km": i} for i in range(20)])
    assert [r.json["eta"] for r in responses] == [2.0 * i for i in range(20)]
    assert {r.json["batch"] for r in responses} == {20}


@pytest.mark.parametrize("bad", ["raise", "nan", "short", "exit"])
def test_one_bad_request_fails_alone(server: Running, bad: str) -> None:
    rows: list[Any] = [{"km": i} for i in range(20)]
    rows[7]["does"] = bad
    rows[8] = [{"km": 8}, {"km": 8, "does": bad}, {"km": 8}]
    responses = _together(server.port, rows, api="plain")
    for i, response in enumerate(responses):
        assert response.status == (500 if i in (7, 8) else 200)
    error = "api `plain` failed to answer; see the server's log"
    assert responses[7].json == {"error": error}
    assert responses[8].json == {"error": error, "path": "$[1]"}
    assert [responses[i].json["eta"] for i in (0, 6, 9, 19)] == [0.0, 12.0, 18.0, 38.0]


def test_a_failing_function_is_answered_for_by_the_fallback(server: Running) -> None:
    rows: list[Any] = [{"km": 1, "does": "raise"}, [{"km": 1}, {"km": 2, "does": "raise"}, {"km": 3}], {"km": 4}]
    one, many, good = _together(server.port, rows)
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
    assert "serve_fake.py" in event["traceback"]


def test_past_the_bound_the_fallback_or_503_answers_at_once(run: Callable[..., Running]) -> None:
    server = run(workers=1, limits=Limits(waiting_rows=10))
    rows: list[Any] = [{"km": i} for i in range(15)]
    shed = _together(server.port, rows)
    assert [r.headers.get("funade-fallback") for r in shed] == [None] * 10 + ["busy"] * 5
    refused = _together(server.port, [*rows, [{"km": 1}] * 100], api="plain")
    assert [r.status for r in refused] == [200] * 10 + [503] * 6
    assert refused[-1].headers["retry-after"] == "1"
    assert refused[-1].json["error"] == "api `plain` has too many requests waiting; try again"
    with Client(server.port) as client:
        assert len(client.ask([{"km": 1}] * 100).json) == 100  # alone it is taken whatever its size


def test_late_work_is_not_started(server: Running) -> None:
    by_fallback = _together(server.port, [{"km": 1}], funade_timeout_ms="50")[0]
    assert (by_fallback.status, by_fallback.headers["funade-fallback"]) == (200, "late")
    refused = _together(server.port, [[{"km": 1}]], api="plain", funade_timeout_ms="50")[0]
    assert refused.status == 504
    in_time = _together(server.port, [{"km": 1}], funade_timeout_ms="5000")[0]
    assert in_time.json == {"eta": 2.0, "model": 1, "threshold": 1, "batch": 1}


@pytest.mark.parametrize("heads", [1, 500])
def test_a_client_that_asks_on_without_waiting_is_answered_and_leaves_room_for_others(
    run: Callable[..., Running], heads: int
) -> None:
    server = run(workers=1, limits=Limits(waiting_rows=200))
    with Client(server.port) as busy, Client(server.port) as greedy, Client(server.port) as other:
        other.ask({"km": 3})
        busy.send(post({"km": 0, "does": "sleep 0.5"}))
        time.sleep(0.1)
        greedy.send(b"".join(post({"km": i}, x_number=str(i % heads)) for i in range(500)))
        time.sleep(0.1)
        assert "funade-fallback" not in other.ask({"km": 3}).headers
        assert [greedy.response().json["eta"] for _ in range(500)] == [2.0 * i for i in range(500)]
        assert greedy.ask({"km": 5}).json["eta"] == 10.0


def test_a_client_that_reads_late_what_it_asked_without_waiting_gets_all_in_order(server: Running) -> None:
    with Client(server.port) as client:
        asked = b"".join(post([{"km": i}] * 40) for i in range(3000))
        sending = threading.Thread(target=client.send, args=(asked,))
        sending.start()
        time.sleep(0.5)
        for i in range(3000):
            answers = client.response().json
            assert [len(answers), answers[0]["eta"], answers[-1]["eta"]] == [40, 2.0 * i, 2.0 * i]
        sending.join()


def test_a_row_in_work_past_its_time_gets_the_fallback(server: Running) -> None:
    with Client(server.port) as client:
        response = client.ask({"km": 1, "does": "sleep 0.5"}, funade_timeout_ms="50")
        assert response.headers["funade-fallback"] == "late"
        assert client.ask({"km": 1}).json["eta"] == 2.0


def test_the_server_reads_and_refuses_while_a_function_runs(server: Running) -> None:
    with Client(server.port) as busy, Client(server.port) as client:
        busy.send(post({"km": 1, "does": "sleep 1"}))
        time.sleep(0.1)
        client.sock.settimeout(0.5)
        assert client.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").response().status == 200
        assert client.ask({"km": "far"}).status == 422
        assert busy.response().status == 200


def test_a_client_that_left_is_not_worked_for(server: Running) -> None:
    with Client(server.port) as busy:
        busy.send(post({"km": 0, "does": "sleep 0.3"}))
        time.sleep(0.1)
        with Client(server.port) as gone:
            gone.send(post({"km": 1, "does": "sleep 5"}))
            time.sleep(0.1)
        assert busy.response().status == 200
        busy.sock.settimeout(2)
        assert busy.ask({"km": 1}).json["batch"] == 1


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
