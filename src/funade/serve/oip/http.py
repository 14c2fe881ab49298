"""The Open Inference Protocol's paths: ``/v2``, ``/v2/health/…`` and ``/v2/models/…``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from funade.bind.api import BoundApi
from funade.serve.answer.admit import admit
from funade.serve.answer.recorder import Recorder
from funade.serve.answer.request import PLAIN, ApiAnswers, Notes
from funade.serve.answer.runtime import Runtime
from funade.serve.http.exchange import Exchange
from funade.serve.http.routes import PageRequest, Role, Route, page
from funade.serve.oip import json as oip_json
from funade.serve.oip.json import JsonInference, OutputBody
from funade.serve.oip.model import SERVER, Model, models, parameters, unknown_model

_CONTENT = (b"application/json", b"application/octet-stream")
_LENGTH = b"inference-header-content-length"


class HttpInfer:
    """One inference asked for over HTTP, which answers its exchange."""

    __slots__ = ("_exchange", "_inference", "_model", "_recorder", "rows", "since", "within_s")
    door = "oip"
    single = False

    def __init__(self, exchange: Exchange, model: Model, recorder: Recorder) -> None:
        self._exchange = exchange
        self._model = model
        self._recorder = recorder
        self._inference: JsonInference
        self.rows: list[Any] = []
        self.within_s: float | None = None
        self.since = exchange.since

    @property
    def done(self) -> bool:
        """Whether it is answered, or nobody waits any more."""
        return self._exchange.done

    @property
    def timer(self) -> asyncio.TimerHandle | None:
        """What answers when its time is over."""
        return self._exchange.timer

    @timer.setter
    def timer(self, value: asyncio.TimerHandle | None) -> None:
        self._exchange.timer = value

    def read(self, api: BoundApi, message: PageRequest) -> None:
        """The rows of a body of tensors, the outputs that it wants, and the seconds that it may take."""
        self._inference = oip_json.read(self._model, message.body, message.headers.get(_LENGTH), message.within_s)
        self.rows = self._model.rows(self._inference.tensors)
        self.within_s = self._inference.within_s

    def write(self, answers: ApiAnswers, start: int, stop: int) -> OutputBody:
        """The rows as tensors."""
        columns = self._model.answered(answers.columns, start, stop, self._inference.names)
        return oip_json.write(columns, self._inference.binary)

    def answer(self, body: OutputBody, number: int, notes: Notes = PLAIN) -> None:
        """Respond with tensors; what is said besides them stands in headers and in ``parameters``."""
        texts = parameters(self._recorder.prediction(number), self._model.version, notes)
        head = oip_json.response(self._model, self._inference.id, texts, body.outputs)
        extra = self._exchange.headers(number, notes)
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
    paths = ModelPaths(runtime)
    pages = [
        page("/v2", msgspec.json.encode(SERVER)),
        page("/v2/health/live", b'{"live":true}'),
        page("/v2/health/ready", b'{"ready":true}'),
    ]
    return pages + [
        route
        for path in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
        for route in (
            paths.route(b"GET", path, "open", paths.metadata),
            paths.route(b"GET", f"{path}/ready", "open", paths.ready),
            paths.route(b"POST", f"{path}/infer", "predict", paths.infer),
        )
    ]


Respond = Callable[[str, PageRequest, Exchange], None]
"""Answers what is asked of the model of that name."""


class ModelPaths:
    """What stands under a model's paths."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._models = models(runtime)
        self._metadata = {name: oip_json.metadata(model) for name, model in self._models.items()}
        self._ready = {name: msgspec.json.encode({"name": name, "ready": True}) for name in self._models}

    def route(self, method: bytes, path: str, role: Role, respond: Respond) -> Route:
        """A route of a model, refused with 404 where there is no such model or version."""

        def respond_known(asked: PageRequest, exchange: Exchange) -> None:
            name = asked.names["name"]
            unknown = unknown_model(self._models, name, asked.names.get("version", ""))
            if unknown:
                self._runtime.recorder.meter.refused("", 404, HttpInfer.door)
                exchange.refuse(404, unknown)
            else:
                respond(name, asked, exchange)

        return Route(method, path, role, respond_known)

    def metadata(self, name: str, asked: PageRequest, exchange: Exchange) -> None:
        """Answer with a model's name, versions and tensors."""
        exchange.page(200, self._metadata[name])

    def ready(self, name: str, asked: PageRequest, exchange: Exchange) -> None:
        """Answer that a model is ready."""
        exchange.page(200, self._ready[name])

    def infer(self, name: str, asked: PageRequest, exchange: Exchange) -> None:
        """Have a model answer."""
        request = HttpInfer(exchange, self._models[name], self._runtime.recorder)
        wrong = _wrong_content(asked)
        if wrong:
            self._runtime.recorder.refuse(name, request, 415, wrong)
        else:
            admit(self._runtime, name, request, asked)


def _wrong_content(asked: PageRequest) -> str:
    kind = asked.headers.get(b"content-type", _CONTENT[0]).partition(b";")[0].strip().lower()
    if kind not in _CONTENT:
        shown = kind.decode("latin-1")[:60]
        return f"content-type expected application/json or application/octet-stream, got {shown}"
    if asked.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        return "content-encoding expected none; send the body uncompressed"
    return ""
