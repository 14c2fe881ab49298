"""A server process, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

from funade.serve.limits import Limits
from funade.serve.server_file import ServerState, servers
from funade.serve.settings import ServerSettings
from support.wait import until

TESTS = Path(__file__).parents[1]
PROGRAM = Path(__file__).parent / "scripts" / "server.py"


class Running:
    """A supervisor process in a folder of its own."""

    def __init__(
        self, folder: Path, *, point: str = "", release: int = 1, limits: Limits | None = None, **given: Any
    ) -> None:
        self.folder = folder
        self.generation = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = ServerSettings(
            loader=given.pop("loader", "support.serve_fake:load"),
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
        environment = os.environ | {"PYTHONPATH": str(TESTS)}
        text = msgspec.json.encode(self.settings).decode()
        arguments = [sys.executable, str(PROGRAM), str(self.folder), text, self.point]
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


def noted(log: Path) -> list[dict[str, Any]]:
    """The lines of a log of JSON, without one that is being written."""
    return [json.loads(line) for line in log.read_text().split("\n")[:-1]]


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
