"""What a server answers over HTTP as an OpenAPI 3.1 document, made from data alone: no user code is needed.

The document is put together of parts: one for the apis' contracts, one for each module that has paths of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from funade.contract.example import example
from funade.contract.field import MOST_ROWS, Contract, Field, exact
from funade.contract.wire import ascii_name

Schema = dict[str, Any]
Operation = dict[str, Any]


class Paths(NamedTuple):
    """Paths (path → method → operation) with the schemas, by name, that they refer to."""

    paths: Mapping[str, Mapping[str, Operation]]
    schemas: Mapping[str, Schema] = {}


def openapi(contracts: Mapping[str, Contract], *, version: str = "", parts: Iterable[Paths] = ()) -> dict[str, Any]:
    """The document of what a server answers: ``POST`` and ``GET /v1/<api>`` for each contract, and other ``parts``."""
    sections = [_apis(contracts), *parts]
    return {
        "openapi": "3.1.0",
        "info": {"title": "funade", "version": version},
        "paths": {path: dict(item) for part in sections for path, item in part.paths.items()},
        "components": {
            "schemas": {"Error": _ERROR} | {name: schema for part in sections for name, schema in part.schemas.items()},
            "responses": {str(status): _refusal(status) for status in ERRORS},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


# -- what operations are made of


ERRORS: Mapping[int, str] = {
    400: "No request that can be read as HTTP/1.1, or a header that stands twice or has no such value.",
    401: "The server asks for a token, and got none that holds.",
    403: "The token may not do this, or a web page of another origin asks.",
    404: "There is nothing of that name here.",
    408: "The request was sent too slowly.",
    409: "It contradicts what is there.",
    413: "The body is too large.",
    415: "The body is of a type, or compressed in a way, that is not read here.",
    417: "`expect` asks for something else than 100-continue.",
    421: "The server does not answer for the host that the request names.",
    422: "The request breaks the contract; `path` points at the value.",
    431: "The head is too large.",
    500: "The function failed and there is no fallback; the server's log says why.",
    501: "A method or transfer coding that is not known.",
    503: "Not answered now; ask again after `Retry-After` seconds.",
    504: "Not answered within the time that the request allowed, and there is no fallback.",
    505: "Another protocol than HTTP/1.1 or 1.0.",
}
"""Status → what it means wherever it is said."""

ALWAYS = (400, 403, 408, 413, 417, 421, 431, 500, 501, 503, 505)
"""What any request may be answered with."""

ASKED = (401, 415, 422, 504)
"""What a request for answers may be answered with besides."""

RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}

ANSWER_HEADERS = {
    "funade-release": "The number of the release that answered.",
    "funade-arm": "The arm of an experiment; `current` without one.",
    "funade-prediction": "The id of this answer; of an array's row i it is followed by `.i`.",
    "funade-fallback": "The fallback answered, why, and for which rows: `error; rows=3 17`.",
    "funade-guard": "A guard changed the answer: `eta clamped; rows=2`.",
    "funade-defaults": "A declared default stood for a missing value: `rides_30d; rows=0 4`.",
}
"""Header → what an answer says in it. The last three stand only where there is something to say."""


def operation(
    id: str,
    summary: str,
    good: Mapping[int, dict[str, Any]],
    *,
    refused: Sequence[int] = (),
    role: Literal["open", "predict", "submit", "operate"] = "open",
    **more: Any,
) -> Operation:
    """One method of a path: status → response where all is well, and the errors besides those of any request.

    ``role`` is what its token must be able to do; ``more`` is OpenAPI's own, such as ``requestBody``.
    """
    wrong = {status: {"$ref": f"#/components/responses/{status}"} for status in (*ALWAYS, *refused)}
    responses = {str(status): item for status, item in sorted((wrong | dict(good)).items())}
    described: Operation = {"operationId": id, "summary": summary, **more, "responses": responses}
    if role != "open":
        described["security"] = [{}, {"token": []}] if role == "predict" else [{"token": []}]
    return described


def response(
    description: str, schema: Schema | None, *, content: str = "application/json", answer: bool = False
) -> dict[str, Any]:
    """A response; that of an ``answer`` has the headers that name the release, the arm and the prediction."""
    described: dict[str, Any] = {"description": description, "headers": _headers(answer=answer)}
    return described if schema is None else described | {"content": {content: {"schema": schema}}}


def ref(name: str) -> Schema:
    """A schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def timeout() -> dict[str, Any]:
    """The header that limits the time an answer may take."""
    return {
        "name": "funade-timeout-ms",
        "in": "header",
        "description": "Milliseconds; then the fallback answers, or 504.",
        "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999},
    }


def _headers(*, answer: bool) -> dict[str, Any]:
    always = 3 if answer else 2
    names = list(ANSWER_HEADERS) if answer else list(ANSWER_HEADERS)[:2]
    return {
        name: {"description": ANSWER_HEADERS[name], "required": index < always, "schema": {"type": "string"}}
        for index, name in enumerate(names)
    }


