"""The docs page and the OpenAPI document: what a release answers, for people and for tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from html import escape
from typing import Any

import msgspec

from funade.bind.api import BoundApi
from funade.contract.example import example
from funade.contract.field import Field, limits
from funade.contract.openapi import ANSWER_HEADERS, ERRORS, Operation, Paths, openapi, operation, ref, response
from funade.serve.answer.runtime import Runtime
from funade.serve.http.docs_style import SCRIPT, STYLE
from funade.serve.http.metrics_page import TEXT
from funade.serve.http.routes import Route

HTML = "text/html; charset=utf-8"
_GUARD = (
    "content-security-policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n"
    "x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n"
)


def routes(runtime: Runtime, parts: Callable[[], Iterable[Paths]]) -> list[Route]:
    """``/docs`` and ``/openapi.json``, with the paths of all modules; each is made when it is first asked for."""

    @cache
    def document() -> dict[str, Any]:
        contracts = {name: api.contract for name, api in runtime.loaded.apis.items()}
        return openapi(contracts, version=str(runtime.loaded.release), parts=(_part(), *parts()))

    json = cache(lambda: msgspec.json.encode(document()))
    html = cache(lambda: page(runtime.loaded.apis, runtime.loaded.release, document()).encode())
    return [
        Route(b"GET", "/openapi.json", "open", lambda _, exchange: exchange.page(200, json())),
        Route(b"GET", "/docs", "open", lambda _, exchange: exchange.page(200, html(), _GUARD, HTML)),
    ]


def _part() -> Paths:
    """The pages that every server has."""
    words = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
    ready = words | {"properties": words["properties"] | {"release": {"type": "integer"}}}  # type: ignore[operator]
    pages: dict[str, dict[str, Operation]] = {}
    for path, id, summary, schema, content in (
        ("/healthz", "healthz", "200 while the process lives.", ref("Health"), "application/json"),
        ("/readyz", "readyz", "200 once a release is loaded.", ref("Readiness"), "application/json"),
        ("/openapi.json", "openapi", "This document.", {"type": "object"}, "application/json"),
        ("/metrics", "metrics", "Counts for Prometheus; as OpenMetrics where `accept` asks.", {"type": "string"}, TEXT),
        ("/docs", "docs", "The page for people.", {"type": "string"}, HTML),
    ):
        pages[path] = {"get": operation(id, summary, {200: response(summary, schema, content=content)})}
    return Paths(pages, {"Health": words, "Readiness": ready})


# -- the page


def page(apis: Mapping[str, BoundApi], release: int, document: Mapping[str, Any]) -> str:
    """The whole page: it needs nothing but itself."""
    links = "".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in apis)
    parts = [_api(api) for api in apis.values()]
    count = "1 api" if len(apis) == 1 else f"{len(apis)} apis"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Release {release}</title><style>{STYLE}</style></head><body><main>"
        f'<h1>Release {release}</h1><p class="soft">{count}. For tools: <a href="/openapi.json">openapi.json</a>.</p>'
        f'<nav>{links}<a href="#headers-and-errors">headers and errors</a><a href="#all-paths">all paths</a></nav>'
        f"{''.join(parts)}{_answers()}{_paths(document)}</main><script>{SCRIPT}</script></body></html>\n"
    )


def _api(api: BoundApi) -> str:
    name, contract = escape(api.name), api.contract
    body = msgspec.json.format(msgspec.json.encode(example(contract.takes_fields)), indent=2).decode()
    owner = f'<p class="soft">Owner: {escape(api.owner)}</p>' if api.owner else ""
    doc = f"<p>{escape(contract.doc)}</p>" if contract.doc else ""
    gives = f"<p>{escape(contract.gives_doc)}</p>" if contract.gives_doc else ""
    fallback = ""
    if api.fallback is not None:
        shown = escape(msgspec.json.encode(api.fallback).decode())
        fallback = f"<p>Where the function cannot answer: <code>{shown}</code></p>"
    return (
        f'<section id="{name}"><h2>{name}</h2>'
        f'<p class="path"><code><span class="verb">POST</span> /v1/{name}</code></p>{owner}{doc}'
        f"<h3>It takes</h3><p class='soft'>One object, or an array of them.</p>"
        f"{_table(contract.takes_fields, request=True)}"
        f"<h3>It gives</h3>{gives}{_table(contract.gives_fields, request=False)}{fallback}"
        f"{_examples(api.name, body)}{_form(api.name, body)}</section>"
    )


def _table(fields: Sequence[Field], *, request: bool) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(f.name)}</code></td><td>{_kind(f)}</td><td>{_said(f, request=request)}</td></tr>"
        for f in fields
    )
    return f'<table class="fields"><tbody>{rows}</tbody></table>'


_TYPES = {"int": "whole number", "float": "number", "bool": "true or false", "str": "text", "datetime": "time"}


def _kind(field: Field) -> str:
    kind = _TYPES.get(field.type, field.type) + (f" in {escape(field.unit)}" if field.unit else "")
    return f"{kind}, or null" if field.nullable else kind


def _said(field: Field, *, request: bool) -> str:
    admitted = ", ".join(limits(field))
    parts = [escape(field.doc)] if field.doc else []
    if admitted:
        parts.append(
            f"One of: {escape(admitted)}." if field.values else f"{escape(admitted[0].upper() + admitted[1:])}."
        )
    if request and not field.required:
        shown = escape(msgspec.json.encode(field.default).decode())
        parts.append(f"Left out{' or null' if field.filled else ''}, it is <code>{shown}</code>.")
    elif request:
        parts.append("<span class='soft'>Required.</span>")
    return " ".join(parts)


def _examples(api: str, body: str) -> str:
    quoted = body.replace("'", "'\\''")
    curl = f"curl --json '{quoted}' ORIGIN/v1/{api}"
    python = (
        "import json, urllib.request\n\n"
        f"row = json.loads(r'''{body}''')\n"
        f'request = urllib.request.Request("ORIGIN/v1/{api}", json.dumps(row).encode(),\n'
        '                                 {"content-type": "application/json"})\n'
        "print(json.load(urllib.request.urlopen(request)))"
    )
    return (
        f"<details><summary>With curl</summary><pre>{_here(curl)}</pre></details>"
        f"<details><summary>With Python</summary><pre>{_here(python)}</pre></details>"
    )


def _here(text: str) -> str:
    """Code as HTML; where this server is, the page's own script fills in."""
    return escape(text).replace("ORIGIN", '<span class="origin">http://127.0.0.1:8080</span>')


