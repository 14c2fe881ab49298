"""What stands under which path: the apis, and every page with who may ask for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

import msgspec

from funade.bind.api import BoundApi
from funade.errors import closest
from funade.serve.answer.runtime import Runtime
from funade.serve.http.exchange import Exchange
from funade.serve.http.head import Head
from funade.serve.http.response import error_json

Role = Literal["open", "predict", "submit", "operate"]
"""Who may: anybody; who may ask for answers; who may leave requests in the queue; who may change what is served."""


class PageRequest(NamedTuple):
    """A request for a page: the path's parameters, its query (the first value of each key), its headers that are kept
    (``request.KEPT``, lower case), its body, and the seconds it may take.
    """

    names: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    body: bytes
    within_s: float | None


class Route(NamedTuple):
    """One page: its method (a GET answers HEAD too), path (``/v2/models/{name}``), who may, and what responds.

    ``respond`` is called on the loop and answers the exchange once, now or later.
    """

    method: bytes
    path: str
    role: Role
    respond: Callable[[PageRequest, Exchange], None]


class Routes:
    """The paths of one worker: its apis, its pages and ``more``; ``apis`` has path → api of ``POST /v1/<api>``."""

    def __init__(self, runtime: Runtime, more: Sequence[Route]) -> None:
        self._runtime = runtime
        self.apis = {f"/v1/{quote(name)}".encode(): name for name in runtime.queues}
        self.all = (*_pages(runtime), *more)
        self._exact = [r for r in self.all if "{" not in r.path]
        self._by_path: dict[str, list[Route]] = {}
        for route in self._exact:
            self._by_path.setdefault(route.path, []).append(route)
        self._patterns = [(route.path.split("/"), route) for route in self.all if "{" in route.path]

    def respond(self, exchange: Exchange, head: Head, path: bytes, body: bytes) -> None:
        """Answer a request for a page."""
        text = path.decode("latin-1")
        routes = self._at(text)
        method = b"GET" if head.method == b"HEAD" else head.method
        for route, names in routes:
            if route.method == method:
                self._let(route, exchange, head, names, body)
                return
        if not routes and path not in self.apis:
            self.refuse(exchange, 404, self._unknown(path))
            return
        methods = {route.method.decode() for route, _ in routes} | ({"POST"} if path in self.apis else set())
        allowed = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        shown = head.method.decode("ascii", "replace")
        self.refuse(exchange, 405, f"method expected {allowed}, got {shown}", f"allow: {allowed}\r\n")

    def may(self, role: Role, exchange: Exchange, head: Head) -> bool:
        """Whether whoever sent this head may do what needs the role; if not, the request is refused."""
        refusal = self._runtime.tokens.refusal(role, head.headers.get(b"authorization"))
        if refusal is not None:
            self.refuse(exchange, *refusal)
        return refusal is None

    def refuse(self, exchange: Exchange, status: int, error: str, extra: str = "") -> None:
        """Answer with an error what reached no api, and count it."""
        self._runtime.recorder.meter.refused("", status, exchange.door)
        if status == 401:
            extra += "www-authenticate: Bearer\r\n"
        exchange.page(status, error_json(error), extra)

    def _let(self, route: Route, exchange: Exchange, head: Head, names: Mapping[str, str], body: bytes) -> None:
        if not self.may(route.role, exchange, head):
            return
        try:
            query = _query(head.url)
        except ValueError:
            self.refuse(exchange, 400, "query expected at most 100 keys, got more")
            return
        try:
            route.respond(PageRequest(names, query, head.headers, body, head.within_s), exchange)
        except Exception as error:  # a defect of one page is not its neighbours'
            self._runtime.recorder.events.failed(route.path, error)
            if not exchange.done:
                self.refuse(exchange, 500, "the page could not be made; see the server's log")

    def _at(self, path: str) -> list[tuple[Route, dict[str, str]]]:
        if path in self._by_path:
            return [(route, {}) for route in self._by_path[path]]
        parts = path.split("/")
        return [(route, names) for shape, route in self._patterns if (names := _matched(shape, parts)) is not None]

    def _unknown(self, path: bytes) -> str:
        name = path.decode("ascii", "replace")[:100]
        known = [p.decode() for p in self.apis] + [r.path for r in self._exact]
        return f"path `{name}` is not known; {closest(name, known) or 'see /openapi.json'}"


def _matched(shape: Sequence[str], parts: Sequence[str]) -> dict[str, str] | None:
    if len(shape) != len(parts):
        return None
    names = {}
    for pattern, part in zip(shape, parts, strict=True):
        if pattern[:1] == "{":
            names[pattern[1:-1]] = unquote(part)
        elif pattern != part:
            return None
    return names


def _query(url: bytes) -> dict[str, str]:
    text = url.partition(b"?")[2].decode("latin-1")
    return dict(reversed(parse_qsl(text, keep_blank_values=True, max_num_fields=100))) if text else {}


def _pages(runtime: Runtime) -> list[Route]:
    """The pages that every worker has."""
    loaded = runtime.loaded
    return [
        page("/healthz", msgspec.json.encode({"status": "ok"})),
        page("/readyz", msgspec.json.encode({"status": "ready", "release": loaded.release})),
        *[page(f"/v1/{quote(name)}", _contract_json(api, loaded.release)) for name, api in loaded.apis.items()],
    ]


def page(path: str, body: bytes) -> Route:
    """A page that is the same for everybody: JSON."""
    return Route(b"GET", path, "open", lambda _, exchange: exchange.page(200, body))


def _contract_json(api: BoundApi, release: int) -> bytes:
    fallback = None
    if api.fallback is not None:
        fallback = msgspec.Raw(api.answers.encode(api.answers.constant(api.fallback), 0, 1, single=True))
    facts = {"api": api.name, "release": release, "owner": api.owner, "contract": api.contract, "fallback": fallback}
    return msgspec.json.encode(facts)
