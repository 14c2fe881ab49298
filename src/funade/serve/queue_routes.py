"""The queue over HTTP: ``POST /v1/<api>/submit`` and ``GET /v1/queue/<id>``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from funade.serve.queue_front import LONGEST_S
from funade.serve.queue_shown import shown
from funade.serve.route import Asked, Route
from funade.store.queue_records import Kept, Receipt, Refused

if TYPE_CHECKING:
    from funade.serve.desk import Desk
    from funade.serve.exchange import Exchange
    from funade.serve.queue_door import QueueDoor

_WAIT = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)s?")


def routes(desk: Desk) -> list[Route]:
    """One route an api to submit to it, and one to look; none where there is no queue."""
    door = desk.later
    if door is None:
        return []

    def submit(api: str) -> Route:
        return Route(
            b"POST", f"/v1/{api}/submit", "submit", lambda asked, exchange: _submit(door, api, asked, exchange)
        )

    look = Route(b"GET", "/v1/queue/{id}", "submit", lambda asked, exchange: _look(door, asked, exchange))
    return [*map(submit, desk.queues), look]


def _submit(door: QueueDoor, api: str, asked: Asked, exchange: Exchange) -> None:
    kind = asked.headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if kind != b"application/json" or asked.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        exchange.refuse(415, "body expected plain JSON; send content-type: application/json, uncompressed")
        return
    key = asked.headers.get(b"idempotency-key", b"").decode("latin-1")
    callback = asked.headers.get(b"funade-callback", b"").decode("latin-1")

    def kept(said: Receipt | Refused) -> None:
        if exchange.done:
            return
        if isinstance(said, Refused):
            exchange.refuse(*said)
            return
        url = f"/v1/queue/{said.id}"
        body = msgspec.json.encode({"id": said.id, "state": said.state, "url": url})
        exchange.page(202, body, f"location: {url}\r\n")

    door.front.submit(api, asked.body, key, callback, kept)


def _look(door: QueueDoor, asked: Asked, exchange: Exchange) -> None:
    wait = asked.query.get("wait", "0")
    match = _WAIT.fullmatch(wait)
    if match is None or float(match[1]) > LONGEST_S:
        exchange.refuse(400, f"query `wait` expected seconds up to {LONGEST_S:g}s, as in ?wait=30s")
        return

    def told(found: Kept | Refused) -> None:
        if exchange.done:
            return
        if isinstance(found, Refused):
            exchange.refuse(*found)
        else:
            exchange.page(200, shown(found))

    door.front.look(asked.names["id"], float(match[1]), told, lambda: exchange.done)
