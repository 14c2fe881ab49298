"""Whatever bytes come in whatever pieces, the worker lives and answers the next client."""

from __future__ import annotations

import contextlib
import json
import socket

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.client import Client, post
from support.server import Running

_WHOLE = (
    post({"km": 1}),
    post([{"km": 1}, {"km": 2}], api="plain", funade_timeout_ms="60000"),
    post({"km": 1}, upgrade="h2c", connection="upgrade"),
    b"POST /v1/arrival HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n9\r\n"
    b'{"km": 1}\r\n0\r\nx: y\r\n\r\n',
    b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n",
)
_shared = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@st.composite
def _spoilt(draw: st.DrawFn) -> bytes:
    """Good requests with a few bytes changed, left out or put in."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(_WHOLE), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


@_shared
@given(st.one_of(st.binary(max_size=200), _spoilt()), st.integers(1, 400))
def test_any_bytes_leave_the_worker_alive(server: Running, data: bytes, piece: int) -> None:
    before = server.state.workers
    with Client(server.port) as client, contextlib.suppress(ConnectionError):
        for at in range(0, len(data), piece):
            client.send(data[at : at + piece])
        client.sock.shutdown(socket.SHUT_WR)
        while client.sock.recv(65536):
            pass
    with Client(server.port) as client:
        assert client.ask({"km": 3}).json["eta"] == 6.0
    assert server.state.workers == before
    assert server.events("defect") == []


@_shared
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), min_size=1, max_size=12), st.data())
def test_any_pieces_give_the_answers_of_whole_requests(
    server: Running, asked: list[tuple[int, int]], data: st.DataObject
) -> None:
    whole = b"".join(_WHOLE[kind] if kind else post({"km": km}) for kind, km in asked)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    with Client(server.port) as client:
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            client.send(whole[start:stop])
        for kind, km in asked:
            response = client.response()
            assert response.status == 200
            if kind == 0:
                assert json.loads(response.body)["eta"] == 2.0 * km
