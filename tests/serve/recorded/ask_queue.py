"""What is asked of the queue, over HTTP and gRPC. Ids are numbered as they appear; ``TOKEN-ROLE`` stands for a token."""

# ruff: noqa: E501  (a case a line)

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from serve.recorded.ask_grpc import call
from serve.recorded.ask_http import body_of, http, request
from serve.recorded.rows import REFUSED, SAID, order, ride
from support.exchanges import Exchange, GrpcExchange, HttpExchange
from support.reflected import Reflected

NOBODY = "f" * 32
_SUBMITTER = "Bearer TOKEN-submit"


def submit(name: str, api: str, body: Any, **headers: str) -> HttpExchange:
    return http(name, request(f"POST /v1/{api}/submit", body, authorization=_SUBMITTER, **headers))


def look(name: str, id: str, query: str = "?wait=30s") -> HttpExchange:
    return http(name, request(f"GET /v1/queue/{id}{query}", authorization=_SUBMITTER))


def over_http() -> Iterator[Exchange]:
    number = 0
    for name, (api, value) in SAID.items():
        yield submit(name, api, value)
        if name not in REFUSED:
            number += 1
            yield look(f"{name}, looked at", f"{number:032x}")
    yield look("looked at again", f"{1:032x}", "")
    yield look("nobody's", NOBODY)
    yield submit("a key", "cook", order(), idempotency_key="order 7")
    number += 1
    yield look("a key, looked at", f"{number:032x}")
    yield submit("a key again", "cook", order(), idempotency_key="order 7")
    yield submit("a key with another request", "cook", order(dishes=3), idempotency_key="order 7")
    yield submit("a key of another api", "suggest", ride(), idempotency_key="order 7")
    yield look("a key of another api, looked at", f"{number + 1:032x}")
    yield submit("a long key", "cook", order(), idempotency_key="k" * 256)
    yield submit("a key that is not plain", "cook", order(), idempotency_key="é")
    yield submit("a callback", "cook", order(), funade_callback="http://evil.example/hook")
    yield submit("no JSON", "cook", b"{")
    yield submit("an unknown field, closed", "cook", order(dish=1))
    yield submit("another content type", "cook", order(), content_type="text/plain")
    yield submit("compressed", "cook", order(), content_encoding="gzip")
    yield submit("an unknown api", "cok", order())
    yield submit("a body too large", "cook", b"", content_length="4194305")
    for query in ("?wait=soon", "?wait=61", "?wait=-1", "?wait=", "?other=1"):
        yield look(f"a look with {query}", f"{1:032x}", query)
    yield http("a submit without a token", request("POST /v1/cook/submit", order()))
    yield http("a look without a token", request(f"GET /v1/queue/{1:032x}"))
    for token in ("Bearer TOKEN-predict", "Bearer nothing", "Basic eDp5"):
        yield http(f"a submit with {token}", request("POST /v1/cook/submit", order(), authorization=token))
    yield http("an operator's look", request(f"GET /v1/queue/{1:032x}", authorization="Bearer TOKEN-operate"))


def over_grpc(reflected: Reflected) -> Iterator[Exchange]:
    def asked(title: str, method: str, token: str = _SUBMITTER, /, **values: Any) -> GrpcExchange:
        message = reflected.message(f"funade.queue.{method}Request", values)
        metadata = [("authorization", token)] if token else []
        return call(title, f"/funade.queue.Queue/{method}", message, metadata=metadata)

    def submit(name: str, api: str, body: Any, **more: str) -> GrpcExchange:
        return asked(name, "Submit", api=api, body=base64.b64encode(body_of(body)).decode(), **more)

    number = 0
    for name, (api, value) in SAID.items():
        yield submit(name, api, value)
        if name not in REFUSED:
            number += 1
            yield asked(f"{name}, looked at", "Look", id=f"{number:032x}", wait_seconds=20)
    yield asked("looked at again", "Look", id=f"{1:032x}")
    yield asked("nobody's", "Look", id=NOBODY)
    yield submit("a key", "cook", order(), idempotency_key="order 8")
    yield asked("a key, looked at", "Look", id=f"{number + 1:032x}", wait_seconds=20)
    yield submit("a key again", "cook", order(), idempotency_key="order 8")
    yield submit("a key with another request", "cook", order(dishes=3), idempotency_key="order 8")
    yield submit("a long key", "cook", order(), idempotency_key="k" * 256)
    yield submit("a callback", "cook", order(), callback="http://evil.example/hook")
    yield submit("no JSON", "cook", b"{")
    yield submit("an unknown field, closed", "cook", order(dish=1))
    yield submit("an unknown api", "cok", order())
    yield asked("a look that waits too long", "Look", id=f"{1:032x}", wait_seconds=61)
    yield asked("a look that waits for no time", "Look", id=f"{1:032x}", wait_seconds=-1)
    yield call("no message", "/funade.queue.Queue/Submit", b"\xff", metadata=[("authorization", _SUBMITTER)])
    for token in ("", "Bearer TOKEN-predict", "Bearer nothing"):
        yield asked(f"a look with token `{token}`", "Look", token, id=f"{1:032x}")
        yield asked(f"a submit with token `{token}`", "Submit", token, api="cook")
