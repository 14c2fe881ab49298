"""`funade serve` as a process of its own, asked over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from support.stock import free_port
from support.wait import until


@contextmanager
def serving(arguments: Sequence[str], log: Path, **environment: str) -> Iterator[int]:
    """The port at which ``funade ARGUMENTS --port …`` is ready; gone, with its workers, when the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "funade", *arguments, "--port", str(port)]
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **environment})
    try:
        until(lambda: server.poll() is not None or ask(port, "GET", "/readyz")[0] == 200)
        assert server.poll() is None, log.read_text()
        yield port
    finally:
        server.terminate()
        assert server.wait(120) == 0, log.read_text()


def ask(port: int, method: str, path: str, rows: Any = None) -> tuple[int, Any]:
    """The status and JSON of one request; (0, None) where nobody listens yet."""
    body = None if rows is None else json.dumps(rows).encode()
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection, suppress(ConnectionError):
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    return 0, None
