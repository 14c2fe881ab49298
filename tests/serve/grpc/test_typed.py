"""An api over gRPC: every type, every refusal as over HTTP, and what a stock client sees of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from funade.bind.api import BoundApi
from funade.contract import proto
from funade.errors import ContractViolation
from funade.serve.grpc.typed import Reader, messages
from support import stock
from support.client import Client
from support.grpc_client import CLOSED, EVERYTHING, RELEASE, ask, message
from support.release import TYPED
from support.server import Running

ROW: dict[str, Any] = {
    "fare_yen": 1200.5, "riders": 2, "paid": True, "code": "AB", "at": "2022-03-01T12:00:00.123456+09:00",
    "day": "2022-03-01", "level": "low", "kind": "a", "stars": 1, "note": "hé", "km": 3.25, "seats": 4, "wet": False,
    "until": "2022-03-01T12:00:00Z", "known": 1.25, "often": 9, "tip": 0.5, "spare": "x", "距離": 0.1,
}  # fmt: skip


def reader(api: BoundApi) -> Reader:
    wire = RELEASE.wires[api.name]
    return Reader(api, wire, messages(api.contract, wire))


def of_message(api: BoundApi, row: dict[str, Any]) -> Any:
    """The row that a message gives, or the error and path that it is refused with."""
    try:
        return reader(api).one(message(api, row).SerializeToString())[0]
    except ContractViolation as error:
        return str(error), error.path


def of_json(api: BoundApi, row: dict[str, Any]) -> Any:
    nulls = {f.name: None for f in api.contract.takes_fields if f.required and f.nullable}
    try:
        return api.decode(msgspec.json.encode(nulls | {k: v for k, v in row.items() if v is not None}))[0][0]
    except ContractViolation as error:
        return str(error), error.path


numbers = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 100_000.0]), st.floats(allow_nan=False, allow_infinity=False)
)
words = st.one_of(st.sampled_from(["", "A", "AB", "low", "none", "abc"]), st.text(max_size=5))
moments = st.one_of(
    st.datetimes().map(lambda m: m.isoformat() + "Z"), st.sampled_from(["", "2022-03-01T12:00:00", "soon"])
)
wholes = st.one_of(st.sampled_from([0, 1, -3, 9]), st.integers(-(2**63), 2**63 - 1))
KINDS = {
    "fare_yen": numbers, "riders": wholes, "paid": st.booleans(), "code": words, "at": moments,
    "day": st.one_of(st.dates().map(str), st.sampled_from(["", "x"])), "level": st.sampled_from(["low", "", "high"]),
    "kind": st.sampled_from(["", "a", "b", "c"]), "stars": st.sampled_from([0, 1, 2, 3]), "note": words, "km": numbers,
    "seats": wholes, "wet": st.booleans(), "until": moments, "known": numbers, "often": wholes, "tip": numbers,
    "spare": words, "距離": numbers,
}  # fmt: skip


def mostly(row: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A good row with a few values changed or left out."""
    changed = st.fixed_dictionaries({}, optional={name: st.one_of(st.none(), kind) for name, kind in KINDS.items()})
    return changed.map(lambda found: {**row, **dict(list(found.items())[:4])})


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mostly(ROW))
def test_a_message_is_taken_or_refused_as_the_same_row_in_json(row: dict[str, Any]) -> None:
    assert of_message(EVERYTHING, row) == of_json(EVERYTHING, row)


@settings(max_examples=200, deadline=None)
@given(st.fixed_dictionaries({}, optional={"a": numbers, "b": st.one_of(numbers, st.just(13.0))}))
def test_a_struct_with_its_own_check_is_read_as_from_json(row: dict[str, Any]) -> None:
    assert of_message(CLOSED, row) == of_json(CLOSED, row)


@pytest.mark.parametrize("name", list(ROW))
def test_an_absent_field_is_absent_and_no_zero(name: str) -> None:
    row = {key: value for key, value in ROW.items() if key != name}
    assert of_message(EVERYTHING, row) == of_json(EVERYTHING, row)


@pytest.mark.parametrize("name", list(ROW))
def test_a_zero_that_was_sent_is_a_zero(name: str) -> None:
    row = ROW | {name: type(ROW[name])()}
    assert of_message(EVERYTHING, row) == of_json(EVERYTHING, row)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    expected = ("request expected a finite number, got one out of range - at $.fare_yen", "$.fare_yen")
    assert of_message(EVERYTHING, ROW | {"fare_yen": value}) == expected
    assert of_message(EVERYTHING, ROW | {"km": value})[1] == "$.km"


def test_of_many_rows_the_error_names_the_row_and_the_field() -> None:
    row = message(EVERYTHING, ROW).SerializeToString()
    wrong = message(EVERYTHING, ROW | {"fare_yen": -1.0}).SerializeToString()
    classes = messages(EVERYTHING.contract, RELEASE.wires["everything"])

    def many(rows: list[bytes]) -> bytes:
        body: bytes = classes["Requests"](rows=map(classes["Request"].FromString, rows)).SerializeToString()
        return body

    with pytest.raises(ContractViolation) as caught:
        reader(EVERYTHING).many(many([row, row, row, wrong, row]))
    assert str(caught.value) == "request expected `float` >= 0.0 - at $[3].fare_yen"
    assert reader(EVERYTHING).many(many([row] * 3)) == EVERYTHING.decode(msgspec.json.encode([ROW] * 3))[0]


