"""What is asked over gRPC: messages are made as the server's reflection describes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from serve.recorded.rows import SAID, Row, order, ride, without
from support.exchanges import GrpcExchange, text_of
from support.reflected import Reflected

HEALTH = "/grpc.health.v1.Health/Check"


def call(name: str, path: str, message: bytes, **more: Any) -> GrpcExchange:
    return GrpcExchange(name, path, text_of(message), **more)


def exchanges(reflected: Reflected) -> Iterator[GrpcExchange]:
    for name, (api, value) in SAID.items():
        method = "Many" if isinstance(value, list) else "One"
        yield call(name, f"/{reflected.service(api)}/{method}", message_of(reflected, api, value))
    yield from _wrong(reflected)
    for name, message in {"server": b"", "Suggest": b"\x0a\x07suggest", "bytes": b"\xff"}.items():
        yield call(f"health of {name}", HEALTH, message)
    yield call(
        "health of a service",
        HEALTH,
        b"\x0a" + bytes([len(reflected.service("cook"))]) + reflected.service("cook").encode(),
    )


def message_of(reflected: Reflected, api: str, value: Row | list[Row]) -> bytes:
    """A row or rows as the message of that api's service; what is null is absent."""
    package = reflected.service(api).rpartition(".")[0]
    plain = [{k: v for k, v in row.items() if v is not None} for row in (value if isinstance(value, list) else [value])]
    if isinstance(value, list):
        return reflected.message(f"{package}.Requests", {"rows": plain})
    return reflected.message(f"{package}.Request", plain[0])


def _wrong(reflected: Reflected) -> Iterator[GrpcExchange]:
    """What only messages can say wrong."""
    cook, suggest, every = (f"/{reflected.service(api)}" for api in ("cook", "suggest", "everything"))
    good = message_of(reflected, "cook", order())
    unknown = b"\x98\x06\x01"  # field 99 = 1
    yield call("no message", f"{cook}/One", b"\xff\xff\xff")
    yield call("no messages", f"{cook}/Many", b"\xff\xff\xff")
    yield call("an empty message", f"{cook}/One", b"")
    yield call("no rows", f"{cook}/Many", b"")
    yield call("no UTF-8", f"{every}/One", b"\x22\x02\xff\xfe")
    yield call("an unknown field, closed", f"{cook}/One", good + unknown)
    row = b"\x0a" + bytes([len(good + unknown)]) + good + unknown
    yield call("an unknown field, closed, in one row", f"{cook}/Many", message_of(reflected, "cook", [order()]) + row)
    yield call("an unknown field, open", f"{suggest}/One", message_of(reflected, "suggest", ride()) + unknown)
    for name in ("NaN", "Infinity", "-Infinity"):
        yield call(name, f"{cook}/One", message_of(reflected, "cook", order(spice=name)))
        yield call(f"{name} in one row", f"{cook}/Many", message_of(reflected, "cook", [order(), order(spice=name)]))
    yield call("a message too large", f"{cook}/One", b"", filler=4 * 1024 * 1024 + 1)
    yield call("no such method", f"{cook}/Two", good)
    yield call("no such service", "/funade.nothing.Api/One", good)
    token = [("authorization", "Bearer nothing")]
    yield call("a token that nobody needs", f"{cook}/One", good, metadata=token)
    yield call(
        "defaults, one field absent", f"{suggest}/One", message_of(reflected, "suggest", without(ride(), "demand"))
    )