def _refusal(status: int) -> dict[str, Any]:
    refusal = response(ERRORS[status], ref("Error"))
    if status == 503:
        refusal["headers"] = refusal["headers"] | RETRY
    if status == 401:
        refusal["headers"] = refusal["headers"] | {"WWW-Authenticate": {"schema": {"type": "string"}}}
    return refusal


_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {"type": "string", "description": "What was expected, what came, and what to do."},
        "path": {"type": "string", "description": "Where in the request: `$[3].fare_yen`."},
    },
    "required": ["error"],
    "additionalProperties": False,
}

# -- contracts


def _apis(contracts: Mapping[str, Contract]) -> Paths:
    schemas: dict[str, Schema] = {"Contract": _CONTRACT}
    for api, contract in contracts.items():
        takes = _schema(contract.takes_fields, contract.doc, answer=False, closed=contract.closed)
        gives = _schema(contract.gives_fields, contract.gives_doc, answer=True, closed=False)
        schemas[f"{ascii_name(api)}.takes"] = takes | {"title": contract.takes}
        schemas[f"{ascii_name(api)}.gives"] = gives | {"title": contract.gives}
    return Paths({f"/v1/{api}": _path(api, contract) for api, contract in contracts.items()}, schemas)


def request_body(api: str, contract: Contract) -> dict[str, Any]:
    """One row or an array of them, with examples."""
    row = example(contract.takes_fields)
    examples = {"one": {"summary": "One row.", "value": row}, "many": {"summary": "Rows.", "value": [row, row]}}
    schema = _one_or_many(f"{ascii_name(api)}.takes")
    return {"required": True, "content": {"application/json": {"schema": schema, "examples": examples}}}


def _path(api: str, contract: Contract) -> dict[str, Operation]:
    answered = "One answer for one row; for an array, as many in its order."
    shown = response("The contract.", ref("Contract"))
    return {
        "post": operation(
            ascii_name(api),
            contract.doc or f"Answers of {api}.",
            {200: response(answered, _one_or_many(f"{ascii_name(api)}.gives"), answer=True)},
            refused=ASKED,
            role="predict",
            parameters=[timeout()],
            requestBody=request_body(api, contract),
        ),
        "get": operation(f"{ascii_name(api)}.contract", f"The contract of {api}.", {200: shown}),
    }


_CONTRACT: Schema = {
    "type": "object",
    "properties": {
        "api": {"type": "string"},
        "release": {"type": "integer"},
        "owner": {"type": "string"},
        "contract": {
            "type": "object",
            "properties": {
                "takes": {"type": "string"},
                "gives": {"type": "string"},
                "takes_fields": {"type": "array", "items": {"type": "object"}},
                "gives_fields": {"type": "array", "items": {"type": "object"}},
            },
            "required": ["takes", "gives", "takes_fields", "gives_fields"],
        },
        "fallback": {"type": ["object", "null"]},
    },
    "required": ["api", "release", "owner", "contract", "fallback"],
}


def _one_or_many(name: str) -> Schema:
    return {"oneOf": [ref(name), {"type": "array", "items": ref(name), "maxItems": MOST_ROWS}]}


def _schema(fields: tuple[Field, ...], doc: str, *, answer: bool, closed: bool) -> Schema:
    schema: Schema = {
        "type": "object",
        "properties": {f.name: _property(f if answer else exact(f)) for f in fields},
        "required": [f.name for f in fields if answer or f.required],
    }
    if doc:
        schema["description"] = doc
    return schema | {"additionalProperties": False} if closed else schema


_TYPES = {"bool": "boolean", "int": "integer", "float": "number"}
_FORMATS = {"datetime": "date-time", "date": "date", "int": "int64", "float": "double"}
_KEYWORDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf",
    "min_length": "minLength", "max_length": "maxLength", "pattern": "pattern",
}  # fmt: skip
_NAIVE = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?$"


def _property(field: Field) -> Schema:
    kind = _TYPES.get(field.type, "string")
    schema: Schema = {"type": [kind, "null"] if field.nullable else kind}
    if field.tz is False:
        schema["pattern"] = _NAIVE
    elif field.type in _FORMATS and not field.values:
        schema["format"] = _FORMATS[field.type]
    schema |= {word: _whole(field, v) for name, word in _KEYWORDS.items() if (v := getattr(field, name)) is not None}
    if field.type == "int" and not field.values:
        schema |= {} if {"minimum", "exclusiveMinimum"} & schema.keys() else {"minimum": -(2**63)}
        schema |= {} if {"maximum", "exclusiveMaximum"} & schema.keys() else {"maximum": 2**63 - 1}
    if field.values:
        schema["enum"] = [*field.values, *([None] if field.nullable else [])]
    if not field.required:
        schema["default"] = field.default
    if field.unit:
        schema["x-unit"] = field.unit
    return schema | ({"description": field.doc} if field.doc else {})


def _whole(field: Field, value: Any) -> Any:
    return int(value) if field.type == "int" and isinstance(value, float) and value.is_integer() else value