def test_a_closed_contract_refuses_a_number_it_does_not_know() -> None:
    unknown = message(CLOSED, {"a": 1.0}).SerializeToString() + b"\x98\x06\x01"  # field 99 = 1
    with pytest.raises(ContractViolation, match="request expected no field `number 99`"):
        reader(CLOSED).one(unknown)


# -- a server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(
        tmp_path_factory.mktemp("server"),
        apis=TYPED,
        workers=1,
        grpc_port=stock.free_port(),
    )
    try:
        running.serving(1)
        yield running
    finally:
        running.end()
    assert running.events("defect") == []


@pytest.fixture
def channel(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.settings.grpc_port}") as found:
        yield found


def test_a_stock_client_of_the_exported_file_is_answered(server: Running, tmp_path: Path) -> None:
    wire = RELEASE.wires["everything"]
    file = tmp_path / proto.path_of(wire)
    file.parent.mkdir(parents=True)
    file.write_text(proto.text_of("everything", EVERYTHING.contract, wire), "utf-8")
    plain = {name: value for name, value in ROW.items() if name not in ("note", "km", "known")}
    (tmp_path / "rows.json").write_text(json.dumps([ROW, plain, ROW | {"riders": 9}]))
    target = f"127.0.0.1:{server.settings.grpc_port}"
    told = stock.ask("grpc_client.py", target, tmp_path, proto.path_of(wire))
    first, second, refused = map(json.loads, told.splitlines())
    assert first["answer"]["at"] == "2022-03-01T03:00:00.123456Z"
    assert (first["answer"]["距離"], first["answer"]["seats"], first["answer"]["wet"]) == ((0.1).hex(), 4, False)
    assert (second["answer"]["note"], second["answer"]["km"], second["answer"]["known"]) == (None, None, (7.5).hex())
    assert second["said"]["funade-defaults"] == "known"
    assert (refused["code"], refused["text"]) == ("INVALID_ARGUMENT", "request expected `int` <= 8 - at $.riders")
    assert refused["said"]["funade-path"] == "$.riders"
    (many,) = map(json.loads, stock.ask("grpc_client.py", target, tmp_path, proto.path_of(wire), "many").splitlines())
    assert (many["code"], many["said"]["funade-path"]) == ("INVALID_ARGUMENT", "$[2].riders")


def test_an_answer_says_release_arm_and_prediction(server: Running, channel: grpc.Channel) -> None:
    _, call = ask(channel, CLOSED, {"a": 2.0})
    said = dict(call.trailing_metadata())
    assert (said["funade-release"], said["funade-arm"]) == ("1", "current")
    mark, _, number = said["funade-prediction"].partition("-")
    assert len(mark) == 12 and int(number, 16) > 0 and "funade-fallback" not in said


def test_bytes_that_are_no_message_are_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, CLOSED, b"\xff\xff\xff")
    expected = "request expected a message of funade.taxi.closed.Api, got bytes that are none - at $"
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, expected)


def test_text_that_is_no_utf8_is_refused(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, EVERYTHING, b"\x22\x02\xff\xfe")
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_no_rows_give_no_answers(server: Running, channel: grpc.Channel) -> None:
    answer, _ = ask(channel, CLOSED, b"", "Many")
    assert answer.SerializeToString() == b""


def test_refusals_are_counted_for_the_door(server: Running, channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError):
        ask(channel, CLOSED, {})
    with Client(server.port) as client:
        client.send(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
        page = client.response().body.decode()
    lines = [line for line in page.splitlines() if 'door="grpc"' in line and 'api="closed"' in line]
    assert any('"422"' in line or '"invalid"' in line for line in lines), page


def test_health_is_told_for_the_server_and_each_service(channel: grpc.Channel) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    stub: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", "funade.taxi.closed.Api"):
        assert stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=120).status == 1
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=120)
        assert next(watch).status == 1
        watch.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=120)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_gives_a_client_all_it_needs(channel: grpc.Channel, version: str) -> None:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from grpc_reflection.v1alpha import reflection_pb2 as pb

    method = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=pb.ServerReflectionRequest.SerializeToString,
        response_deserializer=pb.ServerReflectionResponse.FromString,
    )
    name = "funade.taxi.closed.Api"
    asked = [pb.ServerReflectionRequest(list_services=""), pb.ServerReflectionRequest(file_containing_symbol=name)]
    listed, described = method(iter(asked), timeout=120)
    names = {service.name for service in listed.list_services_response.service}
    assert {name, "funade.taxi.everything.Api", "grpc.health.v1.Health"} <= names
    assert f"grpc.reflection.{version}.ServerReflection" in names
    (file,) = map(FileDescriptorProto.FromString, described.file_descriptor_response.file_descriptor_proto)
    assert file == proto.descriptor_of(CLOSED.contract, RELEASE.wires["closed"])
