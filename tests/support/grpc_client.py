"""The typed calls of the release whose apis have every type, over a gRPC channel."""

from __future__ import annotations

from typing import Any

import grpc

from funade.bind.api import BoundApi
from funade.contract import proto
from funade.serve.grpc.typed import messages
from support.release import TYPED, release

RELEASE = release(1, TYPED)
EVERYTHING, CLOSED = RELEASE.apis["everything"], RELEASE.apis["closed"]


def message(api: BoundApi, row: dict[str, Any]) -> Any:
    wire = RELEASE.wires[api.name]
    named = proto.names(api.contract.takes_fields, wire.takes)
    return messages(api.contract, wire)["Request"](**{named[k]: v for k, v in row.items() if v is not None})


def ask(channel: grpc.Channel, api: BoundApi, row: Any, method: str = "One", **more: Any) -> Any:
    wire = RELEASE.wires[api.name]
    answers = messages(api.contract, wire)["Answer"]
    call = channel.unary_unary(f"/{wire.package}.Api/{method}", response_deserializer=answers.FromString)
    body = row if isinstance(row, bytes) else message(api, row).SerializeToString()
    return call.with_call(body, **{"timeout": 120} | more)
