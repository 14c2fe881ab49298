"""The Open Inference Protocol's paths: ``/v2``, ``/v2/health/…`` and ``/v2/models/…``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from funade.errors import ContractViolation
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.serve.answer.runtime import Runtime
from funade.serve.http.exchange import Exchange
from funade.serve.http.routes import PageRequest, Role, Route
from funade.serve.oip import json as oip_json
from funade.serve.oip.json import JsonInference, OutputBody
from funade.serve.oip.model import EXTENSIONS, NAME, Model, models, parameters, unknown_model, version

_CONTENT = (b"application/json", b"application/octet-stream")
_LENGTH = b"inference-header-content-length"


class HttpInfer:
    """One inference asked for over HTTP: an ``Ask`` that answers its exchange."""

    __slots__ = ("_asked", "_exchange", "_mark", "_model", "rows")
    door = "oip"
    single = False

    def __init__(self, exchange: Exchange, model: Model, asked: JsonInference, rows: list[Any], mark: str) -> None:
        self._exchange = exchange
        self._model = model
        self._asked = asked
        self._mark = mark
        self.rows = rows

    @property
    def done(self) -> bool:
        """Whether it is answered, or nobody waits any more."""
        return self._exchange.done

    @done.setter
    def done(self, value: bool) -> None:
        self._exchange.done = value

    @property
    def timer(self) -> asyncio.TimerHandle | None:
        """What answers when its time is over."""
        return self._exchange.timer

    @timer.setter
    def timer(self, value: asyncio.TimerHandle | None) -> None:
        self._exchange.timer = value

    @property
    def since(self) -> float:
        """When it came."""
        return self._exchange.since

    @since.setter
    def since(self, value: float) -> None:
        self._exchange.since = value

    def write(self, answers: ApiAnswers, start: int, stop: int) -> OutputBody:
        """The rows as tensors."""
        columns = self._model.answered(answers.columns, start, stop, self._asked.names)
        return oip_json.write(columns, self._asked.binary)

    def answer(self, body: OutputBody, number: int, said: Notes = PLAIN) -> None:
        """Respond with tensors; what is said besides them stands in headers and in ``parameters``."""
        told = parameters(f"{self._mark}-{number:x}", self._model.version, said)
        head = oip_json.response(self._model, self._asked.id, told, body.outputs)
        extra = self._exchange.headers(number, said)
        if body.binary is None:
            self._exchange.page(200, head, extra)
            return
        extra += f"inference-header-content-length: {len(head)}\r\n"
        self._exchange.page(200, head + body.binary, extra, "application/octet-stream")

    def refuse(self, status: int, error: str, path: str = "") -> None:
        """Respond with an error."""
        self._exchange.refuse(status, error, path)


def routes(runtime: Runtime) -> list[Route]:
    """The protocol's routes."""
    known = models(runtime)
    server = msgspec.json.encode({"name": NAME, "version": version(), "extensions": EXTENSIONS})
    found = [
        _page("/v2", server),
        _page("/v2/health/live", b'{"live":true}'),
        _page("/v2/health/ready", b'{"ready":true}'),
    ]
    told = {name: oip_json.metadata(model) for name, model in known.items()}
    ready = {name: msgspec.json.encode({"name": name, "ready": True}) for name in known}
    for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        found.append(_of_model(known, b"GET", path, "open", lambda name, _, exchange: exchange.page(200, told[name])))
        found.append(
            _of_model(known, b"GET", f"{path}/ready", "open", lambda name, _, exchange: exchange.page(200, ready[name]))
        )
        found.append(_of_model(known, b"POST", f"{path}/infer", "predict", partial(_infer, runtime, known)))
    return found


def _page(path: str, body: bytes) -> Route:
    return Route(b"GET", path, "open", lambda _, exchange: exchange.page(200, body))


Respond = Callable[[str, PageRequest, "Exchange"], None]


def _of_model(known: dict[str, Model], method: bytes, path: str, role: Role, respond: Respond) -> Route:
    """A route of a model, refused with 404 where there is no such model or version."""

    def one(asked: PageRequest, exchange: Exchange) -> None:
        name = asked.names["name"]
        why = unknown_model(known, name, asked.names.get("version", ""))
        if why:
            exchange.refuse(404, why)
        else:
            respond(name, asked, exchange)

    return Route(method, path, role, one)


def _infer(runtime: Runtime, known: dict[str, Model], name: str, asked: PageRequest, exchange: Exchange) -> None:
    wrong = _wrong_content(asked)
    if wrong:
        _refused(runtime, name, exchange, 415, wrong)
        return
    model = known[name]
    try:
        inference = oip_json.read(model, asked.body, asked.headers.get(_LENGTH), asked.within_s)
        rows = model.rows(inference.tensors)
    except ContractViolation as error:
        _refused(runtime, name, exchange, 422, error.what, str(error.facts.get("path", "$")))
        return
    runtime.queues[name].add(HttpInfer(exchange, model, inference, rows, runtime.mark), inference.within_s)


def _refused(runtime: Runtime, name: str, exchange: Exchange, status: int, error: str, path: str = "") -> None:
    runtime.meter.refused(name, status, "oip")
    exchange.refuse(status, error, path)


def _wrong_content(asked: PageRequest) -> str:
    kind = asked.headers.get(b"content-type", _CONTENT[0]).partition(b";")[0].strip().lower()
    if kind not in _CONTENT:
        shown = kind.decode("latin-1")[:60]
        return f"content-type expected application/json or application/octet-stream, got {shown}"
    if asked.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return "content-encoding expected none; send the body uncompressed"
    return ""
