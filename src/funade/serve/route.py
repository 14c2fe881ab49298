"""What is found under which path."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from funade.errors import closest
from funade.serve.batcher import Batcher, fallback_json
from funade.serve.reply import error_json
from funade.serve.served import Api, Loaded


class Found(msgspec.Struct, frozen=True):
    """A page, or the error that stands in its place."""

    status: int
    body: bytes
    extra: str = ""


class Routes:
    """The paths of one release.

    Args:
        loaded: the release; its pages are written once.
        batchers: api → its queue.
    """

    def __init__(self, loaded: Loaded, batchers: Mapping[str, Batcher]) -> None:
        self.posts: dict[bytes, Batcher] = {f"/v1/{name}".encode(): batcher for name, batcher in batchers.items()}
        self._names = tuple(sorted(batchers))
        self._pages: dict[bytes, bytes] = {
            b"/healthz": msgspec.json.encode({"status": "ok"}),
            b"/readyz": msgspec.json.encode({"status": "ready", "release": loaded.release}),
            b"/openapi.json": msgspec.json.encode(loaded.openapi),
        }
        for name, api in loaded.apis.items():
            self._pages[f"/v1/{name}".encode()] = _contract_json(api, loaded.release)

    def page(self, method: bytes, path: bytes) -> Found:
        """What a request that asks for no answers gets."""
        body = self._pages.get(path)
        if body is None:
            return Found(404, error_json(self._unknown(path)))
        if method in (b"GET", b"HEAD"):
            return Found(200, body)
        allowed = "GET, HEAD, POST" if path in self.posts else "GET, HEAD"
        shown = method.decode("ascii", "replace")
        return Found(405, error_json(f"method expected {allowed}, got {shown}"), f"allow: {allowed}\r\n")

    def _unknown(self, path: bytes) -> str:
        name = path.decode("ascii", "replace")[:100]
        known = [f"/v1/{n}" for n in self._names] + ["/openapi.json", "/healthz", "/readyz"]
        return f"path `{name}` is not known; {closest(name, known) or 'see /openapi.json'}"


def _contract_json(api: Api, release: int) -> bytes:
    fallback = fallback_json(api)
    return msgspec.json.encode(
        {
            "api": api.name,
            "release": release,
            "owner": api.owner,
            "contract": api.contract,
            "fallback": None if fallback is None else msgspec.Raw(fallback),
        }
    )
