"""A server process and clients of it, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from funade.serve.limits import Limits
from funade.serve.server_file import ServerState, servers
from funade.serve.settings import ServerSettings

HERE = Path(__file__).parent


class Running:
    """A supervisor process in a folder of its own."""

    def __init__(
        self, folder: Path, *, point: str = "", release: int = 1, limits: Limits | None = None, **given: Any
    ) -> None:
        self.folder = folder
        self.generation = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = ServerSettings(
            loader=given.pop("loader", "serve_fake:load"),
            argument={"folder": str(folder)},
            folder=str(folder / "serve"),
            log=str(folder / "log"),
            limits=limits or Limits(),
            **({"port": 0} | given),
        )
        self.switch(release)
        self.point = point
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(HERE)}
        text = msgspec.json.encode(self.settings).decode()
        arguments = [sys.executable, str(HERE / "serve_run.py"), str(self.folder), text, self.point]
        return subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)

    def switch(self, release: int) -> None:
        self.generation += 1
        fresh = self.folder / "current.new"
        fresh.write_text(f"{self.generation} {release}" if release else "")
        fresh.replace(self.folder / "current")

    def misbehave(self, release: int, **does: str) -> None:
        (self.folder / f"{release}.json").write_text(json.dumps(does))

    @property
    def state(self) -> ServerState:
        return until(lambda: next(iter(servers(self.folder / "serve")), None))

    @property
    def port(self) -> int:
        return self.state.port

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in noted(self.folder / "log") if line["event"] == name]

    def serving(self, release: int) -> ServerState:
        """Wait until this release is answered from, by as many workers as asked for."""

        def found() -> ServerState | None:
            state = self.state
            return state if state.release == release and len(state.workers) == self.settings.workers else None

        return until(found)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(40)
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code


T = TypeVar("T")


def until(found: Callable[[], T | None], seconds: float = 20.0) -> T:
    """What ``found`` returns once it is true."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


def noted(log: Path) -> list[dict[str, Any]]:
    """The lines of a log of JSON, without one that is being written."""
    return [json.loads(line) for line in log.read_text().split("\n")[:-1]]


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


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

    def __init__(self, port: int, timeout: float = 20.0) -> None:
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


def post(row: Any, *, api: str = "arrival", **headers: str) -> bytes:
    body = row if isinstance(row, bytes) else json.dumps(row).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/{api} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body
