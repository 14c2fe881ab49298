"""A client of the queue, and a server with one, for tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from funade.serve.tokens import token_file
from funade.store.queue_rules import QueueRules
from support.client import Client, Response, post
from support.server import Hold, Running


class Later:
    """Submits to a server and looks, over one connection."""

    opened: ClassVar[list[Later]] = []

    def __init__(self, running: Running, token: str) -> None:
        self._running = running
        self._token = f"Bearer {token}"
        self.client = Client(running.port)
        self.opened.append(self)

    def hold(self) -> Hold:
        """Holds the function that a row calls."""
        return self._running.hold()

    def again(self) -> None:
        """Connect anew."""
        self.client.sock.close()
        self.client = Client(self._running.port)

    def submit(self, row: Any, *, api: str = "arrival", **headers: str) -> Response:
        return self.client.send(self.asking(row, api=api, **headers)).response()

    def asking(self, row: Any, *, api: str = "arrival", **headers: str) -> bytes:
        return post(row, api=f"{api}/submit", authorization=self._token, **headers)

    def id(self, row: Any, **given: str) -> str:
        found = self.submit(row, **given)
        assert found.status == 202, found.body
        id: str = found.json["id"]
        return id

    def ask(self, id: str, wait: str = "0") -> Client:
        head = f"GET /v1/queue/{id}?wait={wait} HTTP/1.1\r\nhost: localhost\r\nauthorization: {self._token}\r\n\r\n"
        return self.client.send(head.encode())

    def look(self, id: str, wait: str = "0") -> Any:
        found = self.ask(id, wait).response()
        assert found.status == 200, found.body
        return found.json

    def ended(self, id: str) -> Any:
        for _ in range(10):
            found = self.look(id, "20s")
            if found["state"] in ("done", "dead"):
                return found
        raise AssertionError(found)


def close() -> None:
    """Close every client's connection."""
    while Later.opened:
        Later.opened.pop().client.sock.close()


def queued(run: Callable[..., Running], folder: Path, *, rules: QueueRules | None = None, **given: Any) -> Running:
    """A server with a queue in ``folder``; its token stands in ``folder/token``."""
    tokens = folder / "tokens.json"
    if not tokens.exists():
        token = token_file.add(tokens, "tests", "submit", now=datetime.now(UTC), expires=None)
        (folder / "token").write_text(token)
    rules = rules or QueueRules(first_s=0.05)
    running = run(**({"workers": 1, "queue": f"sqlite:{folder}", "tokens": str(tokens)} | given), queue_rules=rules)
    running.serving(given.get("release", 1))
    return running


def later(running: Running, folder: Path) -> Later:
    return Later(running, (folder / "token").read_text())


class Hooks:
    """A server that callbacks go to; ``answers`` are the statuses it gives, the last for good."""

    def __init__(self, answers: list[int]) -> None:
        self.told: list[Any] = []
        hooks = self

        class Hook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                hooks.told.append(json.loads(body) | {"path": self.path, "host": self.headers["host"]})
                self.send_response(answers.pop(0) if len(answers) > 1 else answers[0])
                self.send_header("location", f"{hooks.url}/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def hooks(*answers: int) -> Iterator[Hooks]:
    found = Hooks(list(answers) or [200])
    try:
        yield found
    finally:
        found.close()
