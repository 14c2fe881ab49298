"""Clients on kept connections that note everything a server says, each beside the release it said it of."""

from __future__ import annotations

import itertools
import json
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import grpc
from grpc_reflection.v1alpha import reflection_pb2 as pb

from funade.serve.oip import grpc as oip_grpc
from support.client import Client, Response
from support.scripts.grpc_steady import OPTIONS

KEPT = (1.0, 99.0, 700.0, 1500.0, 2500.0)
"""Asked for again and again: a plain one, one that fails, and three that not all releases answer alike."""

PAGES = ("/readyz", "/v1/told", "/openapi.json", "/docs", "/v2/models/told", "/metrics")


class Seen(NamedTuple):
    """What was asked, what came, and its release; 0 where the answer has no place to say it."""

    what: str
    asked: Any
    got: Any
    release: int
    prediction: str = ""


class Asking(threading.Thread):
    """Asks by one door until it is told to stop; ``seen`` is in the order of asking.

    Args:
        rounds: yields what one connection sees; a row that was never asked for before comes with each round.
        port: where.
    """

    def __init__(self, rounds: Callable[[int, Iterator[float]], Iterator[Seen]], port: int) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.error: BaseException | None = None
        self.over = threading.Event()
        self._rounds = rounds(port, (index / 4096 + 2 for index in itertools.count()))

    def at(self, release: int) -> bool:
        """Whether that release spoke last."""
        assert self.error is None, repr(self.error)
        return next((one.release for one in reversed(self.seen) if one.release), 0) == release

    def run(self) -> None:
        """Ask."""
        try:
            for one in self._rounds:
                self.seen.append(one)
                if self.over.wait(0.004):
                    break
        except BaseException as error:
            self.error = error
        finally:
            self._rounds.close()  # type: ignore[attr-defined]

    def end(self) -> None:
        """Stop."""
        self.over.set()
        self.join()


@contextmanager
def asking(port: int, grpc_port: int) -> Iterator[list[Asking]]:
    """Two clients of each port, at it all the while."""
    found = [
        Asking(*by) for by in ((over_http, port), (over_http, port), (over_grpc, grpc_port), (over_grpc, grpc_port))
    ]
    try:
        for one in found:
            one.start()
        yield found
    finally:
        for one in found:
            one.end()


def over_http(port: int, fresh: Iterator[float]) -> Iterator[Seen]:
    """Rows alone and together, Open Inference rows, and every page, on one connection."""
    with Client(port) as client:
        for new in fresh:
            for x in (*KEPT, new):
                yield _http("one", x, client.ask({"x": x}, api="told"))
            yield _http("many", [new, 700.0, 99.0], client.ask([{"x": x} for x in (new, 700.0, 99.0)], api="told"))
            for x in (*KEPT, new):
                yield _http("oip", x, _infer(client, x))
            for path in PAGES:
                head = f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"
                yield _http("page", path, client.send(head.encode()).response())


def _http(what: str, asked: Any, got: Response) -> Seen:
    return Seen(what, asked, got, int(got.headers["funade-release"]), got.headers.get("funade-prediction", ""))


def _infer(client: Client, x: float) -> Response:
    body = json.dumps({"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [x]}]})
    head = f"POST /v2/models/told/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
    return client.send((head + body).encode()).response()


def over_grpc(port: int, fresh: Iterator[float]) -> Iterator[Seen]:
    """Rows, Open Inference rows, a model's description and reflection, on one channel."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        one, infer = channel.unary_unary("/funade.w4.told.Api/One"), _model(channel, "ModelInfer")
        described = _model(channel, "ModelMetadata")
        for new in fresh:
            for x in (*KEPT, new):
                yield _rpc("grpc", x, one, b"\x09" + struct.pack("<d", x))
                yield _rpc("grpc oip", x, infer, _tensor(x))
            yield Seen("described", "", described(_message("ModelMetadataRequest", name="told"), timeout=120), 0)
            yield _rpc("grpc", 1.0, one, b"\x09" + struct.pack("<d", 1.0))
            yield Seen("reflected", "", _reflected(channel), 0)
            yield _rpc("grpc", 1.0, one, b"\x09" + struct.pack("<d", 1.0))


def _rpc(what: str, asked: float, call: Any, request: Any) -> Seen:
    try:
        got, done = call.with_call(request, timeout=120)
    except grpc.RpcError as error:
        got, done = None, error
        if error.code() != grpc.StatusCode.INVALID_ARGUMENT:
            raise
    said = dict(done.trailing_metadata())
    return Seen(what, asked, got, int(said["funade-release"]), said.get("funade-prediction", ""))


def _message(kind: str, **given: Any) -> Any:
    return oip_grpc.MESSAGES[kind](**given)


def _model(channel: grpc.Channel, method: str) -> Any:
    return channel.unary_unary(
        f"/{oip_grpc.SERVICE}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=oip_grpc.MESSAGES[f"{method}Response"].FromString,
    )


def _tensor(x: float) -> Any:
    tensor = {"name": "x", "datatype": "FP64", "shape": [1], "contents": {"fp64_contents": [x]}}
    return _message("ModelInferRequest", model_name="told", inputs=[tensor])


def _reflected(channel: grpc.Channel) -> bytes:
    """The file of the api's service."""
    method = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=pb.ServerReflectionRequest.SerializeToString,
        response_deserializer=pb.ServerReflectionResponse.FromString,
    )
    request = pb.ServerReflectionRequest(file_containing_symbol="funade.w4.told.Api")
    (answer,) = method(iter([request]), timeout=120)
    file: bytes = answer.file_descriptor_response.file_descriptor_proto[0]
    return file
