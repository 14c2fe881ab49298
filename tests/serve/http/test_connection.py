"""HTTP on raw sockets: what is answered, what is refused, and in which order."""

from __future__ import annotations

import gzip
import json
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

from funade.serve.limits import Limits
from support.client import Client, post, roundtrip
from support.server import Running


@pytest.fixture
def client(server: Running) -> Any:
    with Client(server.port) as found:
        yield found


def test_one_object_gets_one_answer_and_an_array_gets_an_array(client: Client) -> None:
    assert client.ask({"km": 1.5}).json["eta"] == 3.0
    assert [a["eta"] for a in client.ask([{"km": 1}, {"km": 2}]).json] == [2.0, 4.0]
    assert client.ask([]).body == b"[]"


def test_an_answer_names_its_release_its_arm_and_an_id_of_its_own(client: Client) -> None:
    first, second = client.ask({"km": 1}), client.ask({"km": 1})
    assert first.headers["funade-release"] == "1"
    assert first.headers["funade-arm"] == "current"
    assert first.headers["content-type"] == "application/json"
    assert first.headers["date"].endswith("GMT")
    assert "funade-fallback" not in first.headers
    assert first.headers["funade-prediction"] != second.headers["funade-prediction"]


def test_a_contract_violation_is_422_with_the_path(client: Client) -> None:
    response = client.ask([{"km": 1}, {"km": "far"}])
    assert response.status == 422
    assert response.json == {"error": "request expected `float`, got `str`", "path": "$[1].km"}
    assert response.headers["funade-release"] == "1"
    assert client.ask(b"{").status == 422
    assert client.ask(b"").status == 422
    assert client.ask(b'{"km": 1, "does": "\xff"}').status == 422
    assert client.ask(b"[" * 10_000).status == 422
    assert client.ask({"km": 1}).status == 200


def test_requests_split_at_every_byte_are_answered_alike(server: Running) -> None:
    whole = post({"km": 2}) + post([{"km": 3}], connection="close")
    for at in range(1, len(whole)):
        with Client(server.port) as client:
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.send(whole[:at]).send(whole[at:])
            assert client.response().json["eta"] == 4.0
            assert client.response().json[0]["eta"] == 6.0
            assert client.closed()


def test_a_request_may_come_byte_by_byte(client: Client) -> None:
    for byte in post({"km": 2}):
        client.send(bytes([byte]))
    assert client.response().json["eta"] == 4.0


