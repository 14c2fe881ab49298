"""What is asked by the Open Inference Protocol, over HTTP as JSON and as bytes, and over gRPC."""

# ruff: noqa: E501  (a case a line)

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from typing import Any

from serve.recorded.ask_grpc import call
from serve.recorded.ask_http import http, request
from serve.recorded.rows import REFUSED, SAID, Row, order, ride, zoned
from support.exchanges import GrpcExchange, HttpExchange
from support.reflected import Reflected

Tensor = dict[str, Any]
SERVICE = "inference.GRPCInferenceService"
_KINDS = {bool: ("BOOL", False), int: ("INT64", 0), float: ("FP64", 0.0), str: ("BYTES", "")}
_CONTENTS = {"BOOL": "boolContents", "INT64": "int64Contents", "FP64": "fp64Contents", "BYTES": "bytesContents"}
_PACKED = {"BOOL": "?", "INT64": "q", "FP64": "d"}


def tensors(rows: list[Row]) -> list[Tensor]:
    """Rows as tensors; a field that some row leaves out is left out of all."""
    made: list[Tensor] = []
    for name in [name for name in rows[0] if all(name in row for row in rows)]:
        values = [row[name] for row in rows]
        kind = next((type(value) for value in values if value is not None), str)
        datatype, blank = ("FP64", 0.0) if name == "km" else ("INT64", 0) if name == "seats" else _KINDS[kind]
        datatype, blank = ("BOOL", False) if name == "wet" else (datatype, blank)
        filled = [blank if value is None else value for value in values]
        made.append({"name": name, "shape": [len(rows)], "datatype": datatype, "data": filled})
        if None in values:
            missing = [value is None for value in values]
            made.append({"name": f"{name}.missing", "shape": [len(rows)], "datatype": "BOOL", "data": missing})
    return made


def packed(tensor: Tensor) -> bytes:
    """A tensor's values as bytes."""
    if tensor["datatype"] == "BYTES":
        texts = [str(value).encode() for value in tensor["data"]]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return struct.pack(f"<{len(tensor['data'])}{_PACKED[tensor['datatype']]}", *tensor["data"])


def infer(name: str, model: str, body: Any, **headers: str) -> HttpExchange:
    return http(name, request(f"POST /v2/models/{model}/infer", body, **headers))


def binary(name: str, model: str, inputs: list[Tensor], raws: list[bytes], **more: Any) -> HttpExchange:
    """An inference whose tensors are bytes behind the JSON."""
    bare = [{key: tensor[key] for key in ("name", "shape", "datatype")} for tensor in inputs]
    for tensor, raw in zip(bare, raws, strict=True):
        tensor["parameters"] = {"binary_data_size": len(raw)}
    head = json.dumps({"inputs": bare} | more).encode()
    length = {"inference-header-content-length": str(len(head)), "content_type": "application/octet-stream"}
    return infer(name, model, head + b"".join(raws), **length)


def over_http() -> Iterator[HttpExchange]:
    yield from _pages()
    for name, (api, value) in SAID.items():
        if value:
            rows = value if isinstance(value, list) else [value]
            yield infer(name, api, {"inputs": tensors(rows)})
            if name not in REFUSED and all(value is not None for row in rows for value in row.values()):
                inputs = tensors(rows)
                asked = {"binary_data_output": True}
                yield binary(f"{name}, as bytes", api, inputs, [packed(tensor) for tensor in inputs], parameters=asked)
    good = tensors([order()])
    for name, changed in WRONG.items():
        yield infer(name, "cook", changed)
    for name, (tensor, raw) in RAW.items():
        inputs = [tensor, *good[1:]]
        yield binary(name, "cook", inputs, [raw, *map(packed, good[1:])])
    yield infer("an id and one output", "cook", {"id": "seven", "inputs": good, "outputs": [{"name": "by"}]})
    mixed = {"outputs": [{"name": "by"}, {"name": "minutes", "parameters": {"binary_data": True}}]}
    yield infer("one output as bytes", "cook", {"inputs": good} | mixed)
    yield infer("a version", "cook/versions/1", {"inputs": good})
    yield infer("another version", "cook/versions/9", {"inputs": good})
    yield infer("an unknown model", "cok", {"inputs": good})
    yield infer("another content type", "cook", {"inputs": good}, content_type="text/plain")
    yield infer("compressed", "cook", {"inputs": good}, content_encoding="gzip")
    yield infer("a length that is none", "cook", {"inputs": good}, inference_header_content_length="x")
    yield infer("a length too long", "cook", {"inputs": good}, inference_header_content_length="99999")
    yield infer("a length too short", "cook", {"inputs": good}, inference_header_content_length="10")
    yield infer("a timeout of no time", "cook", {"inputs": good, "parameters": {"timeout": 0}})
    yield infer("late at once", "suggest", {"inputs": tensors([ride()])}, funade_timeout_ms="0")
    yield infer("late at once, no fallback", "alone", {"inputs": tensors([ride()])}, funade_timeout_ms="0")
    late = {"inputs": tensors([ride(zone="gate oip")]), "parameters": {"timeout": 50_000}}
    yield http("late while it works", request("POST /v2/models/suggest/infer", late), gate="gate oip")
    yield http("a body too large", request("POST /v2/models/cook/infer", b"", content_length="4194305"))


