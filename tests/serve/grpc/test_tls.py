"""gRPC over TLS: a stock client that trusts the certificate is answered, before and after a switch; others are not."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from support import stock
from support.certificate import certificate
from support.server import Running

PATH = "/funade.arrival.Api/One"
ROW = b"\x09" + struct.pack("<d", 3.0)


def test_a_client_that_trusts_the_certificate_is_answered_and_no_other(
    run: Callable[..., Running], tmp_path: Path
) -> None:
    pem, key = certificate(tmp_path / "pem")
    server = run(workers=1, grpc_port=stock.free_port(), certificate=pem, key=key)
    server.serving(1)
    target = f"localhost:{server.settings.grpc_port}"
    trusted = grpc.ssl_channel_credentials(Path(pem).read_bytes())
    with grpc.secure_channel(target, trusted) as channel:
        ask = channel.unary_unary(PATH)
        answer, call = ask.with_call(ROW, timeout=120)
        assert answer and dict(call.trailing_metadata())["funade-release"] == "1"
        server.switch(2)
        server.serving(2)
        _, call = ask.with_call(ROW, timeout=120, wait_for_ready=True)
        assert dict(call.trailing_metadata())["funade-release"] == "2"
    for stranger in (grpc.secure_channel(target, grpc.ssl_channel_credentials()), grpc.insecure_channel(target)):
        with stranger as channel, pytest.raises(grpc.RpcError) as refused:
            channel.unary_unary(PATH)(ROW, timeout=120)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
