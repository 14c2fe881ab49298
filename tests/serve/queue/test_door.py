"""Requests that are answered later, over HTTP and gRPC."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from funade.clock import system
from funade.queue.queue import SqliteQueue
from funade.queue.status import RequestStatus
from funade.serve.queue import grpc as queue_rpc
from funade.store.queue_rules import QueueRules
from support.client import Client
from support.queue_client import Later, close, hooks, later, queued
from support.release import SHORT
from support.server import Running
from support.stock import free_port
from support.wait import until

Run = Callable[..., Running]


@pytest.fixture
def made(run: Run, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    yield lambda **given: queued(run, tmp_path, **given)
    close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """One server for the tests that leave it as it was."""
    folder = tmp_path_factory.mktemp("queue")
    running = queued(lambda **given: Running(folder / "server", **given), folder)
    yield running, folder
    assert running.end() == 0
    assert running.events("defect") == []


@pytest.fixture
def asking(shared: tuple[Running, Path]) -> Iterator[Later]:
    yield later(*shared)
    close()


# -- submit and look -------------------------------------------------------------------------------


def test_a_request_is_accepted_at_once_and_its_answer_is_that_of_the_api(asking: Later) -> None:
    accepted = asking.submit({"km": 2.5})
    assert accepted.status == 202
    assert accepted.json == {"id": accepted.json["id"], "state": "waiting", "url": f"/v1/queue/{accepted.json['id']}"}
    assert accepted.headers["location"] == accepted.json["url"]
    found = asking.ended(accepted.json["id"])
    assert (found["state"], found["api"], found["release"], found["attempts"]) == ("done", "arrival", 1, 1)
    assert found["answer"] == asking.client.ask({"km": 2.5}).json | {"batch": found["answer"]["batch"]}
    assert found["prediction"].count("-") == 1
    assert asking.look(found["id"]) == found


def test_an_array_is_one_request_and_answered_in_order(asking: Later) -> None:
    found = asking.ended(asking.id([{"km": float(i)} for i in range(700)]))
    assert [row["eta"] for row in found["answer"]] == [2.0 * i for i in range(700)]
    assert asking.ended(asking.id([]))["answer"] == []


def test_what_breaks_the_contract_is_refused_at_once(asking: Later) -> None:
    refused = asking.submit([{"km": 1.0}, {"km": "far"}])
    assert (refused.status, refused.json) == (
        422,
        {"error": "request expected `float`, got `str`", "path": "$[1].km"},
    ) or refused.json["path"] == "$[1].km"
    assert asking.submit(b"{").status == 422
    assert asking.submit({"km": 1.0}, content_type="text/plain").status == 415


def test_an_unknown_api_id_or_wait_is_refused(asking: Later) -> None:
    assert asking.submit({"km": 1.0}, api="arival").status == 404
    assert asking.ask("0" * 32).response().status == 404
    assert asking.ask("0" * 32, "soon").response().json == {
        "error": "query `wait` expected seconds up to 60s, as in ?wait=30s"
    }
    assert asking.ask("0" * 32, "61").response().status == 400


def test_who_has_no_token_that_may_submit_is_refused(asking: Later) -> None:
    id = asking.id({"km": 1.0})
    with Client(asking.client.sock.getpeername()[1]) as other:
        assert other.ask({"km": 1.0}, api="arrival/submit").status == 401
        assert other.send(f"GET /v1/queue/{id} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()).response().status == 401


def test_a_key_sent_again_gives_the_same_id(asking: Later) -> None:
    first = asking.id({"km": 1.0}, idempotency_key="order 7")
    assert asking.id({"km": 1.0}, idempotency_key="order 7") == first
    other = asking.submit({"km": 2.0}, idempotency_key="order 7")
    assert (other.status, other.json["error"]) == (
        409,
        "idempotency key was used before, with another request; use a new one",
    )
    assert asking.submit({"km": 1.0}, idempotency_key="k" * 256).status == 400


def test_a_look_waits_until_the_request_is_answered(asking: Later) -> None:
    hold = asking.hold()
    id = asking.id({"km": 1.0, "does": hold.act})
    assert asking.look(id)["state"] in ("waiting", "claimed")
    asking.ask(id, "60s")
    hold.open()
    assert asking.client.response().json["state"] == "done"


def test_a_look_that_waited_in_vain_says_how_it_stands(asking: Later) -> None:
    hold = asking.hold()
    id = asking.id({"km": 1.0, "does": hold.act})
    began = time.monotonic()
    assert asking.look(id, "0.1s")["state"] in ("waiting", "claimed")
    assert time.monotonic() - began >= 0.1
    hold.open()
    asking.ended(id)


def test_a_client_that_leaves_while_it_waits_troubles_nobody(asking: Later) -> None:
    hold = asking.hold()
    id = asking.id({"km": 1.0, "does": hold.act})
    asking.ask(id, "30s")
    asking.again()
    hold.open()
    assert asking.ended(id)["state"] == "done"


def test_many_that_submit_together_are_all_kept(asking: Later) -> None:
    asking.client.send(b"".join(asking.asking({"km": float(i)}) for i in range(50)))
    ids = [asking.client.response().json["id"] for _ in range(50)]
    assert [asking.ended(id)["answer"]["eta"] for id in ids] == [2.0 * i for i in range(50)]


def test_while_others_ask_they_go_first_and_the_queue_still_moves(asking: Later) -> None:
    over = threading.Event()
    statuses: list[int] = []

    def ask() -> None:
        with Client(asking.client.sock.getpeername()[1]) as client:
            while not over.is_set():
                statuses.append(client.ask({"km": 1.0, "does": "work"}).status)

    others = [threading.Thread(target=ask) for _ in range(12)]
    for other in others:
        other.start()
    try:
        ids = [asking.id({"km": float(i), "does": "work"}) for i in range(12)]
        assert [asking.ended(id)["answer"]["eta"] for id in ids] == [2.0 * i for i in range(12)]
    finally:
        over.set()
        for other in others:
            other.join()
    assert len(statuses) > 20 and set(statuses) == {200}


def test_every_route_of_the_queue_needs_the_right_to_submit(asking: Later) -> None:
    with Client(asking.client.sock.getpeername()[1]) as other:
        for line in ("POST /v1/arrival/submit", "POST /v1/plain/submit", "GET /v1/queue/abc", "HEAD /v1/queue/abc"):
            head = line.startswith("HEAD")
            sent = other.send(f"{line} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode())
            assert sent.response(head=head).status == 401


def test_the_openapi_document_has_the_queue_s_paths(asking: Later) -> None:
    document = asking.client.send(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").response().json
    paths = document["paths"]
    assert paths["/v1/arrival/submit"]["post"]["requestBody"] == paths["/v1/arrival"]["post"]["requestBody"]
    assert paths["/v1/queue/{id}"]["get"]["security"] == [{"token": []}]
    shown = document["components"]["schemas"]["queue.Request"]
    assert set(shown["properties"]) == {f.name for f in msgspec.structs.fields(RequestStatus)}
    found = asking.ended(asking.id({"km": 1.0}))
    assert set(shown["required"]) <= set(found) <= set(shown["properties"])


# -- what fails ------------------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["arrival", "plain"])
def test_drill_w11_a_request_that_fails_is_tried_five_times_and_its_neighbours_are_answered(
    asking: Later, api: str
) -> None:
    asking.client.send(
        b"".join(
            asking.asking({"km": 1.0, "does": does}, api=api) for does in ["", "raise", "", "exit", "short", ""] * 3
        )
    )
    ids = [asking.client.response().json["id"] for _ in range(18)]
    found = [asking.ended(id) for id in ids]
    assert [f["state"] for f in found] == ["done", "dead", "done", "dead", "dead", "done"] * 3
    assert {f["attempts"] for f in found if f["state"] == "dead"} == {5}
    assert {f["error"] for f in found if f["state"] == "dead"} == {f"api `{api}` failed to answer"}


def test_the_row_of_an_array_that_fails_is_named(asking: Later) -> None:
    found = asking.ended(asking.id([{"km": 1.0}, {"km": 1.0, "does": "raise"}, {"km": 1.0}]))
    assert (found["state"], found["error"]) == ("dead", "api `arrival` failed to answer (rows=1)")


def test_a_value_that_the_contract_keeps_back_is_answered_by_the_fallback_and_said(asking: Later) -> None:
    found = asking.ended(asking.id({"km": 1.0, "does": "nan"}))
    assert (found["state"], found["fallback"], found["answer"]["eta"]) == ("done", "nan", 15.0)


def test_drill_w11_a_request_that_ends_its_worker_becomes_a_dead_letter_and_the_worker_is_back(
    made: Run, tmp_path: Path
) -> None:
    running = made(workers=2, rules=QueueRules(first_s=0.02, tries=3))
    asking = later(running, tmp_path)
    asking.client.send(b"".join(asking.asking({"km": 1.0, "does": "die" if i == 20 else ""}) for i in range(40)))
    ids = [asking.client.response().json["id"] for _ in range(40)]
    queue = SqliteQueue(tmp_path / "queue.db", clock=system)
    until(lambda: queue.counts().waiting + queue.counts().claimed == 0)
    found = queue.look(ids)
    assert [i for i, id in enumerate(ids) if found[id].state == "dead"] == [20]
    assert found[ids[20]].error == "its worker ended before it answered"
    assert found[ids[20]].attempts == 3
    running.serving(1)
    asking.again()
    assert asking.ended(asking.id({"km": 4.0}))["answer"]["eta"] == 8.0
    text = asking.client.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").response().body.decode()
    assert "\nfunade_queue_dead 1\n" in text
    assert "\nfunade_queue_waiting 0\n" in text
    assert "\nfunade_queue_oldest_age_seconds 0\n" in text


# -- releases --------------------------------------------------------------------------------------


def test_a_request_is_answered_by_the_release_that_is_current_when_it_is_claimed(made: Run, tmp_path: Path) -> None:
    running = made(acts={2: SHORT})
    hold = running.hold()
    asking = later(running, tmp_path)
    slow = asking.id({"km": 1.0, "does": hold.act})
    hold.begun()
    fits, breaks = asking.id({"km": 50.0}), asking.id({"km": 500.0})
    gone = asking.id({"km": 1.0}, api="plain")
    running.switch(2)
    running.serving(2)
    hold.open()
    asking.again()
    assert asking.ended(slow)["release"] == 1
    assert asking.ended(fits)["release"] == 2
    found = asking.ended(breaks)
    assert (found["state"], found["attempts"]) == ("dead", 1)
    assert found["error"].startswith("release 2: request expected") and found["error"].endswith("at $.km")
    assert asking.ended(gone)["error"] == "release 2 has no api `plain`"


def test_a_claim_whose_reading_fails_is_settled_and_its_neighbours_are_answered(made: Run, tmp_path: Path) -> None:
    running = made(acts={2: SHORT})
    hold = running.hold()
    asking = later(running, tmp_path)
    asking.id({"km": 1.0, "does": hold.act})
    hold.begun()
    before, unreadable, after = [asking.id({"km": km}) for km in (12.0, 13.0, 14.0)]
    running.switch(2)
    running.serving(2)
    hold.open()
    asking.again()
    assert [asking.ended(id)["answer"]["eta"] for id in (before, after)] == [24.0, 28.0]
    failed = asking.ended(unreadable)
    assert (failed["state"], failed["attempts"]) == ("dead", 5)
    assert failed["error"] == "api `arrival` could not read the request"


def test_nobody_who_waits_holds_up_a_switch(made: Run, tmp_path: Path) -> None:
    running = made()
    asking = later(running, tmp_path)
    hold = running.hold()
    slow = asking.id({"km": 1.0, "does": hold.act})
    hold.begun()
    asking.ask(slow, "60s")
    running.switch(2)
    running.serving(2)
    assert asking.client.response().json["state"] == "claimed"
    hold.open()
    assert asking.ended(slow)["state"] == "done"
    assert asking.client.ask({"km": 1.0}).headers["funade-release"] == "2"


def test_what_is_begun_when_the_server_stops_is_finished_or_goes_back(made: Run, tmp_path: Path) -> None:
    running = made()
    asking = later(running, tmp_path)
    ids = [asking.id({"km": float(i), "does": "sleep 0.05"}) for i in range(12)]
    assert running.end() == 0
    found = SqliteQueue(tmp_path / "queue.db", clock=system).look(ids)
    assert {kept.state for kept in found.values()} <= {"done", "waiting"}
    assert {kept.attempts for kept in found.values() if kept.state == "waiting"} <= {0}


def test_two_servers_share_one_queue(made: Run, tmp_path: Path) -> None:
    first, second = made(), made()
    asking = later(first, tmp_path)
    ids = [asking.id({"km": float(i), "does": "sleep 0.02"}) for i in range(60)]
    other = later(second, tmp_path)
    found = [other.ended(id) for id in ids]
    assert [f["answer"]["eta"] for f in found] == [2.0 * i for i in range(60)]
    assert len({f["prediction"].partition("-")[0] for f in found}) == 2


# -- the file --------------------------------------------------------------------------------------


def test_a_queue_that_is_full_refuses_with_503(made: Run, tmp_path: Path) -> None:
    asking = later(made(rules=QueueRules(most=3)), tmp_path)
    hold = asking.hold()
    asking.client.send(b"".join(asking.asking({"km": 1.0, "does": hold.act}) for _ in range(10)))
    found = [asking.client.response() for _ in range(10)]
    hold.open()
    refused = [r for r in found if r.status == 503]
    assert len(refused) >= 4
    assert refused[0].json == {"error": "queue expected at most 3 requests waiting; try again later"}
    assert refused[0].headers["retry-after"] == "1"
    for kept in found:
        if kept.status == 202:
            asking.ended(kept.json["id"])


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_drill_w28_a_full_disk_refuses_what_is_submitted_and_loses_nothing(
    made: Run, tmp_path: Path, small: Path
) -> None:
    running = made(queue=f"sqlite:{small}")
    asking = later(running, tmp_path)
    kept = asking.id({"km": 1.0})
    asking.ended(kept)
    (small / "other").write_bytes(b"x" * 1_200_000)
    large = {"km": 1.0, "does": "x" * 100_000}
    refused = until(lambda: r if (r := asking.submit(large)).status != 202 else None)
    assert (refused.status, refused.json) == (503, {"error": "the queue has no room on its disk; try again later"})
    assert asking.client.ask({"km": 3.0}).json["eta"] == 6.0
    (small / "other").unlink()
    until(lambda: asking.submit(large).status == 202)
    assert asking.look(kept)["state"] == "done"
    queue = SqliteQueue(small / "queue.db", clock=system)
    until(lambda: queue.counts().waiting + queue.counts().claimed == 0)
    assert queue.counts().dead == 0
    running.end()


def test_a_damaged_queue_is_one_clear_error_and_other_requests_are_answered(made: Run, tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_bytes(b"no queue at all, but as long as a page of one is" * 100)
    running = made()
    asking = later(running, tmp_path)
    refused = asking.submit({"km": 1.0})
    assert refused.status == 503
    assert refused.json == {"error": "the queue cannot be read or written just now; try again"}
    assert asking.client.ask({"km": 3.0}).json["eta"] == 6.0
    assert {event["error"] for event in running.events("api failed")} == {
        f"StoreError: store expected a database of funade's, got another file - at {tmp_path / 'queue.db'};"
        " move that file away"
    }


# -- callbacks -------------------------------------------------------------------------------------


def test_a_callback_bears_the_answer_and_is_sent_until_it_is_taken(made: Run, tmp_path: Path) -> None:
    with hooks(500, 302, 200) as told:
        asking = later(made(rules=QueueRules(first_s=0.05, callbacks=(told.url + "/rides/",))), tmp_path)
        id = asking.id({"km": 2.0}, funade_callback=told.url + "/rides/7?who=me")
        until(lambda: len(told.told) == 3)
        until(lambda: "callback" not in asking.look(id))
        assert {t["path"] for t in told.told} == {"/rides/7?who=me"}
        first = told.told[0]
        found = asking.look(id)
        assert {k: first[k] for k in ("id", "state", "release", "prediction", "answer")} == {
            k: found[k] for k in ("id", "state", "release", "prediction", "answer")
        }


def test_a_callback_tells_of_a_dead_letter_too(made: Run, tmp_path: Path) -> None:
    with hooks() as told:
        asking = later(made(rules=QueueRules(first_s=0.02, tries=2, callbacks=(told.url,))), tmp_path)
        asking.id({"km": 2.0, "does": "raise"}, funade_callback=told.url)
        until(lambda: told.told)
        assert (told.told[0]["state"], told.told[0]["error"]) == ("dead", "api `arrival` failed to answer")


def test_a_host_that_is_dead_holds_up_neither_the_queue_nor_other_callbacks(made: Run, tmp_path: Path) -> None:
    with hooks() as told, socket.create_server(("127.0.0.1", 0)) as silent:
        dead = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        rules = QueueRules(first_s=0.05, callbacks=(told.url, dead))
        running = made(rules=rules)
        asking = later(running, tmp_path)
        ids = [asking.id({"km": 1.0}, funade_callback=dead) for _ in range(30)]
        asking.id({"km": 1.0}, funade_callback=told.url)
        until(lambda: told.told)
        assert {asking.ended(id)["state"] for id in ids} == {"done"}
        assert running.end() == 0


def test_a_name_that_leads_to_this_machine_is_not_called(made: Run, tmp_path: Path) -> None:
    with hooks() as told:
        name = socket.gethostname()
        url = told.url.replace("127.0.0.1", name)
        running = made(rules=QueueRules(first_s=0.02, call_tries=1, callbacks=(url,), private=True))
        asking = later(running, tmp_path)
        id = asking.id({"km": 1.0}, funade_callback=url)
        until(lambda: asking.look(id).get("callback") == "dead")
        found = asking.look(id)
        assert (found["state"], found["callback_error"]) == ("done", "its host could not be reached")
        assert told.told == []


@pytest.mark.parametrize("url", ["https://hooks.example.com/", "http://127.0.0.1:1/", "file:///etc/passwd"])
def test_a_callback_that_nobody_allowed_is_refused(asking: Later, url: str) -> None:
    refused = asking.submit({"km": 1.0}, funade_callback=url)
    assert refused.status == 403
    assert refused.json["error"].startswith("header `funade-callback` expected ")


# -- gRPC ------------------------------------------------------------------------------------------


def _stubs(port: int, token: str) -> tuple[Any, Callable[[str, Any], Any]]:
    import grpc

    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    made = queue_rpc.MESSAGES

    def call(method: str, request: Any) -> Any:
        return channel.unary_unary(
            f"/{queue_rpc.SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=made[f"{method}Reply"].FromString,
        )(request, timeout=120, metadata=(("authorization", f"Bearer {token}"),))

    return channel, call


def test_the_queue_over_grpc_is_the_queue_over_http(made: Run, tmp_path: Path) -> None:
    import grpc

    port = free_port()
    running = made(grpc_port=port)
    asking = later(running, tmp_path)
    messages = queue_rpc.MESSAGES
    channel, call = _stubs(port, (tmp_path / "token").read_text())
    with channel:
        kept = call("Submit", messages["SubmitRequest"](api="arrival", body=b'{"km": 2.0}', idempotency_key="k"))
        assert kept.state == "waiting"
        assert asking.id(b'{"km": 2.0}', idempotency_key="k") == kept.id
        found = call("Look", messages["LookRequest"](id=kept.id, wait_seconds=5))
        assert (found.state, found.release, found.attempts) == ("done", 1, 1)
        assert found.answer == b'{"eta":4.0,"model":1,"threshold":1,"batch":1}'
        assert found.prediction == asking.look(kept.id)["prediction"]
        for request, code in (
            (messages["SubmitRequest"](api="arrival", body=b'{"km": "far"}'), "INVALID_ARGUMENT"),
            (messages["SubmitRequest"](api="arrival", body=b'{"km": 3.0}', idempotency_key="k"), "ABORTED"),
            (messages["SubmitRequest"](api="arival", body=b"{}"), "NOT_FOUND"),
            (messages["SubmitRequest"](api="arrival", body=b'{"km": 3.0}', callback="http://a/"), "PERMISSION_DENIED"),
            (messages["LookRequest"](id="abc"), "NOT_FOUND"),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                call(type(request).DESCRIPTOR.name.removesuffix("Request"), request)
            assert refused.value.code().name == code


def test_the_numbers_of_its_fields_never_change() -> None:
    numbers = {name: [f"{f.name}={f.number}" for f in m.DESCRIPTOR.fields] for name, m in queue_rpc.MESSAGES.items()}
    assert numbers == {
        "SubmitRequest": ["api=1", "body=2", "idempotency_key=3", "callback=4"],
        "SubmitReply": ["id=1", "state=2"],
        "LookRequest": ["id=1", "wait_seconds=2"],
        "LookReply": [
            "id=1", "api=2", "state=3", "attempts=4", "answer=5", "prediction=6", "release=7", "error=8", "fallback=9",
            "guard=10", "defaults=11",
        ],
    }  # fmt: skip
