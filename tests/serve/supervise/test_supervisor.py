"""A server starts, follows the current release, keeps serving when a release does not come up, and ends whole."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from funade.serve.limits import Limits
from support.client import Client, post, roundtrip
from support.server import Running, alive
from support.wait import until

Run = Callable[..., Running]


def _refusal(running: Running) -> str:
    assert running.process.wait(120) == 1
    assert running.process.stderr is not None
    return running.process.stderr.read().strip()


def test_without_a_release_the_server_does_not_start(run: Run) -> None:
    assert _refusal(run(release=0)) == "ServeError: server expected a release, got none; run: funade release"


def test_a_taken_port_is_refused(run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        expected = f"server expected to listen on 127.0.0.1:{port}, got: Address already in use; choose another: --port"
        assert _refusal(run(port=port)) == f"ServeError: {expected}"


def test_a_release_that_does_not_load_is_no_start(run: Run) -> None:
    running = run(release=0)
    running.end()
    running.misbehave(1, load="raises")
    running.switch(1)
    running.process = running.start()
    assert _refusal(running) == (
        "ServeError: release 1 expected to come up, got: ImportError: no module named `lost`; see the server's log"
    )


def test_no_setting_stands_among_the_arguments_of_a_worker(run: Run) -> None:
    server = run(workers=1)
    (pid,) = server.serving(1).workers
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:-1]
    assert arguments == [b"-P", b"-m", b"funade.serve.worker.worker"]


def test_drill_w21_a_kept_connection_sees_the_old_release_then_the_new(run: Run) -> None:
    server = run()
    with Client(server.port) as client:
        assert client.ask({"km": 1}).json["model"] == 1
        server.switch(2)
        server.serving(2)
        answer = client.ask({"km": 1})
        assert (answer.json["model"], answer.headers["funade-release"]) == (2, "2")
        server.switch(1)
        state = server.serving(1)
        assert client.ask({"km": 1}).json["model"] == 1
        assert state.generation == 3


def test_a_request_begun_is_finished_on_the_old_release(run: Run) -> None:
    server = run()
    with Client(server.port) as client, Client(server.port) as half:
        hold = server.hold()
        whole = post({"km": 5})
        half.send(whole[:-3])
        client.send(post({"km": 1, "does": hold.act}))
        hold.begun()
        server.switch(2)
        server.serving(2)
        client.send(post({"km": 2}))
        hold.open()
        assert [client.response().json["model"], client.response().json["model"]] == [1, 2]
        assert half.send(whole[-3:]).response().json["model"] == 2  # its unread bytes travelled


def test_a_pipelining_client_is_answered_once_for_each_request(run: Run) -> None:
    server = run()
    with Client(server.port) as client:
        hold = server.hold()
        client.send(post({"km": 1, "does": hold.act}) + post({"km": 2}) + post({"km": 3})[:-4])
        hold.begun()
        server.switch(2)
        server.serving(2)
        client.send(post({"km": 3})[-4:] + post({"km": 4}))
        hold.open()
        assert [client.response().json["eta"] for _ in range(4)] == [2.0, 4.0, 6.0, 8.0]


def test_a_large_half_received_request_is_finished_where_it_began(run: Run) -> None:
    server = run(workers=1)
    whole = post([{"km": 1}] * 20_000)
    with Client(server.port) as client:
        client.send(whole[:150_000])
        roundtrip(server.port)
        server.switch(2)
        server.serving(2)
        client.send(whole[150_000:])
        assert {a["model"] for a in client.response().json} == {1}
        assert client.ask({"km": 1}).json["model"] == 2


@pytest.mark.slow
def test_what_is_not_answered_within_the_drain_gets_503(run: Run) -> None:
    server = run(drain_s=0.5)
    with Client(server.port) as client:
        hold = server.hold()
        client.send(post({"km": 1, "does": hold.act}, api="plain"))
        hold.begun()
        server.switch(2)
        response = client.response()
        assert (response.status, response.headers["connection"]) == (503, "close")
        assert int(response.headers["retry-after"]) > 0
        assert client.closed()


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ({"load": "raises"}, "ImportError: no module named `lost`"),
        ({"load": "dies"}, "its process ended with exit status 3"),
        ({"golden": "differs"}, "ServeError: api `arrival` expected 1 for golden row 0, got 2"),
        pytest.param({"load": "hangs"}, "not ready after 20 s", marks=pytest.mark.slow),
    ],
)
def test_drill_w12_a_release_that_does_not_come_up_leaves_the_old_one_serving(
    run: Run, does: dict[str, str], why: str
) -> None:
    server = run(up_s=20.0 if does == {"load": "hangs"} else 60.0)
    before = server.serving(1)
    server.misbehave(2, **does)
    server.switch(2)
    state = until(lambda: s if (s := server.state).failed else None)
    assert (state.release, state.workers, state.failed) == (1, before.workers, why)
    (alert,) = server.events("alert")
    assert (alert["what"], alert["release"], alert["serving"]) == ("release did not come up", 2, 1)
    with Client(server.port) as client:
        assert client.ask({"km": 1}).json["model"] == 1
    server.switch(3)
    assert server.serving(3).failed == ""


@pytest.mark.slow
def test_the_newest_release_wins_over_one_that_is_coming_up(run: Run) -> None:
    server = run()
    server.serving(1)
    server.misbehave(2, load="hangs")
    server.switch(2)
    until(lambda: server.state.coming == 2 or None)
    server.switch(3)
    server.serving(3)
    server.switch(2)
    until(lambda: server.state.coming == 2 or None)
    server.switch(3)
    until(lambda: server.state.coming == 0 or None)
    assert server.state.generation == 5
    assert server.end() == 0


def test_while_the_current_release_is_unknown_the_server_goes_on(run: Run) -> None:
    server = run()
    server.serving(1)
    (server.folder / "current").unlink()
    until(lambda: server.events("current release unknown") or None)
    (server.folder / "current").write_text("")
    with Client(server.port) as client:
        assert client.ask({"km": 1}).status == 200


@pytest.mark.slow
def test_a_killed_worker_is_replaced_by_one_of_the_same_release(run: Run) -> None:
    server = run()
    before = server.serving(1)
    os.kill(before.workers[0], signal.SIGKILL)
    after = until(lambda: s if before.workers[0] not in (s := server.state).workers and len(s.workers) == 2 else None)
    assert after.release == 1
    (event,) = server.events("worker died")
    assert (event["worker"], event["why"]) == (before.workers[0], "its process ended with signal 9")


def test_a_terminated_worker_finishes_what_it_began(run: Run) -> None:
    server = run(workers=1)
    before = server.serving(1)
    with Client(server.port) as client:
        hold = server.hold()
        client.send(post({"km": 1, "does": hold.act}))
        hold.begun()
        os.kill(before.workers[0], signal.SIGTERM)
        hold.open()
        assert client.response().status == 200
    with Client(server.port) as client:
        assert client.ask({"km": 1}).status == 200


@pytest.mark.slow
def test_the_server_finishes_what_is_begun_and_leaves_no_process(run: Run) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        server = run()
        state = server.serving(1)
        with Client(server.port) as client, Client(server.port) as idle:
            idle.ask({"km": 1})
            hold = server.hold()
            client.send(post({"km": 1, "does": hold.act}))
            hold.begun()
            server.process.send_signal(number)
            assert idle.closed()
            hold.open()
            assert server.process.wait(120) == 0
            response = client.response()
            assert (response.status, response.headers["connection"]) == (200, "close")
        assert not any(alive(pid) for pid in state.workers)
        assert not list((server.folder / "serve").glob("*.json"))


@pytest.mark.slow
def test_the_death_of_the_supervisor_ends_its_workers_after_what_is_begun(run: Run) -> None:
    server = run()
    state = server.serving(1)
    with Client(server.port) as client:
        hold = server.hold()
        client.send(post({"km": 1, "does": hold.act}))
        hold.begun()
        server.end(signal.SIGKILL)
        hold.open()
        assert client.response().status == 200
    until(lambda: not any(alive(pid) for pid in state.workers) or None)


@pytest.mark.slow
def test_the_death_of_the_supervisor_ends_workers_that_are_still_loading(run: Run) -> None:
    server = run()
    server.serving(1)
    server.misbehave(2, load="hangs")
    server.switch(2)
    until(lambda: server.state.coming == 2 or None)
    server.end(signal.SIGKILL)
    name = str(server.folder).encode()
    until(lambda: not _processes(name) or None)


def _processes(name: bytes) -> list[int]:
    """Processes whose command line names a folder."""
    found = []
    for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):  # noqa: PTH208
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
                if name in file.read() and alive(pid):
                    found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_supervisor_started_again_on_its_port_serves_while_the_old_workers_finish(run: Run) -> None:
    server = run()
    port = server.port
    server.settings = msgspec.structs.replace(server.settings, port=port)
    with Client(port) as client:
        hold = server.hold()
        client.send(post({"km": 1, "does": hold.act}))
        hold.begun()
        server.end(signal.SIGKILL)
        server.process = server.start()
        assert server.serving(1).pid == server.process.pid
        with Client(port) as other:
            assert other.ask({"km": 1}).status == 200
        hold.open()
        assert client.response().status == 200


@pytest.mark.slow
def test_a_function_that_never_returns_costs_its_process_and_nothing_else(run: Run) -> None:
    server = run(workers=1, limits=Limits(call_s=1.0))
    before = server.serving(1)
    with Client(server.port) as client:
        response = client.send(post({"km": 1, "does": "sleep 600"}, api="plain")).response()
        assert response.status == 503
    with Client(server.port) as client:
        assert client.ask({"km": 1}).status == 200
    assert server.serving(1).workers != before.workers
    assert server.events("worker died")[0]["why"] == "its process ended with exit status 75"