def test_pipelined_requests_are_answered_in_their_order(client: Client) -> None:
    asked = [post({"km": i}) if i % 3 else b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" for i in range(200)]
    client.send(b"".join(asked))
    for i in range(200):
        response = client.response()
        assert response.json == {"status": "ok"} if i % 3 == 0 else response.json["eta"] == 2.0 * i


def test_a_chunked_body_is_read_and_its_trailers_count_for_nothing(client: Client) -> None:
    body = b'{"km": 2}'
    chunks = b"".join(b"1;note=x\r\n%c\r\n" % byte for byte in body) + b"0\r\ncontent-type: text/plain\r\n\r\n"
    head = b"POST /v1/arrival HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    client.send(head + chunks + post({"km": 3}))
    assert client.response().json["eta"] == 4.0
    assert client.response().json["eta"] == 6.0


def test_a_client_that_expects_100_continue_is_told_to_go_on(client: Client) -> None:
    head, _, body = post({"km": 2}, expect="100-continue").partition(b"\r\n\r\n")
    assert client.send(head + b"\r\n\r\n").response().status == 100
    assert client.send(body).response().json["eta"] == 4.0


def test_a_hopeless_body_is_refused_before_it_is_sent(client: Client) -> None:
    head = b"POST /v1/arrival HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 200000000\r\n\r\n"
    response = client.send(head).response()
    assert response.status == 413
    assert response.headers["connection"] == "close"
    assert client.closed()


def test_http_1_0_and_connection_close_end_the_connection(server: Running) -> None:
    with Client(server.port) as client:
        response = client.send(b"GET /healthz HTTP/1.0\r\n\r\n").response()
        assert (response.status, response.headers["connection"]) == (200, "close")
        assert client.closed()
    with Client(server.port) as client:
        kept = client.send(b"GET /healthz HTTP/1.0\r\nconnection: keep-alive\r\n\r\n").response()
        assert kept.headers["connection"] == "keep-alive"
        assert client.send(b"GET /healthz HTTP/1.0\r\n\r\n").response().status == 200
    with Client(server.port) as client:
        assert client.send(post({"km": 1}, connection="close") + post({"km": 2})).response().json["eta"] == 2.0
        assert client.closed()


def test_pages_answer_get_and_head(client: Client) -> None:
    get = b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n"
    assert client.send(get % b"/readyz").response().json == {"status": "ready", "release": 1}
    assert "/v1/arrival" in client.send(get % b"/openapi.json?x=1").response().json["paths"]
    assert client.send(get % b"http://localhost/healthz").response().status == 200
    contract = client.send(get % b"/v1/arrival").response()
    assert [f["name"] for f in contract.json["contract"]["takes_fields"]] == ["km", "does"]
    assert (contract.json["owner"], contract.json["fallback"]["eta"]) == ("drivers", 15.0)
    head = client.send(b"HEAD /v1/arrival HTTP/1.1\r\nhost: localhost\r\n\r\n").response(head=True)
    assert head.headers["content-length"] == contract.headers["content-length"]
    assert client.send(get % b"/healthz").response().status == 200


def test_unknown_paths_and_methods_say_what_is_known(client: Client) -> None:
    response = client.ask({"km": 1}, api="arival")
    assert (response.status, response.json["error"]) == (
        404,
        "path `/v1/arival` is not known; did you mean `/v1/arrival`?",
    )
    for method, path, allowed in ((b"PUT", b"/v1/plain", "GET, HEAD, POST"), (b"POST", b"/healthz", "GET, HEAD")):
        response = client.send(b"%b %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % (method, path)).response()
        assert (response.status, response.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content_type": "application/json; charset=utf-8"}, 200),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"funade_timeout_ms": "soon"}, 400),
        ({"funade_timeout_ms": "5000"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://localhost"}, 200),
        ({"expect": "miracles"}, 417),
        ({"transfer_encoding": "gzip"}, 400),
        ({"upgrade": "h2c", "connection": "upgrade"}, 200),
    ],
)
def test_headers_decide(client: Client, headers: dict[str, str], status: int) -> None:
    body = gzip.compress(b'{"km": 1}') if "content_encoding" in headers else b'{"km": 1}'
    response = client.ask(body, **headers)
    assert response.status == status
    assert status == 200 or response.json["error"]


def test_after_a_refused_upgrade_the_connection_goes_on(client: Client) -> None:
    upgrade = post({"km": 1}, upgrade="h2c", connection="upgrade, http2-settings")
    client.send(upgrade + post({"km": 2}))
    assert [client.response().json["eta"], client.response().json["eta"]] == [2.0, 4.0]
    for byte in upgrade:
        client.send(bytes([byte]))
    client.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
    assert client.response().json["eta"] == 2.0
    assert client.response().json == {"status": "ok"}


_POST = b"POST /v1/arrival HTTP/1.1\r\nhost: a\r\n"
_OLD = b"POST /v1/arrival HTTP/1.0\r\nhost: a\r\n"
_BODY = b"0\r\n\r\nGET /admin HTTP/1.1\r\nhost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (_POST + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n" + _BODY, (400,)),
        (_POST + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n" + _BODY, (400,)),
        (_POST + b"content-length: 4\r\ncontent-length: 5\r\n\r\n1234", (400,)),
        (_POST + b"content-length: 4, 4\r\n\r\n1234", (400,)),
        (_POST + b"content-length: +4\r\n\r\n1234", (400,)),
        (_POST + b"content-length : 4\r\n\r\n1234", (400,)),
        (_POST + b"transfer-encoding: chunked, gzip\r\n\r\n" + _BODY, (400, 501)),
        (_POST + b"transfer-encoding: gzip, chunked\r\n\r\n" + _BODY, (400, 501)),
        (_POST + b"transfer-encoding: xchunked\r\n\r\n" + _BODY, (400, 501)),
        (_POST + b"transfer-encoding:\x0bchunked\r\n\r\n" + _BODY, (400, 501)),
        (_POST + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n" + _BODY, (400,)),
        (_OLD + b"transfer-encoding: chunked\r\n\r\n" + _BODY, (400,)),
        (_POST + b"transfer-encoding: chunked\r\n\r\n-1\r\n", (400,)),
        (_POST + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n", (400,)),
        (_POST + b" folded: x\r\n\r\n", (400,)),
        (_POST + b"x: 1\ny: 2\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\nhost: a b\r\n\r\n", (400,)),
        (b"GET /healthz HTTP/1.1\r\nhost: rebound.example\r\n\r\n", (421,)),
        (b"GET /healthz HTTP/3.7\r\nhost: a\r\n\r\n", (400, 505)),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a\r\n\r\n", (501,)),
        (b"BREW /healthz HTTP/1.1\r\nhost: a\r\n\r\n", (501,)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 501, 505)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400, 501)),
        (b"GET /he\x00lthz HTTP/1.1\r\nhost: a\r\n\r\n", (400,)),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", (431,)),
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 101 + b"\r\n", (431,)),
        (b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 40_000, (431,)),
    ],
)  # fmt: skip
def test_what_is_no_good_request_is_refused_and_the_connection_closed(
    server: Running, raw: bytes, statuses: tuple[int, ...]
) -> None:
    with Client(server.port) as client:
        response = client.send(raw.replace(b"host: a\r\n", b"host: localhost\r\n")).response()
        assert response.status in statuses
        assert response.headers["connection"] == "close"
        assert set(response.json) == {"error"}
        client.sock.shutdown(socket.SHUT_WR)
        assert client.closed()


