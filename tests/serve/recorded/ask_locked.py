"""What is asked of a server that wants a token of whoever asks for answers."""

from __future__ import annotations

import json
from collections.abc import Iterator

from serve.recorded.ask_grpc import HEALTH, call, message_of
from serve.recorded.ask_http import http, request
from serve.recorded.ask_oip import SERVICE, tensors
from serve.recorded.rows import order
from support.exchanges import Exchange
from support.reflected import Reflected

TOKENS = ("", "Bearer nothing", "Bearer TOKEN-predict", "bearer TOKEN-submit", "Bearer TOKEN-operate", "Basic eDp5")


def exchanges(reflected: Reflected) -> Iterator[Exchange]:
    message, inference = message_of(reflected, "cook", order()), {"inputs": tensors([order()])}
    for token in TOKENS:
        headers = {"authorization": token} if token else {}
        metadata = [("authorization", token)] if token else []
        yield http(f"http `{token}`", request("POST /v1/cook", order(), **headers))
        yield http(f"oip `{token}`", request("POST /v2/models/cook/infer", inference, **headers))
        yield http(f"queue `{token}`", request("POST /v1/cook/submit", order(dishes=0), **headers))
        yield call(f"grpc one `{token}`", f"/{reflected.service('cook')}/One", message, metadata=metadata)
        yield call(f"grpc many `{token}`", f"/{reflected.service('cook')}/Many", b"", metadata=metadata)
        yield call(f"oip over grpc `{token}`", f"/{SERVICE}/ModelInfer", b"", metadata=metadata)
    for path in ("/healthz", "/v1/cook", "/openapi.json", "/v2/models/cook"):
        yield http(f"GET {path}", request(f"HEAD {path}"), head=True)
    wrong = json.dumps(order(dishes=0)).encode()
    yield http("a bad request without a token", request("POST /v1/cook", wrong))
    yield http("a bad request to an unknown path", request("POST /v1/cok", wrong))
    yield call("a bad message without a token", f"/{reflected.service('cook')}/One", b"\xff")
    yield call("health without a token", HEALTH, b"")
    yield call("metadata without a token", f"/{SERVICE}/ModelMetadata", b"\x0a\x04cook")
