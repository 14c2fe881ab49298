"""The queue's paths for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from funade.contract.field import Contract
from funade.contract.openapi import Operation, Paths, Schema, operation, ref, request_body, response
from funade.queue.status import RequestStatus
from funade.store.queue_records import State


def part(contracts: Mapping[str, Contract]) -> Paths:
    """``/v1/<api>/submit`` of these apis by name, and ``/v1/queue/{id}``."""
    paths: dict[str, dict[str, Operation]] = {
        f"/v1/{api}/submit": {"post": _submit(api, contract)} for api, contract in contracts.items()
    }
    paths["/v1/queue/{id}"] = {"get": _look()}
    return Paths(paths, {"queue.Receipt": _RECEIPT, "queue.Request": _REQUEST})


def _submit(api: str, contract: Contract) -> Operation:
    receipt = response("It is kept, and will be answered.", ref("queue.Receipt"))
    receipt["headers"]["Location"] = {"description": "Where its answer will be.", "schema": _TEXT}
    return operation(
        f"{api}.submit",
        f"Leave a request for {api} in the queue.",
        {202: receipt},
        refused=(401, 409, 415, 422),
        role="submit",
        parameters=[
            _header("Idempotency-Key", "Of requests with one key one alone is kept: a repetition gets its receipt."),
            _header("Funade-Callback", "Where the answer is sent; the server's configuration allows it or not."),
        ],
        requestBody=request_body(api, contract),
    )


def _look() -> Operation:
    id = {"name": "id", "in": "path", "required": True, "description": "The receipt's `id`.", "schema": _TEXT}
    wait = {
        "name": "wait",
        "in": "query",
        "description": "Seconds to wait for the answer, at most 60.",
        "schema": {"type": "string", "pattern": r"^([0-5]?[0-9](\.[0-9]{1,3})?|60)s?$"},
    }
    return operation(
        "queue.look",
        "A request that was left in the queue, with its answer once there is one.",
        {200: response("What is known of it.", ref("queue.Request"))},
        refused=(401, 404),
        role="submit",
        parameters=[id, wait],
    )


_TEXT: Schema = {"type": "string"}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_STATE: Schema = {"type": "string", "enum": list(get_args(State))}


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": _TEXT}


_RECEIPT: Schema = {
    "type": "object",
    "properties": {"id": _TEXT, "state": _STATE, "url": _TEXT},
    "required": ["id", "state", "url"],
}
_REQUEST: Schema = {
    "type": "object",
    "properties": dict.fromkeys(RequestStatus.__struct_fields__, _TEXT)
    | {
        "state": _STATE,
        "attempts": {"type": "integer", "description": "How often it was tried."},
        "submitted_at": _MOMENT,
        "ended_at": _MOMENT,
        "release": {"type": "integer", "description": "The release that answered."},
        "answer": {"type": ["object", "array"], "description": "What `POST /v1/<api>` would have answered."},
        "error": {"type": "string", "description": "What came of the last attempt."},
        "callback": {"type": "string", "enum": ["waiting", "dead"]},
    },
    "required": ["id", "api", "state", "attempts"],
}
