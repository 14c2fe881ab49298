"""The queue over HTTP: ``POST /v1/<api>/submit`` and ``GET /v1/queue/<id>``."""

from __future__ import annotations

import re

import msgspec

from funade.queue.records import QueuedRequest, Receipt, Refusal
from funade.queue.shown import shown
from funade.serve.answer.runtime import Runtime
from funade.serve.http.exchange import Exchange
from funade.serve.http.routes import PageRequest, Route
from funade.serve.queue.door import QueueDoor
from funade.serve.queue.submit import LONGEST_S

_WAIT = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)s?")


def routes(runtime: Runtime) -> list[Route]:
    """One route an api to submit to it, and one to look; none where there is no queue."""
    door = runtime.later
    if door is None:
        return []

    def submit(api: str) -> Route:
        return Route(
            b"POST", f"/v1/{api}/submit", "submit", lambda asked, exchange: _submit(door, api, asked, exchange)
        )

    look = Route(b"GET", "/v1/queue/{id}", "submit", lambda asked, exchange: _look(door, asked, exchange))
    return [*map(submit, runtime.queues), look]


def _submit(door: QueueDoor, api: str, asked: PageRequest, exchange: Exchange) -> None:
    kind = asked.headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if kind != b"application/json" or asked.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        exchange.refuse(415, "body expected plain JSON; send content-type: application/json, uncompressed")
        return
    key = asked.headers.get(b"idempotency-key", b"").decode("latin-1")
    callback = asked.headers.get(b"funade-callback", b"").decode("latin-1")

    def kept(said: Receipt | Refusal) -> None:
        if exchange.done:
            return
        if isinstance(said, Refusal):
            exchange.refuse(*said)
            return
        url = f"/v1/queue/{said.id}"
        body = msgspec.json.encode({"id": said.id, "state": said.state, "url": url})
        exchange.page(202, body, f"location: {url}\r\n")

    door.front.submit(api, asked.body, key, callback, kept)


def _look(door: QueueDoor, asked: PageRequest, exchange: Exchange) -> None:
    wait = asked.query.get("wait", "0")
    match = _WAIT.fullmatch(wait)
    if match is None or float(match[1]) > LONGEST_S:
        exchange.refuse(400, f"query `wait` expected seconds up to {LONGEST_S:g}s, as in ?wait=30s")
        return

    def told(found: QueuedRequest | Refusal) -> None:
        if exchange.done:
            return
        if isinstance(found, Refusal):
            exchange.refuse(*found)
        else:
            exchange.page(200, shown(found))

    door.front.look(asked.names["id"], float(match[1]), told, lambda: exchange.done)
