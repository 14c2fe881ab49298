"""A model file served as it is: one api, its contract read from the file; nothing is released, nothing switches."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from funade import digest, threads
from funade.bind.api import BoundApi
from funade.bind.release import LoadedRelease
from funade.clock import Clock
from funade.contract.arrays import Columns
from funade.contract.contract import contract_of
from funade.declare.decorators import Gives, Takes
from funade.declare.graph import Graph
from funade.declare.node import Node
from funade.declare.spec import Spec
from funade.errors import ServeError
from funade.serve.bare import file as bare_file
from funade.serve.settings import ServerSettings

RELEASE = 1
"""The number of the only release that there is."""


def load(argument: dict[str, Any]) -> LoadedRelease:
    """The api of the file that ``{"file": path, "digest": hex}`` names; what a worker starts from.

    Raises:
        ServeError: the file is no model, has another digest by now, or takes or gives what is no value or list of
            values a row.
    """
    path = Path(argument["file"])
    kind = bare_file.kind_of(path)
    if digest.of_file(path) != argument["digest"]:
        told = f"`{path}` expected the bytes that serving began with, got others"
        raise ServeError(told, do="start the server again")
    scorer = importlib.import_module(f"funade.serve.bare.{kind}").read(path)
    api = _bound(path, scorer)
    rows, _ = api.requests.convert([{c.name: _nothing(c.type) for c in scorer.takes}])
    api.give(api.take(rows).columns, len(rows))  # the first call is slower
    return LoadedRelease(argument.get("release", RELEASE), "", Graph((api.spec,)), {}, [], {api.name: api})


def name_of(path: Path) -> str:
    """The api's name: the file's, without its ending.

    >>> name_of(Path("models/fraud-2.onnx"))
    'fraud_2'
    """
    ((name, *_),) = bare_file.columns([(path.stem, None)], path.name)
    return name


def serve(
    path: Path, *, host: str | None, port: int | None, grpc_port: int | None, workers: int | None, clock: Clock
) -> None:
    """Serve a file until SIGTERM or SIGINT.

    Raises:
        ServeError: as ``load``; or the port is taken.
    """
    from funade.serve.supervise import supervisor

    path = path.absolute()
    bare_file.kind_of(path)
    argument = {"file": str(path), "digest": digest.of_file(path)}
    _check(path, argument)
    given = {"host": host, "port": port, "grpc_port": grpc_port, "workers": workers}
    with tempfile.TemporaryDirectory(prefix="funade-serve-") as folder:
        settings = ServerSettings("funade.serve.bare.serve:load", argument, folder=folder)
        settings = msgspec.structs.replace(settings, **{name: v for name, v in given.items() if v is not None})
        supervisor.serve(settings, lambda: (1, RELEASE), clock=clock)


def _check(path: Path, argument: dict[str, str]) -> None:
    """Load it once in a process of its own before anything listens: a damaged file may end the process that reads it.

    Raises:
        ServeError: as ``load``.
    """
    text = msgspec.json.encode(argument).decode()
    command = [sys.executable, "-m", "funade.serve.bare.serve", text]
    done = subprocess.run(command, capture_output=True, text=True, env=threads.environment())
    if done.returncode == 0 and done.stdout:
        raise ServeError(**msgspec.json.decode(done.stdout, type=dict[str, str]))
    if done.returncode:
        said = (line for line in done.stderr.splitlines() if "Fatal" in line or "Error" in line)
        told = next(said, f"the library that reads it ended the process ({done.returncode})")
        raise bare_file.unread(path, RuntimeError(told))


def _bound(path: Path, scorer: bare_file.ModelScorer) -> BoundApi:
    takes = bare_file.struct("Row", scorer.takes, f"One row for `{path.name}`.")
    gives = bare_file.struct("Answer", scorer.gives, f"What `{path.name}` answers to one row.")

    def score(batch: Columns) -> Columns:
        return scorer.run(batch)

    name, place = name_of(path), str(path)
    node: Node[Any, Any] = Node(score, "api", place=place, policies=(Takes(takes), Gives(gives)), inputs={})
    spec = Spec(
        "api", name, place, "", "score", batch="batch", batch_form="columns", result_form="columns",
        contract=contract_of(takes, gives, place=place),
    )  # fmt: skip
    return BoundApi(spec, node, {}, {}, ZoneInfo("UTC"))


def _nothing(kind: Any) -> Any:
    return "" if kind is str else False if kind is bool else 0


def main(argument: str) -> None:
    """Load what a worker would, and write to standard output why it does not load."""
    try:
        load(msgspec.json.decode(argument))
    except ServeError as error:
        sys.stdout.write(msgspec.json.encode({"what": error.what, "at": error.at, "do": error.do}).decode())


if __name__ == "__main__":
    main(sys.argv[1])
