"""A real project's server when a part of it is lost: what answers on, and what is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import toy
from support.server import alive, noted
from support.wait import until

pytestmark = pytest.mark.slow


class Served:
    """``funade serve`` in a project's folder, on a port that the first start chose."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = 0
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        arguments = [sys.executable, "-m", "funade", "-C", str(self.root), "serve", "--port", str(self.port)]
        with (self.root / f"server{self.starts}.log").open("wb") as log:
            self.process = subprocess.Popen(arguments, stderr=log, start_new_session=True)
        self.port = int(until(lambda: self.events("started") or None)[0]["port"])
        until(lambda: self.events("ready") or None)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in noted(self.root / f"server{self.starts}.log") if event["event"] == name]

    def get(self, path: str, body: bytes | None = None) -> tuple[int, str, Any]:
        """Status, release and body of one request on a connection of its own."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", body, {"content-type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=120) as response:
            return response.status, response.headers["funade-release"], json.load(response)

    def ask(self) -> tuple[int, str, Any]:
        return self.get("/v1/judge", b'{"x": 1.5}')

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / f".funade/serve/{self.port}.json").read_text())
        return found

    def end(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self.process.wait()


Serves = Callable[[], Served]


@pytest.fixture
def served(root: Path) -> Iterator[Served]:
    """The toy project's first release, served."""
    here = toy.project(root)
    toy.load(here)
    toy.ship(here)
    server = Served(root)
    yield server
    server.end()


def test_drill_w12_a_release_whose_model_cannot_be_loaded_leaves_the_old_one_serving(
    served: Served, root: Path
) -> None:
    status, release, before = served.ask()
    assert (status, release) == (200, "1")
    os.kill(
        served.process.pid, signal.SIGSTOP
    )  # so that the gate reads the model before it is damaged, and nobody else
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.01")
    here = toy.project(root)
    list(here.build())
    here.stage()
    assert here.release(because="a drill")[0].number == 2
    released = here.store.metadata.release(2)
    assert released is not None
    version = here.store.metadata.version(released.pins["line"])
    assert version is not None and version.artifact is not None
    damaged = min(version.artifact.files.values())
    path = root / ".funade" / "blobs" / damaged[:2] / damaged[2:]
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    os.kill(served.process.pid, signal.SIGCONT)
    alert = until(lambda: served.events("alert"))[0]
    assert (alert["what"], alert["release"], alert["serving"]) == ("release did not come up", 2, 1)
    assert "BlobDamaged" in alert["why"]
    assert served.ask() == (200, "1", before)
    assert served.get("/readyz")[2] == {"status": "ready", "release": 1}
    assert served.state["failed"] == alert["why"]


def test_a_dead_supervisor_is_replaced_at_once_on_its_port(served: Served) -> None:
    workers = served.state["workers"]
    assert served.ask()[:2] == (200, "1")
    os.kill(served.process.pid, signal.SIGKILL)
    served.process.wait()
    served.start()  # what systemd does
    assert served.ask()[:2] == (200, "1")
    until(lambda: not any(alive(pid) for pid in workers) or None)
    assert not set(workers) & set(served.state["workers"])