def _pages() -> Iterator[HttpExchange]:
    model = "/v2/models/suggest"
    for path in (
        "/v2", "/v2/health/live", "/v2/health/ready", model, f"{model}/ready", f"{model}/versions/1", f"{model}/versions/1/ready",
        f"{model}/versions/2", f"{model}/versions/2/ready", "/v2/models/sugest", "/v2/models/sugest/ready", "/v2/models",
        "/v2/models/everything", f"{model}/infer", "/v2/models/a%20b",
    ):  # fmt: skip
        yield http(f"GET {path}", request(f"GET {path}"))
    yield http("HEAD of a model", request(f"HEAD {model}"), head=True)


_GOOD = tensors([order()])


def _first(**changed: Any) -> Any:
    return {"inputs": [_GOOD[0] | changed, *_GOOD[1:]]}


# Name → body: what a request's JSON can say wrong.
WRONG: dict[str, Any] = {
    "no JSON": b"inputs",
    "a truncated body": b'{"inputs": [',
    "no object": b"[]",
    "no inputs": {},
    "no tensors": {"inputs": []},
    "a number for a tensor": {"inputs": [1]},
    "no shape": {"inputs": [{"name": "dishes", "datatype": "INT64"}]},
    "a negative shape": _first(shape=[-1]),
    "no axis": _first(shape=[]),
    "a wide shape": _first(shape=[1, 2]),
    "a column": _first(shape=[1, 1], data=[[2]]),
    "a huge shape": _first(shape=[2**62]),
    "more than its data": _first(shape=[9]),
    "no data": {"inputs": [{"name": "dishes", "shape": [1], "datatype": "INT64"}]},
    "another datatype": _first(datatype="FP64"),
    "no datatype": _first(datatype="COMPLEX"),
    "a fraction": _first(data=[1.5]),
    "beyond its datatype": _first(datatype="INT8", data=[128]),
    "null": _first(data=[None]),
    "a tensor twice": {"inputs": [*_GOOD, _GOOD[0]]},
    "an unknown tensor": {"inputs": [*_GOOD, _GOOD[0] | {"name": "dish"}]},
    "lengths that differ": _first(shape=[2], data=[2, 2]),
    "an unknown output": {"inputs": _GOOD, "outputs": [{"name": "eta"}]},
    "an output twice": {"inputs": _GOOD, "outputs": [{"name": "by"}, {"name": "by"}]},
    "shared memory": _first(parameters={"shared_memory_region": "r"}),
    "a parameter that is none": _first(parameters={"a": {}}),
    "bytes without a length": _first(parameters={"binary_data_size": 8}),
    "a timeout that is none": {"inputs": _GOOD, "parameters": {"timeout": "soon"}},
    "no rows": {"inputs": [tensor | {"shape": [0], "data": []} for tensor in _GOOD]},
}  # fmt: skip

# Name → (tensor, bytes): what bytes behind the JSON can say wrong, and small whole numbers that are right.
RAW: dict[str, tuple[Tensor, bytes]] = {
    "bytes of a small number": ({"name": "dishes", "shape": [1], "datatype": "UINT8"}, b"\x02"),
    "too few bytes": ({"name": "dishes", "shape": [1], "datatype": "INT64"}, b"\x02\0\0\0"),
    "too many bytes": ({"name": "dishes", "shape": [1], "datatype": "INT64"}, b"\x02" + b"\0" * 11),
    "no bytes": ({"name": "dishes", "shape": [1], "datatype": "INT64"}, b""),
}


