"""The servers that bench-serve compares: how each is started, asked and stopped, and what it costs."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from measure import REPOSITORY

SERVE = REPOSITORY / ".venv-serve" / "bin"
PEERS = REPOSITORY / "benchmarks" / "peers"
PATIENCE_S = 60.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Contestant:
    """One server.

    ``{port}`` and ``{folder}`` in ``command`` and ``path`` are filled in; ``many`` is the path for more than one row
    where it differs. ``shape`` names the form of its requests, ``key`` where its answers stand ("=": the body itself).
    ``frame`` is that of funade's api where the cost of a worker is to be measured. ``later_s`` seconds after a load it
    may still be at work for it.
    """

    name: str
    command: tuple[str, ...]
    path: str
    shape: str = "records"
    key: str = "y"
    many: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    validates: bool = True
    frame: str = ""
    later_s: float = 0


KEEPER_S = 1.3
"""The log's keeper looks once a second for what to put into Parquet."""


def venv(name: str) -> str:
    return str(REPOSITORY / f".venv-peers-{name}" / "bin")


UVICORN = ("--port", "{port}", "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning")


def all_of_them() -> list[Contestant]:
    """The first is the reference."""
    web, bento, mlserver = venv("web"), venv("bentoml"), venv("mlserver")
    return [
        Contestant(
            "uvicorn, empty echo", (f"{web}/uvicorn", "serve_echo:app", *UVICORN), "/", key="=", validates=False
        ),
        _funade("fn.Columns", "columns"),
        _variant("funade, fn.Columns, no log, no metrics", "uncounted"),
        _variant("funade, fn.Columns, no micro-batching", "unbatched"),
        _funade("pandas", "pandas"),
        _funade("polars", "polars"),
        Contestant("FastAPI", (f"{web}/uvicorn", "serve_fastapi:app", *UVICORN), "/one", many="/many"),
        Contestant("LitServe", (f"{web}/python", "serve_litserve.py", "{port}"), "/predict", "lists", validates=False),
        Contestant(
            "BentoML",
            (f"{bento}/bentoml", "serve", "serve_bentoml:Score", "--host", "127.0.0.1", "--port", "{port}"),
            "/score",
            "lists",
            environment={"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": "{folder}/bentoml"},
        ),
        Contestant(
            "MLServer",
            (f"{mlserver}/mlserver", "start", "{folder}/mlserver"),
            "/v2/models/score/infer",
            "tensor",
            key="data",
        ),
    ]


def _funade(shown: str, frame: str) -> Contestant:
    command = ("-m", "funade", "-C", f"{{folder}}/{frame}", "serve", "--workers", "1", "--port", "{port}")
    return Contestant(f"funade, {shown}", (f"{SERVE}/python", *command), "/v1/score", frame=frame, later_s=KEEPER_S)


def before(checkout: Path) -> Contestant:
    """funade as another checkout has it, with a project of its own in the folder ``before``."""
    one = _funade("before", "columns")
    command = tuple(part.replace("{folder}/columns", "{folder}/before") for part in one.command)
    return replace(one, command=command, frame="", environment={"PYTHONPATH": str(checkout / "src")})


VARIANTS = ("uncounted", "unbatched")
"""Servers of ``variants.py``, each with a store of its own: who keeps one's log is charged for that alone."""


def _variant(shown: str, variant: str) -> Contestant:
    program = str(PEERS.parent / "variants.py")
    environment = {"PYTHONPATH": str(PEERS.parent)}
    command = (f"{SERVE}/python", program, f"{{folder}}/{variant}", "{port}", variant)
    return Contestant(shown, command, "/v1/score", environment=environment, later_s=KEEPER_S)


class Running:
    """A started server, pinned to one core with all its processes; ``first_s`` after its start it answered."""

    def __init__(self, contestant: Contestant, folder: Path, model: Path, core: int) -> None:
        self.contestant = contestant
        self.port = free_port()
        self.log = folder / f"{contestant.name}.log"
        facts = {"port": str(self.port), "folder": str(folder)}
        if contestant.name == "MLServer":
            write_mlserver(folder / "mlserver", self.port)
        environment = os.environ | {"SERVE_MODEL": str(model), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(PEERS), environment["PYTHONPATH"])))
        environment |= {name: value.format(**facts) for name, value in contestant.environment.items()}
        command = ["taskset", "-c", str(core), *(part.format(**facts) for part in contestant.command)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command, cwd=PEERS, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        begun = time.monotonic()
        question = (folder / f"{contestant.shape}-1").read_text().splitlines()[0]
        try:
            while (answer := self._ask(question)) is None:
                if self.process.poll() is not None or time.monotonic() - begun > PATIENCE_S:
                    raise RuntimeError(f"{contestant.name} did not come up: {tail(self.log)}")
                time.sleep(0.02)
        except BaseException:
            self.stop()
            raise
        self.first_s = time.monotonic() - begun
        self.first_answer = answer

    def _ask(self, question: str) -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("POST", self.contestant.path, question, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = response.read().decode()
            return answer if response.status == 200 else None
        return None

    def processes(self) -> list[int]:
        """The server's process and all that descend from it."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (found := stat(int(entry.name))):
                children.setdefault(int(found[1]), []).append(int(entry.name))
        tree = [self.process.pid]
        for pid in tree:
            tree += children.get(pid, [])
        return tree

    def cpu_s(self) -> float:
        """User and system seconds of every process so far."""
        found = [stat(pid) for pid in self.processes()]
        return sum(int(s[11]) + int(s[12]) for s in found if s) / TICKS

    def memory_mb(self) -> float:
        """What its processes hold for themselves: proportional set size."""
        kilobytes = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                kilobytes += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return kilobytes / 1024

    def rest(self) -> None:
        """Stand still while others are measured."""
        self._tell(signal.SIGSTOP)

    def wake(self) -> None:
        self._tell(signal.SIGCONT)

    def _tell(self, number: int) -> None:
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self) -> None:
        """End every process."""
        tree = self.processes()
        self.wake()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        for pid in tree:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the command's name: state, parent, …; None where the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def tail(log: Path) -> str:
    """The last of what a server said."""
    return log.read_text(errors="replace")[-1500:]


def write_mlserver(folder: Path, port: int) -> None:
    folder.mkdir(exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": "score", "implementation": "serve_mlserver.Score"}
    (folder / "model-settings.json").write_text(json.dumps(model))
