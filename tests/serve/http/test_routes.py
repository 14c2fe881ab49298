"""Every route of a worker, by every method: who is let through."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from funade.serve.answer.runtime import Runtime
from funade.serve.http.exchange import Exchange
from funade.serve.http.head import Head
from funade.serve.http.routes import PageRequest, Route, Routes
from funade.serve.queue.submit import Submitter
from funade.serve.tokens import token_file
from funade.serve.worker import endpoints, grpc_services
from support.client import Client, Response
from support.release import release
from support.runtimes import runtime_of, submitter_of
from support.server import Running
from support.wait import until

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
RANK = ("open", "predict", "submit", "operate")
Run = Callable[..., Running]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """A worker's runtime that nobody comes to."""
    loop = asyncio.new_event_loop()
    yield runtime_of(release(1), loop, tmp_path / "log")
    loop.close()


@pytest.fixture
def submitter(runtime: Runtime, tmp_path: Path) -> Submitter:
    return submitter_of(runtime, tmp_path / "nobody")


def paths(runtime: Runtime, submitter: Submitter) -> dict[tuple[str, str], str]:
    """(method, path with names filled in) → the role it needs, of every route there is."""
    roles = {
        (route.method.decode(), re.sub(r"\{\w+\}", "arrival", route.path)): str(route.role)
        for route in Routes(runtime, endpoints.routes(runtime, submitter)).all
    }
    return roles | {("POST", f"/v1/{name}"): "predict" for name in runtime.queues}


def test_what_anybody_may_do_changes_nothing(runtime: Runtime, submitter: Submitter) -> None:
    roles = paths(runtime, submitter)
    assert {"open", "predict", "submit"} <= set(roles.values()) <= {*RANK}
    assert {method for (method, _), role in roles.items() if role == "open"} == {"GET"}
    routes = Routes(runtime, endpoints.routes(runtime, submitter)).all
    assert len(roles) == len(routes) + len(runtime.queues)  # none stands twice


def send(client: Client, method: str, path: str, token: str) -> Response:
    shown = f"authorization: Bearer {token}\r\n" if token else ""
    head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n{shown}\r\n"
    return client.send(head.encode() + b"{}").response(head=method == "HEAD")


@pytest.mark.parametrize("predict", ["open", "token"])
def test_every_route_lets_through_whom_its_role_says_and_nobody_else(
    run: Run, runtime: Runtime, submitter: Submitter, tmp_path: Path, predict: str
) -> None:
    file, now = tmp_path / "tokens.json", datetime.now(UTC)
    tokens = {"": "", "predict": token_file.add(file, "p", "predict", now=now)}
    tokens |= {"submit": token_file.add(file, "s", "submit", now=now)}
    tokens |= {"operate": token_file.add(file, "o", "operate", now=now)}
    server = run(
        workers=1, tokens=str(file), predict=predict, store=f"sqlite:{tmp_path}/store", queue=f"sqlite:{tmp_path}"
    )
    server.serving(1)
    roles = paths(runtime, submitter)
    for method in METHODS:
        for path in sorted({path for _, path in roles}):
            role = roles.get(("GET" if method == "HEAD" else method, path))
            for name, token in tokens.items():
                with Client(server.port) as client:
                    status = send(client, method, path, token).status
                assert _right(status, role, name, predict), f"{method} {path} as {name or 'nobody'}: {status}"


def _right(status: int, role: str | None, name: str, predict: str) -> bool:
    """Whether a status is what somebody with a token of role ``name`` must get where ``role`` is needed."""
    if role is None:
        return status == 405
    if role == "open" or (role == "predict" and predict == "open"):
        return status not in (401, 403, 405)
    if not name:
        return status == 401
    return status == 403 if RANK.index(name) < RANK.index(role) else status not in (401, 403, 405)


class Recorded(Exchange):
    """An exchange that remembers its response."""

    status = 0

    def __init__(self) -> None: ...

    def page(self, status: int, body: bytes, extra: str = "", content: str = "application/json") -> None:
        self.status, self.body, self.extra = status, body, extra


