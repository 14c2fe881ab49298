"""Rows submitted to the queue of a server, and their answers once they are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import grpc
import msgspec

from funade.serve.queue import grpc as queue_rpc
from support.queue_client import later
from support.server import Running

Row = dict[str, Any]

_TOGETHER = 50


def over_http(api: str, rows: list[Row], server: Running, folder: Path) -> list[Row]:
    """Each row a request; ``folder`` holds the token."""
    asking = later(server, folder)
    with asking.client as client:
        ids: list[str] = []
        for some in _some(rows):
            client.send(b"".join(asking.asking(msgspec.json.encode(row), api=api) for row in some))
            for _ in some:
                accepted = client.response()
                assert accepted.status == 202, accepted.body
                ids.append(accepted.json["id"])
        found = [asking.ended(id) for id in ids]
    assert {(one["state"], one["attempts"]) for one in found} == {("done", 1)}
    return [one["answer"] for one in found]


def over_grpc(api: str, rows: list[Row], server: Running, folder: Path) -> list[Row]:
    """Fifty rows a request."""
    made = queue_rpc.MESSAGES
    metadata = (("authorization", f"Bearer {(folder / 'token').read_text()}"),)
    with grpc.insecure_channel(f"127.0.0.1:{server.settings.grpc_port}") as channel:

        def call(method: str, request: Any) -> Any:
            reply = made[f"{method}Reply"].FromString
            path = f"/{queue_rpc.SERVICE}/{method}"
            ask = channel.unary_unary(
                path, request_serializer=type(request).SerializeToString, response_deserializer=reply
            )
            return ask(request, timeout=120, metadata=metadata)

        def submit(some: list[Row]) -> str:
            id: str = call("Submit", made["SubmitRequest"](api=api, body=msgspec.json.encode(some))).id
            return id

        ids = [submit(some) for some in _some(rows)]
        found = [call("Look", made["LookRequest"](id=id, wait_seconds=20)) for id in ids]
    assert {(one.state, one.attempts) for one in found} == {("done", 1)}
    return [row for one in found for row in json.loads(one.answer)]


def _some(rows: list[Row]) -> list[list[Row]]:
    return [rows[start : start + _TOGETHER] for start in range(0, len(rows), _TOGETHER)]
