"""The page for people needs nothing but itself, and the document for tools has every path."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from funade.contract.contract import contract_of
from funade.contract.example import example
from funade.contract.openapi import ERRORS
from funade.serve.answer.runtime import Runtime
from funade.serve.http import docs_page
from funade.serve.http.response import _REASONS
from funade.serve.http.routes import Route, Routes
from funade.serve.worker import endpoints
from support.client import Client
from support.release import TENSORS, release
from support.runtimes import runtime_of, submitter_of
from support.server import Running


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    """A worker's runtime that nobody comes to."""
    loop = asyncio.new_event_loop()
    yield runtime_of(release(7, TENSORS), loop, tmp_path / "log")
    loop.close()


@pytest.fixture
def routes(runtime: Runtime, tmp_path: Path) -> list[Route]:
    """Its routes, those of a queue among them."""
    return endpoints.routes(runtime, submitter_of(runtime, tmp_path / "nobody"))


def document(routes: list[Route]) -> dict[str, Any]:
    found: list[bytes] = []

    class Exchange:
        def page(self, status: int, body: bytes) -> None:
            found.append(body)

    (route,) = (r for r in routes if r.path == "/openapi.json")
    route.respond(None, Exchange())  # type: ignore[arg-type]
    told: dict[str, Any] = json.loads(found[0])
    return told


def test_the_document_has_every_route_and_no_other(runtime: Runtime, routes: list[Route]) -> None:
    expected = {(r.path, r.method.decode().lower()) for r in Routes(runtime, routes).all}
    expected |= {(f"/v1/{name}", "post") for name in runtime.queues}
    assert {(path, method) for path, item in document(routes)["paths"].items() for method in item} == expected


def test_operations_have_names_of_their_own_and_say_what_a_token_must_do(routes: list[Route]) -> None:
    paths = document(routes)["paths"]
    names = [operation["operationId"] for item in paths.values() for operation in item.values()]
    assert len(set(names)) == len(names)
    roles = {(r.path, r.method.decode().lower()): r.role for r in routes}
    for (path, method), role in roles.items():
        assert ("security" in paths[path][method]) == (role != "open"), path


def test_every_error_that_the_server_can_say_is_explained() -> None:
    assert {status for status in _REASONS if status >= 400} - ERRORS.keys() <= {405, 410, 429}


def test_its_example_is_answered(server: Running) -> None:
    with Client(server.port) as client:
        asked = client.send(b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n").response().json
        body = asked["paths"]["/v1/arrival"]["post"]["requestBody"]["content"]["application/json"]
        assert client.ask(body["examples"]["one"]["value"]).status == 200
        assert len(client.ask(body["examples"]["many"]["value"]).json) == 2


class Odd(msgspec.Struct):
    """<script>alert(1)</script> & `code`."""

    even: Annotated[int, msgspec.Meta(gt=3, lt=9, multiple_of=2)]
    below: Annotated[float, msgspec.Meta(lt=-2.5)]
    above: Annotated[float, msgspec.Meta(gt=0), msgspec.Meta(description="</textarea><b>")]
    word: Annotated[str, msgspec.Meta(min_length=4, max_length=4)]
    plate: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}-\d{3}$")]
    quoted: str = "it's ''' </pre>"


def test_examples_keep_their_contract() -> None:
    fields = contract_of(Odd, Odd, place="x").takes_fields
    assert msgspec.convert(example(fields), Odd) == Odd(6, -3.5, 1.0, "text", "ABC-123")
    for api in release(1, TENSORS).apis.values():
        api.decode(json.dumps(example(api.contract.takes_fields)).encode())


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_page_loads_nothing_from_elsewhere_and_says_so(server: Running) -> None:
    with Client(server.port) as client:
        response = client.send(b"GET /docs HTTP/1.1\r\nhost: localhost\r\n\r\n").response()
    seen = _Seen()
    seen.feed(response.body.decode())
    links = {v for tag, found in seen.tags for k, v in found.items() if k in ("href", "src", "action")}
    assert links >= {"/openapi.json", "#arrival", "#plain", "#headers-and-errors", "#all-paths", "/v1/arrival"}
    assert all(re.fullmatch(r"[#/][a-z0-9_./-]+", link or "") for link in links)
    assert not re.search(r"@import|url\(|https?://(?!127\.0\.0\.1)", response.body.decode())
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["content-type"] == "text/html; charset=utf-8"


def test_the_page_shows_each_field_with_what_it_admits(runtime: Runtime, routes: list[Route]) -> None:
    page = docs_page.page(runtime.loaded.apis, 7, document(routes))
    for text in (
        "number in min, or null",
        "How many dishes. &gt;= 1, &lt;= 20.",
        "One of: eat in, take away.",
        "kitchen",
    ):
        assert text in page
    assert "Left out or null, it is <code>5.0</code>." in page


def test_what_an_author_wrote_is_text_and_never_markup(runtime: Runtime, tmp_path: Path) -> None:
    fake = release(1).apis["arrival"]
    fake.contract = contract_of(Odd, Odd, place="x")
    seen = _Seen()
    page = docs_page.page({"arrival": fake}, 1, {"paths": {}})
    seen.feed(page)
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert "b" not in {tag for tag, _ in seen.tags}
    assert "&lt;script&gt;alert(1)" in page
