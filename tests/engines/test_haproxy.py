"""Several servers behind the real HAProxy: what it is told, and what clients see when a server dies."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from funade.engines.haproxy import Frontend, configuration, peer
from funade.errors import Misuse
from support import stock, toy
from support.certificate import certificate
from support.client import Client
from support.metrics import scrape
from support.server import Running, noted
from support.wait import until

STEADY = stock.script("steady.py")


def checked(haproxy: str, path: Path) -> str:
    """What HAProxy says of a configuration that it finds valid."""
    done = subprocess.run([haproxy, "-c", "-q", "-f", str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("peers", "front"),
    [
        (["127.0.0.1:8080"], Frontend()),
        (["10.0.0.1:8080", "box-2.local:8080"], Frontend("127.0.0.1:80")),
        (["127.0.0.1:8080:8081", "[::1]:8090:8091"], Frontend(admin="/run/haproxy/admin.sock")),
        (["box:8080:8081", "bux:8080:8081"], Frontend(ca="@system-ca")),
    ],
)
def test_haproxy_has_nothing_to_say_about_its_configuration(
    haproxy: str, tmp_path: Path, peers: list[str], front: Frontend
) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text(configuration([peer(one) for one in peers], front))
    assert checked(haproxy, path) == ""
    assert ("frontend funade_grpc" in path.read_text()) == all(peer(one).grpc for one in peers)


@pytest.mark.parametrize(
    "text", ["", "box", "box:", ":80", "box:0", "box:65536", "a b:80", "box:80:x", "box:80\n", "u://b:1"]
)
def test_a_server_is_a_host_and_a_port(text: str) -> None:
    with pytest.raises(Misuse, match=r"server expected HOST:PORT or HOST:PORT:GRPC_PORT, got"):
        peer(text)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


Start = Callable[[list[str]], "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts programs in sessions of their own; nothing of them outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(arguments: list[str]) -> subprocess.Popen[bytes]:
        with (tmp_path / f"{len(started)}.log").open("wb") as log:
            started.append(
                subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
            )
        return started[-1]

    yield begin
    for process in started:
        if process.stdin is not None:
            process.stdin.close()
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        finally:
            process.wait()


def ready(port: int) -> bool | None:
    try:
        with Client(port) as client:
            return client.send(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n").response().status == 200 or None
    except OSError:
        return None


@pytest.mark.slow
def test_drill_w16_a_server_killed_behind_haproxy_costs_clients_nothing(
    haproxy: str, root: Path, tmp_path: Path, start: Start
) -> None:
    here = toy.project(root)
    toy.load(here)
    toy.ship(here)
    ports, front, log = [free_port(), free_port()], free_port(), tmp_path / "answers"
    funade = [sys.executable, "-m", "funade", "-C", str(root)]
    servers = [start([*funade, "serve", "--port", str(port)]) for port in ports]
    told = [f"--server=127.0.0.1:{port}" for port in ports]
    text = subprocess.run(
        [*funade, "export", "haproxy", *told, f"--listen=127.0.0.1:{front}"],
        check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    (tmp_path / "haproxy.cfg").write_text(text)
    for port in ports:
        until(lambda: ready(port))  # noqa: B023
    start([haproxy, "-f", str(tmp_path / "haproxy.cfg")])
    until(lambda: ready(front))
    asking = start([sys.executable, str(STEADY), str(front), "200", "8", str(log), 'judge={"x": 1.5}'])

    def answered(more: int) -> bool | None:
        return len(log.read_text().splitlines()) > more if log.exists() else None

    until(lambda: answered(200) or None)
    os.killpg(servers[0].pid, signal.SIGKILL)  # the supervisor and its workers at once
    before = len(log.read_text().splitlines())
    until(lambda: answered(before + 400) or None)
    servers.append(start([*funade, "serve", "--port", str(ports[0])]))
    until(lambda: ready(ports[0]))
    taken = int(scrape(ports[0])['funade_rows_total{api="judge"}'])
    until(lambda: scrape(ports[0])['funade_rows_total{api="judge"}'] > taken + 50 or None)  # it takes part again
    assert asking.stdin is not None
    asking.stdin.close()
    asking.wait(120)
    lines = noted(log)
    assert len(lines) > 600
    assert [line for line in lines if line.get("status") != 200] == []
    assert {json.dumps(line["body"]) for line in lines} == {json.dumps(lines[0]["body"])}


@pytest.mark.slow
def test_haproxy_speaks_tls_with_servers_that_do(
    haproxy: str, run: Callable[..., Running], tmp_path: Path, start: Start
) -> None:
    pem, port, front = certificate(tmp_path / "pem"), free_port(), free_port()
    run(port=port, workers=1, certificate=pem[0], key=pem[1]).serving(1)
    admin = tmp_path / "admin"
    text = configuration([peer(f"127.0.0.1:{port}")], Frontend(f"127.0.0.1:{front}", ca=pem[0], admin=str(admin)))
    (tmp_path / "haproxy.cfg").write_text(text)
    start([haproxy, "-f", str(tmp_path / "haproxy.cfg")])
    until(lambda: seen(admin, "funade") == ["UP L7OK"])
    with Client(front) as client:
        assert client.ask({"km": 1}).json["eta"] == 2.0


def seen(admin: Path, backend: str) -> list[str]:
    """What HAProxy says of each server of a backend: its state and how the last check ended."""
    if not admin.exists():
        return []
    with socket.socket(socket.AF_UNIX) as sock, sock.makefile() as lines:
        sock.connect(str(admin))
        sock.sendall(b"show stat\n")
        rows = list(csv.DictReader(line.lstrip("# ") for line in lines if line.strip()))
    found = [row for row in rows if row["pxname"] == backend and row["svname"].startswith("server")]
    return [f"{row['status'].split()[0]} {row['check_status'].lstrip('* ')}" for row in found]


@pytest.mark.slow
def test_grpc_calls_go_to_the_server_that_lives(
    haproxy: str, run: Callable[..., Running], tmp_path: Path, start: Start
) -> None:
    import grpc

    pairs = [(free_port(), free_port()) for _ in range(2)]
    servers = [run(port=port, grpc_port=grpc_port) for port, grpc_port in pairs]
    front = free_port()
    text = configuration(
        [peer(f"127.0.0.1:{port}:{grpc_port}") for port, grpc_port in pairs],
        Frontend(f"127.0.0.1:{free_port()}", f"127.0.0.1:{front}", admin=str(tmp_path / "admin")),
    )
    (tmp_path / "haproxy.cfg").write_text(text)
    for server in servers:
        server.serving(1)
    start([haproxy, "-f", str(tmp_path / "haproxy.cfg")])
    policy = {"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2}
    methods = [{"name": [{}], "retryPolicy": policy | {"retryableStatusCodes": ["UNAVAILABLE"]}}]
    options = [("grpc.service_config", json.dumps({"methodConfig": methods}))]
    with grpc.insecure_channel(f"127.0.0.1:{front}", options=options) as channel:
        ready = channel.unary_unary(
            "/inference.GRPCInferenceService/ServerReady", request_serializer=bytes, response_deserializer=bytes
        )

        def statuses(calls: int) -> set[str]:
            found = set()
            for _ in range(calls):
                answer, call = ready.with_call(b"", timeout=120, wait_for_ready=True)
                assert answer == b"\x08\x01"
                found.add(call.code().name)
            return found

        until(lambda: seen(tmp_path / "admin", "funade_grpc") == ["UP L7OK"] * 2)
        assert statuses(50) == {"OK"}
        state = servers[0].state
        for pid in (state.pid, *state.workers):
            os.kill(pid, signal.SIGKILL)
        assert statuses(300) == {"OK"}
        until(lambda: [one.split()[0] for one in seen(tmp_path / "admin", "funade_grpc")] == ["DOWN", "UP"])
        assert statuses(50) == {"OK"}
