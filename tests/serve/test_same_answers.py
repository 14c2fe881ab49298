"""Every door gives the answers that a direct call of the function gives, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import msgspec
import pytest

from funade.contract import proto
from funade.serve.grpc.typed import messages
from support import batch_rows, oip_rows, queue_rows, stock
from support.client import Client
from support.queue_client import queued
from support.release import TYPED, release
from support.server import Running

RELEASE = release(1, TYPED)
API = RELEASE.apis["everything"]
ROWS = 2000
LEVELS, KINDS = ("low", ""), ("", "a", "b")

Row = dict[str, Any]
Rows = list[Row]


def request(index: int) -> Row:
    """A row that keeps the contract; values of many magnitudes, a tenth of what may be missing is."""
    some = (index * 2_654_435_761) % 2**32 / 2**32
    row: Row = {
        "fare_yen": some * 10.0 ** (index % 6 - 1),
        "riders": index % 12 - 3,
        "paid": index % 3 == 0,
        "code": "ABCD"[: index % 5],
        "at": f"2022-{index % 12 + 1:02}-{index % 28 + 1:02}T{index % 24:02}:{index % 60:02}:07.{index:06}+09:00",
        "day": f"2022-{index % 12 + 1:02}-{index % 28 + 1:02}",
        "level": LEVELS[index % 2],
        "kind": KINDS[index % 3],
        "stars": index % 3,
        "note": None if index % 10 == 0 else f"é{index}",
        "km": None if index % 10 == 1 else some / 3,
        "seats": None if index % 10 == 2 else 2**53 - index if index % 10 == 3 else index - 1000,
        "wet": None if index % 10 == 3 else index % 2 == 0,
        "until": None if index % 10 == 4 else f"2022-03-01T{index % 24:02}:00:00Z",
    }
    optional = {"known": some, "often": index - 1000, "tip": some - 0.5, "spare": "s", "距離": -some}
    return row | {name: value for place, (name, value) in enumerate(optional.items()) if index % 10 != 5 + place}


def direct(rows: Rows, server: Running) -> Rows:
    """One call of the function."""
    taken = API.take([API.decode(msgspec.json.encode(row))[0][0] for row in rows])
    return API.answers.rows(API.give(taken.columns, len(rows)).columns)


def http_one(rows: Rows, server: Running) -> Rows:
    with Client(server.port) as client:
        return [client.ask(row, api="everything").json for row in rows]


def http_many(rows: Rows, server: Running) -> Rows:
    with Client(server.port) as client:
        found: Rows = client.ask(rows, api="everything").json
    return found


def grpc_one(rows: Rows, server: Running) -> Rows:
    types, ask = _typed("One", "Answer")
    with grpc.insecure_channel(f"127.0.0.1:{server.settings.grpc_port}") as channel:
        return [_told(ask(channel)(_request(types, row), timeout=120)) for row in rows]


def grpc_many(rows: Rows, server: Running) -> Rows:
    types, ask = _typed("Many", "Answers")
    with grpc.insecure_channel(f"127.0.0.1:{server.settings.grpc_port}") as channel:
        answer = ask(channel)(types["Requests"](rows=[_request(types, row) for row in rows]), timeout=120)
    return [_told(row) for row in answer.rows]


def _typed(method: str, answer: str) -> tuple[Any, Callable[[grpc.Channel], Any]]:
    wire = RELEASE.wires["everything"]
    types = messages(API.contract, wire)

    def ask(channel: grpc.Channel) -> Any:
        return channel.unary_unary(
            f"/{wire.package}.Api/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=types[answer].FromString,
        )

    return types, ask


def _request(types: Any, row: Row) -> Any:
    named = proto.names(API.contract.takes_fields, RELEASE.wires["everything"].takes)
    return types["Request"](**{named[name]: value for name, value in row.items() if value is not None})


def _told(message: Any) -> Row:
    """A message as JSON would have it, every value as it came."""
    return {
        field.json_name: None
        if field.has_presence and not message.HasField(field.name)
        else getattr(message, field.name)
        for field in message.DESCRIPTOR.fields
    }


DOORS: dict[str, Callable[[Rows, Running], Rows]] = {
    "http one by one": http_one,
    "http together": http_many,
    "grpc one by one": grpc_one,
    "grpc together": grpc_many,
    "oip over http": lambda rows, server: oip_rows.over_http("everything", API.contract, rows, server.port),
    "batch": lambda rows, server: batch_rows.answered(API, rows, server.folder),
    "oip over grpc": lambda rows, s: oip_rows.over_grpc("everything", API.contract, rows, s.settings.grpc_port),
    "queue over http": lambda rows, server: queue_rows.over_http("everything", rows, server, server.folder.parent),
    "queue over grpc": lambda rows, server: queue_rows.over_grpc("everything", rows, server, server.folder.parent),
}
"""Door → what it answers to rows; one more door is one more line."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    port, folder = stock.free_port(), tmp_path_factory.mktemp("server")
    started: list[Running] = []

    def start(**given: Any) -> Running:
        started.append(Running(folder / "server", **given))
        return started[0]

    try:
        yield queued(start, folder, apis=TYPED, grpc_port=port)
    finally:
        for server in started:
            server.end()


@pytest.mark.parametrize("door", DOORS)
def test_a_door_answers_as_the_function_does(running: Running, door: str) -> None:
    rows = [request(index) for index in range(ROWS)]
    expected, got = direct(rows, running), DOORS[door](rows, running)
    assert len(got) == ROWS
    # As text: a float is written so that reading gives the same bits, and -0.0 is not 0.0.
    for index, (one, other) in enumerate(zip(expected, got, strict=True)):
        assert json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True), index


@pytest.mark.parametrize("door", DOORS)
def test_a_door_refuses_a_whole_number_that_would_lose_digits_beside_a_missing_one(running: Running, door: str) -> None:
    try:
        told = str(DOORS[door]([request(1) | {"seats": 2**53 + 1}], running))
    except (AssertionError, grpc.RpcError) as refused:
        told = str(refused)
    assert f"`int` <= {2**53}" in told and ".seats" in told
