"""Contracts as an OpenAPI 3.1 document, made from their data alone: no user code is needed."""

from __future__ import annotations

from typing import Any

from funade.declare.field import Contract, Field

_TYPES = {"bool": "boolean", "int": "integer", "float": "number"}
_FORMATS = {"datetime": "date-time", "date": "date", "int": "int64", "float": "double"}
_KEYWORDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf",
    "min_length": "minLength", "max_length": "maxLength", "pattern": "pattern",
}  # fmt: skip


def openapi(contracts: dict[str, Contract], *, title: str = "funade", version: str = "") -> dict[str, Any]:
    """The OpenAPI 3.1 document of apis by name: ``POST /v1/<api>`` answers, ``GET /v1/<api>`` gives the contract."""
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths: dict[str, Any] = {}
    for api, contract in contracts.items():
        takes = _schema(contract.takes_fields, contract.doc, answer=False, closed=contract.closed)
        gives = _schema(contract.gives_fields, contract.gives_doc, answer=True, closed=False)
        schemas |= {
            f"{api}.takes": takes | {"title": contract.takes},
            f"{api}.gives": gives | {"title": contract.gives},
        }
        paths[f"/v1/{api}"] = _path(api, contract)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {"schemas": schemas},
    }


_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "path": {"type": "string"}},
    "required": ["error"],
}


def _path(api: str, contract: Contract) -> dict[str, Any]:
    wait = {"Retry-After": {"schema": {"type": "integer"}}}
    responses = {
        "200": _response("One answer for one row; for an array, as many in its order.", _one_or_many(f"{api}.gives")),
        "422": _response("The request breaks the contract; `path` points at the value.", _ref("Error")),
        "503": _response("Not answered now; ask again after `Retry-After` seconds.", _ref("Error")) | {"headers": wait},
    }
    body = {"required": True, "content": _content(_one_or_many(f"{api}.takes"))}
    told = {"200": _response("The contract.", {"type": "object"})}
    return {
        "post": {"operationId": api, "summary": contract.doc, "requestBody": body, "responses": responses},
        "get": {"operationId": f"{api}.contract", "summary": f"The contract of {api}.", "responses": told},
    }


def _response(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": _content(schema)}


def _one_or_many(name: str) -> dict[str, Any]:
    return {"oneOf": [_ref(name), {"type": "array", "items": _ref(name)}]}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _schema(fields: tuple[Field, ...], doc: str, *, answer: bool, closed: bool) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {f.name: _property(f) for f in fields},
        "required": [f.name for f in fields if answer or f.required],
    }
    if doc:
        schema["description"] = doc
    return schema | {"additionalProperties": False} if closed else schema


def _property(field: Field) -> dict[str, Any]:
    kind = _TYPES.get(field.type, "string")
    found: dict[str, Any] = {"type": [kind, "null"] if field.nullable else kind}
    if field.type in _FORMATS and not field.values:
        found["format"] = _FORMATS[field.type]
    found |= {word: value for name, word in _KEYWORDS.items() if (value := getattr(field, name)) is not None}
    if field.values:
        found["enum"] = [*field.values, *([None] if field.nullable else [])]
    if not field.required:
        found["default"] = field.default
    if field.unit:
        found["x-unit"] = field.unit
    return found | ({"description": field.doc} if field.doc else {})
