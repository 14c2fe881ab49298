"""One raw connection to a server under test."""

from __future__ import annotations

import json
import socket
from typing import Any


class Response:
    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One raw connection."""

    def __init__(self, port: int, timeout: float = 120.0) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self._read = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> Client:
        self.sock.sendall(data)
        return self

    def ask(self, row: Any, *, api: str = "arrival", **headers: str) -> Response:
        return self.send(post(row, api=api, **headers)).response()

    def response(self, *, head: bool = False) -> Response:
        while b"\r\n\r\n" not in self._read:
            self._more()
        top, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = top.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = 0 if head or first.split()[1] == "100" else int(headers["content-length"])
        while len(self._read) < size:
            self._more()
        body, self._read = self._read[:size], self._read[size:]
        return Response(int(first.split()[1]), headers, body)

    def closed(self) -> bool:
        """Whether the server says no more."""
        try:
            return self._read == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True

    def _more(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise ConnectionError("closed by the server")
        self._read += data


def roundtrip(port: int) -> None:
    """Returns once the one worker at this port has read what others sent before."""
    with Client(port) as client:
        for _ in range(3):  # what was ready with the first was read before the second
            assert client.send(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").response().status == 200


def post(row: Any, *, api: str = "arrival", **headers: str) -> bytes:
    body = row if isinstance(row, bytes) else json.dumps(row).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/{api} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body