def over_grpc(reflected: Reflected) -> Iterator[GrpcExchange]:
    def asked(title: str, method: str, /, **values: Any) -> GrpcExchange:
        return call(title, f"/{SERVICE}/{method}", reflected.message(f"inference.{method}Request", values))

    for method in ("ServerLive", "ServerReady", "ServerMetadata"):
        yield asked(method, method)
    for name in ("suggest", "everything", "sugest", ""):
        for version in ("", "1", "9"):
            yield asked(f"ModelReady `{name}` `{version}`", "ModelReady", name=name, version=version)
            yield asked(f"ModelMetadata `{name}` `{version}`", "ModelMetadata", name=name, version=version)
    for name, (api, value) in SAID.items():
        if value:
            inputs = tensors(value if isinstance(value, list) else [value])
            yield asked(name, "ModelInfer", model_name=api, inputs=[_typed(tensor) for tensor in inputs])
    for name, values in _messages().items():
        yield asked(name, "ModelInfer", **values)
    yield call("no message", f"/{SERVICE}/ModelInfer", b"\xff")
    yield call("no method", f"/{SERVICE}/ModelStream", b"")


def _typed(tensor: Tensor) -> Tensor:
    values = tensor["data"]
    if tensor["datatype"] == "BYTES":
        values = [_base64(str(value).encode()) for value in values]
    if tensor["datatype"] == "INT64":
        values = [str(value) for value in values]
    return _bare(tensor) | {"contents": {_CONTENTS[tensor["datatype"]]: values}}


def _bare(tensor: Tensor) -> Tensor:
    return {key: tensor[key] for key in ("name", "datatype", "shape")}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _messages() -> dict[str, Any]:
    typed = [_typed(tensor) for tensor in _GOOD]
    bare, raws = [_bare(tensor) for tensor in _GOOD], [_base64(packed(tensor)) for tensor in _GOOD]
    rides = tensors(zoned("centre", "airside", "raise"))
    return {
        "bytes": {"model_name": "cook", "inputs": bare, "raw_input_contents": raws},
        "bytes of rides": {
            "model_name": "suggest",
            "inputs": [_bare(tensor) for tensor in rides],
            "raw_input_contents": [_base64(packed(tensor)) for tensor in rides],
        },
        "an id and one output": {"model_name": "cook", "id": "seven", "inputs": typed, "outputs": [{"name": "by"}]},
        "one output, bytes": {"model_name": "cook", "inputs": bare, "raw_input_contents": raws, "outputs": [{"name": "by"}]},
        "its version": {"model_name": "cook", "model_version": "1", "inputs": typed},
        "another version": {"model_name": "cook", "model_version": "9", "inputs": typed},
        "an unknown model": {"model_name": "cok", "inputs": typed},
        "no tensors": {"model_name": "cook"},
        "too few bytes": {"model_name": "cook", "inputs": bare, "raw_input_contents": raws[:1]},
        "a tensor too short": {"model_name": "cook", "inputs": bare, "raw_input_contents": [_base64(b"1"), *raws[1:]]},
        "contents and bytes": {"model_name": "cook", "inputs": typed, "raw_input_contents": raws},
        "contents of another kind": {"model_name": "cook", "inputs": [bare[0] | {"contents": {"fp64Contents": [2.0]}}, *typed[1:]]},
        "another datatype": {"model_name": "cook", "inputs": [typed[0] | {"datatype": "FP64"}, *typed[1:]]},
        "an unknown tensor": {"model_name": "cook", "inputs": [*typed, typed[0] | {"name": "dish"}]},
        "a tensor twice": {"model_name": "cook", "inputs": [*typed, typed[0]]},
        "an unknown output": {"model_name": "cook", "inputs": typed, "outputs": [{"name": "eta"}]},
        "shared memory": {"model_name": "cook", "inputs": [typed[0] | {"parameters": {"shared_memory_region": {"stringParam": "r"}}}]},
        "a timeout of no time": {"model_name": "cook", "inputs": typed, "parameters": {"timeout": {"int64Param": "0"}}},
        "a timeout that is none": {"model_name": "cook", "inputs": typed, "parameters": {"timeout": {"stringParam": "soon"}}},
    }  # fmt: skip
