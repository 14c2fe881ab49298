"""The queue over HTTP: ``POST /v1/<api>/submit`` and ``GET /v1/queue/<id>``."""

from __future__ import annotations

import re
from functools import partial

import msgspec

from funade.queue.status import status_json
from funade.serve.answer.runtime import Runtime
from funade.serve.http.exchange import Exchange
from funade.serve.http.routes import PageRequest, Route
from funade.serve.metrics.meter import Meter
from funade.serve.queue.submit import LONGEST_S, SubmitRequest, Submitter
from funade.store.queue_records import QueuedRequest, Receipt, Refusal

_WAIT = re.compile(r"(\d{1,4}(?:\.\d{1,3})?)s?")


def routes(runtime: Runtime, submitter: Submitter | None) -> list[Route]:
    """One route an api to submit to it, and one to look; none where there is no queue."""
    if submitter is None:
        return []
    paths = QueuePaths(submitter, runtime.recorder.meter)
    submits = [Route(b"POST", f"/v1/{api}/submit", "submit", partial(paths.submit, api)) for api in runtime.queues]
    return [*submits, Route(b"GET", "/v1/queue/{id}", "submit", paths.look)]


class QueuePaths:
    """What stands under the queue's paths."""

    def __init__(self, submitter: Submitter, meter: Meter) -> None:
        self._submitter = submitter
        self._meter = meter

    def submit(self, api: str, page: PageRequest, exchange: Exchange) -> None:
        """Keep a request for an api."""
        kind = page.headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
        if kind != b"application/json" or page.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            what = "body expected plain JSON; send content-type: application/json, uncompressed"
            self._refuse(api, exchange, 415, what)
            return
        key = page.headers.get(b"idempotency-key", b"").decode("latin-1")
        callback = page.headers.get(b"funade-callback", b"").decode("latin-1")
        self._submitter.submit(api, page.body, key, callback, partial(_answer_kept, exchange))

    def look(self, page: PageRequest, exchange: Exchange) -> None:
        """Tell how a request stands."""
        match = _WAIT.fullmatch(page.query.get("wait", "0"))
        if match is None or float(match[1]) > LONGEST_S:
            what = f"query `wait` expected seconds up to {LONGEST_S:g}s, as in ?wait=30s"
            self._refuse("", exchange, 400, what)
            return
        then = partial(_answer_status, exchange)
        self._submitter.look(page.names["id"], float(match[1]), then, lambda: exchange.done)

    def _refuse(self, api: str, exchange: Exchange, status: int, error: str) -> None:
        self._meter.refused(api, status, SubmitRequest.door)
        exchange.refuse(status, error)


def _answer_kept(exchange: Exchange, receipt: Receipt | Refusal) -> None:
    if exchange.done:
        return
    if isinstance(receipt, Refusal):
        exchange.refuse(*receipt)
        return
    url = f"/v1/queue/{receipt.id}"
    body = msgspec.json.encode({"id": receipt.id, "state": receipt.state, "url": url})
    exchange.page(202, body, f"location: {url}\r\n")


def _answer_status(exchange: Exchange, request: QueuedRequest | Refusal) -> None:
    if exchange.done:
        return
    if isinstance(request, Refusal):
        exchange.refuse(*request)
    else:
        exchange.page(200, status_json(request))