@pytest.mark.parametrize(
    ("role", "status", "said"),
    [
        ("operate", 401, "this needs a token that may operate; make one: funade token add NAME --role operate"),
        ("", 403, "nobody may do this"),
        ("admin", 403, "nobody may do this"),
    ],
)
def test_a_route_refuses_before_it_looks_at_anything(runtime: Runtime, role: Any, status: int, said: str) -> None:
    def respond(asked: PageRequest, exchange: Exchange) -> None:
        raise AssertionError("it was let through")

    head, exchange = Head(), Recorded()
    head.method, head.url = b"POST", b"/admin?a=1"
    Routes(runtime, [Route(b"POST", "/admin", role, respond)]).respond(exchange, head, b"/admin", b"")
    assert (exchange.status, json.loads(exchange.body)) == (status, {"error": said})
    assert exchange.extra == ("www-authenticate: Bearer\r\n" if status == 401 else "")


def test_a_token_made_while_serving_is_known_and_a_removed_one_is_not(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    server = run(workers=2, tokens=str(file), predict="token")
    server.serving(1)

    def status(token: str) -> int:
        with Client(server.port) as client:
            return client.ask({"km": 1}, **({"authorization": f"Bearer {token}"} if token else {})).status

    assert status("") == 401
    token = token_file.add(file, "ci", "predict", now=datetime.now(UTC))
    with Client(server.port) as kept:
        until(lambda: kept.ask({"km": 1}, authorization=f"Bearer {token}").status == 200 or None)
        for _ in range(3):  # its head is remembered by now
            assert kept.ask({"km": 1}, authorization=f"Bearer {token}").status == 200
        assert kept.ask({"km": 1}).status == 401
        token_file.remove(file, "ci")
        until(lambda: kept.ask({"km": 1}, authorization=f"Bearer {token}").status == 401 or None)
    assert status(token) == 401


def test_a_file_of_tokens_that_others_may_write_ends_the_start(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    token_file.add(file, "ci", "operate", now=datetime.now(UTC))
    file.chmod(0o666)
    server = run(tokens=str(file))
    _, said = server.process.communicate(timeout=120)
    assert server.process.returncode == 1
    what = "file of tokens expected to be its owner's alone, got one that others may write"
    assert said == f"ServeError: {what} - at {file}; run: chmod 600 {file}\n"


def _status(channel: Any, path: str, token: str) -> str:
    import grpc

    said = (("authorization", f"Bearer {token}"),) if token else ()
    call = channel.unary_unary(path, request_serializer=bytes, response_deserializer=bytes)
    try:
        call(b"", metadata=said, timeout=120)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.parametrize("predict", ["open", "token"])
def test_every_method_lets_through_whom_its_role_says_and_nobody_else(
    run: Run, runtime: Runtime, submitter: Submitter, tmp_path: Path, predict: str
) -> None:
    import grpc

    file, now = tmp_path / "tokens.json", datetime.now(UTC)
    tokens = {"": "", "predict": token_file.add(file, "p", "predict", now=now)}
    tokens |= {"submit": token_file.add(file, "s", "submit", now=now)}
    tokens |= {"operate": token_file.add(file, "o", "operate", now=now)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"store": f"sqlite:{tmp_path}/store", "queue": f"sqlite:{tmp_path}"}
    run(workers=1, tokens=str(file), predict=predict, grpc_port=port, **given).serving(1)
    roles = {path: service.role for service in grpc_services.services(runtime, submitter) for path in service.methods}
    roles |= {"/grpc.health.v1.Health/Check": "open"}
    assert len(roles) > 6 and set(roles.values()) <= set(RANK)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for path, role in roles.items():
            for name, token in tokens.items():
                status = _status(channel, path, token)
                what = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403}.get(status, 200)
                assert _right(what, role, name, predict), f"{path} as {name or 'nobody'}: {status}"
