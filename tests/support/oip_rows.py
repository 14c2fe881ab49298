"""Rows asked for by the Open Inference Protocol, with nothing but its own words."""

from __future__ import annotations

import json
from itertools import groupby
from typing import Any

import grpc

from funade.contract.field import Contract
from funade.serve.oip.grpc import MESSAGES
from funade.serve.oip.tensor import datatype_of
from support.client import Client

Row = dict[str, Any]
Tensor = dict[str, Any]


def over_http(api: str, contract: Contract, rows: list[Row], port: int) -> list[Row]:
    """Answers over HTTP, tensors as JSON."""
    found: list[Row] = [{}] * len(rows)
    with Client(port) as client:
        for places, tensors in _requests(contract, rows):
            body = json.dumps({"inputs": tensors}).encode()
            head = f"POST /v2/models/{api}/infer HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
            response = client.send(head.encode() + body).response()
            assert response.status == 200, response.body
            outputs = {o["name"]: o["data"] for o in response.json["outputs"]}
            _fill(found, places, contract, outputs)
    return found


def over_grpc(api: str, contract: Contract, rows: list[Row], port: int) -> list[Row]:
    """Answers over gRPC, tensors as typed contents."""
    found: list[Row] = [{}] * len(rows)
    types = MESSAGES
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=types["ModelInferResponse"].FromString,
        )
        for places, tensors in _requests(contract, rows):
            inputs = [_typed(tensor) for tensor in tensors]
            answer = ask(types["ModelInferRequest"](model_name=api, inputs=inputs), timeout=120)
            _fill(found, places, contract, {o.name: _values(o) for o in answer.outputs})
    return found


def _requests(contract: Contract, rows: list[Row]) -> list[tuple[list[int], list[Tensor]]]:
    """Rows that leave out the same fields together, with their places."""
    order = sorted(range(len(rows)), key=lambda i: sorted(rows[i]))
    found = []
    for _, group in groupby(order, key=lambda i: sorted(rows[i])):
        places = list(group)
        found.append((places, _tensors(contract, [rows[i] for i in places])))
    return found


def _tensors(contract: Contract, rows: list[Row]) -> list[Tensor]:
    found: list[Tensor] = []
    for field in contract.takes_fields:
        if field.name not in rows[0]:
            continue
        values = [row[field.name] for row in rows]
        blank = {"BOOL": False, "INT64": 0, "FP64": 0.0, "BYTES": ""}[datatype_of(field)]
        filled = [blank if v is None else v for v in values]
        found.append({"name": field.name, "datatype": datatype_of(field), "shape": [len(rows)], "data": filled})
        if None in values:
            missing = [v is None for v in values]
            found.append({"name": f"{field.name}.missing", "datatype": "BOOL", "shape": [len(rows)], "data": missing})
    return found


_CONTENTS = {"BOOL": "bool_contents", "INT64": "int64_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents"}


def _typed(tensor: Tensor) -> dict[str, Any]:
    values = [v.encode() if isinstance(v, str) else v for v in tensor["data"]]
    told = {key: tensor[key] for key in ("name", "datatype", "shape")}
    return told | {"contents": {_CONTENTS[tensor["datatype"]]: values}}


def _values(output: Any) -> list[Any]:
    values = list(getattr(output.contents, _CONTENTS[output.datatype]))
    return [v.decode() if isinstance(v, bytes) else None if v != v else v for v in values]


def _fill(found: list[Row], places: list[int], contract: Contract, outputs: dict[str, list[Any]]) -> None:
    for index, place in enumerate(places):
        found[place] = {
            f.name: None if outputs.get(f"{f.name}.missing", [False] * len(places))[index] else outputs[f.name][index]
            for f in contract.gives_fields
        }