def test_drill_w24_a_body_beyond_the_limit_is_refused_however_it_is_framed(run: Callable[..., Running]) -> None:
    server = run(workers=1, limits=Limits(body_bytes=1000))
    with Client(server.port) as client:
        assert client.ask(b" " * 990 + b'{"km": 1}').status == 200
        assert client.ask(b" " * 1000 + b'{"km": 1}').status == 413
        assert client.closed()
    head = b"POST /v1/arrival HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    for chunk in (b"1f4\r\n" + b" " * 500 + b"\r\n", b"1;" + b"x" * 1000 + b"\r\n \r\n"):
        with Client(server.port) as client:
            assert client.send(head + chunk * 100).response().status == 413


def test_drill_w24_a_client_that_is_slow_gets_408_or_is_closed(run: Callable[..., Running]) -> None:
    server = run(workers=1, limits=Limits(head_s=0.5, body_s=0.5, idle_s=0.5))
    whole = post({"km": 1})
    for part in (whole[:10], whole[:-2]):
        with Client(server.port) as client:
            assert client.send(part).response().status == 408
            assert client.closed()
    with Client(server.port) as client:
        assert client.ask({"km": 1}).status == 200
        assert client.closed()


def test_drill_w24_a_client_that_does_not_read_is_cut_off(run: Callable[..., Running]) -> None:
    server = run(workers=1, limits=Limits(write_s=0.5))
    with Client(server.port) as client:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps([{"km": 1}] * 20_000).encode()
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                client.send(post(body))
        with Client(server.port) as other:
            assert other.ask({"km": 1}).status == 200


def test_many_requests_and_refused_upgrades_in_one_piece_are_all_answered(client: Client) -> None:
    upgrade = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"
    plain = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    client.send(upgrade * 1500 + plain * 3000 + plain[:-1])
    assert {client.response().status for _ in range(4500)} == {200}
    assert client.send(plain[-1:]).response().status == 200


def test_a_reset_client_costs_its_neighbours_nothing(server: Running) -> None:
    with Client(server.port) as busy:
        hold = server.hold()
        busy.ask({"km": 0, "does": "sleep 0.03"})  # after a slow call the loop does not wait for the next
        busy.send(post({"km": 0, "does": hold.act}))
        hold.begun()
        others = [Client(server.port) for _ in range(20)]
        for i, other in enumerate(others):
            other.send(post({"km": i}))
            if i % 2:
                other.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for other in others[1::2]:
            other.sock.close()
        roundtrip(server.port)
        hold.open()
        for i, other in enumerate(others):
            if i % 2 == 0:
                assert other.response().json["eta"] == 2.0 * i
                other.sock.close()
    assert server.events("defect") == []


def test_hosts_that_are_listed_are_answered_for(run: Callable[..., Running]) -> None:
    server = run(workers=1, hosts=("eta.example",))
    for host, status in (("eta.example:80", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200), ("evil.example", 421)):
        with Client(server.port) as client:
            request = f"GET /healthz HTTP/1.1\r\nhost: {host}\r\n\r\n".encode()
            assert client.send(request).response().status == status