def _form(api: str, body: str) -> str:
    name = escape(api)
    return (
        f'<h3 id="{name}-try">Try it</h3><form action="/v1/{name}" method="post">'
        f'<textarea spellcheck="false" aria-label="request to {name}" rows="{min(body.count(chr(10)) + 2, 16)}">'
        f"{escape(body)}</textarea>"
        '<div class="row"><button>Ask</button><input type="password" autocomplete="off" aria-label="token" '
        'placeholder="token, if it needs one"></div><output></output></form>'
    )


def _answers() -> str:
    headers = "".join(f"<tr><td><code>{n}</code></td><td>{_code(text)}</td></tr>" for n, text in ANSWER_HEADERS.items())
    errors = "".join(f"<tr><td>{status}</td><td>{_code(text)}</td></tr>" for status, text in ERRORS.items())
    limit = "milliseconds the answer may take; then the fallback speaks, or 504"
    return (
        '<section id="headers-and-errors"><h2>Headers and errors</h2>'
        "<h3>What an answer says in its headers</h3>"
        f'<table class="fields"><tbody>{headers}</tbody></table>'
        "<h3>What a request may say</h3>"
        f'<table class="fields"><tbody><tr><td><code>funade-timeout-ms</code></td><td>{limit}</td></tr>'
        "<tr><td><code>authorization</code></td><td><code>Bearer TOKEN</code>, where the server asks for one</td></tr>"
        "</tbody></table>"
        '<h3>Errors</h3><p>A body <code>{"error": …, "path": …}</code>; the path only where one value is wrong.</p>'
        f'<div class="wide"><table><tbody>{errors}</tbody></table></div></section>'
    )


def _code(text: str) -> str:
    """Escaped text in which `this` is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def _paths(document: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><td><code><span class="verb">{method.upper()}</span> {escape(path)}</code></td>'
        f"<td>{_code(described['summary'])}</td></tr>"
        for path, item in document["paths"].items()
        for method, described in item.items()
    )
    table = f'<div class="wide"><table class="fields"><tbody>{rows}</tbody></table></div>'
    return f'<section id="all-paths"><h2>All paths</h2>{table}</section>'
