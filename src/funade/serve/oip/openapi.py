"""The Open Inference Protocol's paths for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from funade.contract.example import example
from funade.contract.field import Contract
from funade.contract.openapi import ASKED, Operation, Paths, operation, ref, response, timeout
from funade.serve.oip.model import EXTENSIONS
from funade.serve.oip.tensor import DATATYPES, datatype_of

_BYTES = "application/octet-stream"


def part(contracts: Mapping[str, Contract], release: int) -> Paths:
    """``/v2`` and below, for these apis by name."""
    paths: dict[str, dict[str, Operation]] = {
        "/v2": {"get": _get("v2", "The server, as the Open Inference Protocol names it.", "oip.Server")},
        "/v2/health/live": {"get": _get("v2.live", "Whether the server lives.", "oip.Live")},
        "/v2/health/ready": {"get": _get("v2.ready", "Whether the server answers.", "oip.Ready")},
    }
    name = _named("name", "An api's name.", [*contracts])
    examples = {api: {"summary": f"A row for {api}.", "value": _example(c)} for api, c in contracts.items()}
    for path, mark, parameters in (
        ("/v2/models/{name}", "", [name]),
        (
            "/v2/models/{name}/versions/{version}",
            ".version",
            [name, _named("version", "The release's number; no other is here.", [str(release)])],
        ),
    ):
        more = {"refused": [404], "parameters": parameters}
        paths[path] = {"get": _get(f"v2.model{mark}", "An api's tensors.", "oip.Model", **more)}
        paths[f"{path}/ready"] = {"get": _get(f"v2.model.ready{mark}", "Whether it answers.", "oip.ModelReady", **more)}
        paths[f"{path}/infer"] = {"post": _infer(f"v2.infer{mark}", parameters, examples)}
    return Paths(paths, _SCHEMAS)


def _get(id: str, summary: str, schema: str, **more: Any) -> Operation:
    return operation(id, summary, {200: response(summary, ref(schema))}, **more)


def _named(name: str, description: str, values: Sequence[str]) -> dict[str, Any]:
    schema = {"type": "string", "enum": list(values)}
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _example(contract: Contract) -> dict[str, Any]:
    row = example(contract.takes_fields)
    tensors = [
        {"name": f.name, "shape": [1], "datatype": datatype_of(f), "data": [row[f.name]]} for f in contract.takes_fields
    ]
    return {"inputs": tensors}


def _infer(id: str, parameters: list[dict[str, Any]], examples: dict[str, Any]) -> Operation:
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "How many bytes of the body are JSON; tensors' bytes follow them.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999_999},
    }
    good = response("Tensors, one value a row.", ref("oip.Answer"), answer=True)
    good["content"][_BYTES] = {"schema": {"type": "string", "format": "binary"}}
    good["headers"]["Inference-Header-Content-Length"] = {
        "description": "How many bytes of the body are JSON, where bytes follow.",
        "schema": {"type": "string"},
    }
    body = {
        "application/json": {"schema": ref("oip.Request"), "examples": examples},
        _BYTES: {"schema": {"type": "string", "format": "binary"}},
    }
    return operation(
        id,
        "Answers for rows given as tensors, one a field.",
        {200: good},
        refused=(*ASKED, 404),
        role="predict",
        parameters=[*parameters, timeout(), length],
        requestBody={"required": True, "content": body},
    )


def _object(required: Sequence[str] | None = None, **properties: dict[str, Any]) -> dict[str, Any]:
    names = list(properties) if required is None else list(required)
    return {"type": "object", "properties": properties, "required": names}


def _list(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


_TEXT: dict[str, Any] = {"type": "string"}
_TRUE: dict[str, Any] = {"type": "boolean", "const": True}
_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": ["boolean", "integer", "number", "string"]},
}
_DATATYPE: dict[str, Any] = {"type": "string", "enum": list(DATATYPES)}
_META = _object(name=_TEXT, datatype=_DATATYPE, shape=_list({"type": "integer", "const": -1}, minItems=1, maxItems=1))
_METAS = _list(ref("oip.Meta"))
_VALUE: dict[str, Any] = {"type": ["boolean", "number", "string", "null"]}
_VALUES = _list({"anyOf": [_VALUE, _list(_VALUE, minItems=1, maxItems=1)]})

_SCHEMAS: dict[str, dict[str, Any]] = {
    "oip.Server": _object(name=_TEXT, version=_TEXT, extensions=_list({"type": "string", "enum": list(EXTENSIONS)})),
    "oip.Live": _object(live=_TRUE),
    "oip.Ready": _object(ready=_TRUE),
    "oip.ModelReady": _object(name=_TEXT, ready=_TRUE),
    "oip.Model": _object(name=_TEXT, versions=_list(_TEXT), platform=_TEXT, inputs=_METAS, outputs=_METAS),
    "oip.Meta": _META,
    "oip.Request": _object(
        ["inputs"],
        id=_TEXT,
        parameters=_PARAMETERS,
        inputs=_list(ref("oip.Input"), minItems=1),
        outputs=_list(_object(["name"], name=_TEXT, parameters=_PARAMETERS)),
    ),
    "oip.Input": _object(
        ["name", "shape", "datatype"],
        name=_TEXT,
        shape=_list({"type": "integer", "minimum": 1}, minItems=1, maxItems=2),
        datatype=_DATATYPE,
        parameters=_PARAMETERS,
        data=_VALUES,
    ),
    "oip.Answer": _object(
        ["model_name", "model_version", "parameters", "outputs"],
        model_name=_TEXT,
        model_version=_TEXT,
        id=_TEXT,
        parameters={"type": "object", "additionalProperties": {"type": "string"}},
        outputs=_list(
            _object(
                ["name", "datatype", "shape"],
                name=_TEXT,
                datatype=_DATATYPE,
                shape=_list({"type": "integer"}, minItems=1, maxItems=1),
                parameters=_object(binary_data_size={"type": "integer", "minimum": 0}),
                data=_VALUES,
            )
        ),
    ),
}
