"""A server process, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from funade.serve.limits import Limits
from funade.serve.server_file import ServerState, read
from funade.serve.settings import ServerSettings
from support.release import RIDES
from support.wait import until

TESTS = Path(__file__).parents[1]
PROGRAM = Path(__file__).parent / "scripts" / "server.py"


class Hold:
    """A function that has begun and goes on when it may; ``act`` is what its row does."""

    def __init__(self, folder: Path, name: str) -> None:
        self.act = f"hold {name}"
        self._path = folder / name

    def begun(self) -> None:
        """Wait until the function is called."""
        until(self._path.with_suffix(".begun").exists)

    def open(self) -> None:
        """Let it go on, and whoever else waits here."""
        self._path.with_suffix(".open").touch()


class Running:
    """A supervisor process in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        point: str = "",
        release: int = 1,
        limits: Limits | None = None,
        apis: Sequence[str] = RIDES,
        acts: Mapping[int, Mapping[str, str]] | None = None,
        **given: Any,
    ) -> None:
        self.folder = folder
        self.generation = 0
        self._holds = 0
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = ServerSettings(
            loader="support.release:load",
            argument={"folder": str(folder), "apis": apis},
            folder=str(folder / "serve"),
            log=str(folder / "log"),
            limits=limits or Limits(),
            **({"port": 0} | given),
        )
        for number, act in (acts or {}).items():
            self.misbehave(number, **act)
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

    def hold(self) -> Hold:
        """Holds the function that a row ``{"does": hold.act}`` calls."""
        self._holds += 1
        return Hold(self.folder, f"hold-{self._holds}")

    @property
    def state(self) -> ServerState:
        """What the living server says of itself, once it says something."""

        def living() -> ServerState | None:
            states = map(read, (self.folder / "serve").glob("*.json"))
            return next((state for state in states if state is not None and alive(state.pid)), None)

        return until(living)

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

    def kill(self, choose: Callable[[Sequence[int]], int] = min) -> None:
        """Kill a worker, and wait until another is in its place."""
        before = self.serving(self.state.release)
        os.kill(choose(before.workers), signal.SIGKILL)
        until(lambda: self.state.workers != before.workers)
        self.serving(before.release)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(120)
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
