"""Every door reads, refuses and counts alike, and answers in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import msgspec
import pytest

from funade.contract import proto
from funade.contract.wire import wire
from funade.serve.answer.admit import before
from funade.serve.grpc.typed import messages
from funade.serve.oip.grpc import MESSAGES, SERVICE
from funade.serve.queue import grpc as queue_grpc
from support.client import Client, Response
from support.metrics import scrape, summed
from support.queue_client import Later, close, later, queued
from support.release import SHORT, release
from support.server import Running
from support.stock import free_port

API = release(2, acts=SHORT).apis["arrival"]
WIRE = wire("arrival", API.contract, None)

UNREADABLE = 13.0  # what cannot be read
TEXT = "api `arrival` could not read the request; see the server's log"
WRONG = "request expected `float` <= 100.0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("admit")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Running]:
    given: dict[str, Any] = {"acts": {2: SHORT}, "release": 2, "grpc_port": free_port()}
    running = queued(lambda **more: Running(folder / "server", **more), folder, **given)
    yield running
    assert running.end() == 0
    assert running.events("defect") == []


@pytest.fixture
def asking(server: Running, folder: Path) -> Iterator[Later]:
    yield later(server, folder)
    close()


class Refusal(msgspec.Struct, frozen=True):
    """What a door said: a status (of HTTP, or gRPC's name) and a text."""

    status: int | str
    text: str


def _http(asking: Later, km: float) -> Refusal:
    return _said(asking.client.ask({"km": km}))


def _oip(asking: Later, km: float) -> Refusal:
    tensors = [{"name": "km", "datatype": "FP64", "shape": [1], "data": [km]}]
    return _said(_post(asking.client, "/v2/models/arrival/infer", {"inputs": tensors}))


def _submit(asking: Later, km: float) -> Refusal:
    return _said(asking.submit({"km": km}))


def _post(client: Client, path: str, body: Any) -> Response:
    data = msgspec.json.encode(body)
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(data)}\r\n\r\n"
    return client.send(head.encode() + data).response()


def _said(response: Response) -> Refusal:
    where = f" - at {response.json['path']}" if "path" in response.json else ""
    return Refusal(response.status, response.json["error"] + where)


def _call(server: Running, folder: Path, path: str, message: Any) -> Refusal:
    metadata = (("authorization", f"Bearer {(folder / 'token').read_text()}"),)
    port = server.settings.grpc_port
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(message.SerializeToString(), timeout=120, metadata=metadata)
    return Refusal(caught.value.code().name, caught.value.details())


def _typed(km: float) -> tuple[str, Any]:
    return f"/{proto.service_of(WIRE)}/One", messages(API.contract, WIRE)["Request"](km=km)


def _infer(km: float) -> tuple[str, Any]:
    tensor = {"name": "km", "datatype": "FP64", "shape": (1,), "contents": {"fp64_contents": [km]}}
    return f"/{SERVICE}/ModelInfer", MESSAGES["ModelInferRequest"](model_name="arrival", inputs=[tensor])


def _kept(km: float) -> tuple[str, Any]:
    body = msgspec.json.encode({"km": km})
    return f"/{queue_grpc.SERVICE}/Submit", queue_grpc.MESSAGES["SubmitRequest"](api="arrival", body=body)


OVER_HTTP = {"http": _http, "oip": _oip, "queue": _submit}
OVER_GRPC = {"grpc": _typed, "oip": _infer, "queue": _kept}


def _counted(server: Running, door: str, status: int, api: str = "arrival") -> float:
    return summed(scrape(server.port), "funade_requests_total", api=api, door=door, status=str(status))


@pytest.mark.parametrize(("km", "status", "text"), [(UNREADABLE, 500, TEXT), (500.0, 422, f"{WRONG} - at $.km")])
@pytest.mark.parametrize("door", OVER_HTTP)
def test_what_cannot_be_read_is_refused_and_counted_once(
    server: Running, asking: Later, door: str, km: float, status: int, text: str
) -> None:
    ask: Callable[[Later, float], Refusal] = OVER_HTTP[door]
    before_it = _counted(server, door, status)
    assert ask(asking, km).status == status
    assert ask(asking, km).text.replace("$[0]", "$") == text
    assert _counted(server, door, status) == before_it + 2


@pytest.mark.parametrize(
    ("km", "status", "code", "text"),
    [(UNREADABLE, 500, "INTERNAL", TEXT), (500.0, 422, "INVALID_ARGUMENT", f"{WRONG} - at $.km")],
)
@pytest.mark.parametrize("door", OVER_GRPC)
def test_what_cannot_be_read_over_grpc_is_refused_and_counted_once(
    server: Running, folder: Path, door: str, km: float, status: int, code: str, text: str
) -> None:
    make: Callable[[float], tuple[str, Any]] = OVER_GRPC[door]
    before_it = _counted(server, door, status)
    refusal = _call(server, folder, *make(km))
    assert (refusal.status, refusal.text.replace("$[0]", "$")) == (code, text)
    assert _counted(server, door, status) == before_it + 1


def test_what_asks_for_no_api_is_counted_under_none(server: Running, folder: Path, asking: Later) -> None:
    counts = {door: _counted(server, door, 404, "") for door in ("http", "oip", "queue")}
    assert asking.client.ask({"km": 1.0}, api="arival").status == 404
    assert _post(asking.client, "/v2/models/arival/infer", {"inputs": []}).status == 404
    infer = MESSAGES["ModelInferRequest"](model_name="arival")
    assert _call(server, folder, f"/{SERVICE}/ModelInfer", infer).status == "NOT_FOUND"
    submit = queue_grpc.MESSAGES["SubmitRequest"](api="arival", body=b"{}")
    assert _call(server, folder, f"/{queue_grpc.SERVICE}/Submit", submit).status == "NOT_FOUND"
    assert asking.ask("0" * 32).response().status == 404
    more = {door: _counted(server, door, 404, "") - count for door, count in counts.items()}
    assert more == {"http": 1, "oip": 2, "queue": 2}


def test_a_body_of_another_kind_is_counted_under_its_api(server: Running, asking: Later) -> None:
    counts = {door: _counted(server, door, 415) for door in ("http", "queue")}
    assert asking.client.ask({"km": 1.0}, content_type="text/plain").status == 415
    assert asking.submit({"km": 1.0}, content_type="text/plain").status == 415
    assert {door: _counted(server, door, 415) - count for door, count in counts.items()} == {"http": 1, "queue": 1}


@pytest.mark.parametrize(("within_s", "after_s"), [(0.0, 0.0), (0.1, 0.09), (0.5, 0.45), (60.0, 59.95)])
def test_a_client_is_answered_a_little_before_it_stops_waiting(within_s: float, after_s: float) -> None:
    assert before(within_s) == pytest.approx(after_s)
