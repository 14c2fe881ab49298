"""A model file served as it is: one api, its contract read from the file; nothing is released, nothing switches."""

from __future__ import annotations

import importlib
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from funade import digest
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
from funade.process.child import Child, ChildEnded, ChildFailed, Ready, Surroundings
from funade.process.parent import Parent, run
from funade.serve.bare import file as bare_file
from funade.serve.settings import ServerSettings

RELEASE = 1
"""The number of the only release that there is."""


class ModelFile(msgspec.Struct, frozen=True):
    """A file and the digest of its bytes (hex)."""

    file: str
    digest: str


def load(argument: dict[str, Any]) -> LoadedRelease:
    """The api of the file that ``{"file": path, "digest": hex}`` names; what a worker starts from.

    Raises:
        ServeError: the file is no model, has another digest by now, or takes or gives what is no value or list of
            values a row.
    """
    path = Path(argument["file"])
    kind = bare_file.kind_of(path)
    if digest.of_file(path) != argument["digest"]:
        what = f"`{path}` expected the bytes that serving began with, got others"
        raise ServeError(what, do="start the server again")
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
    file = ModelFile(str(path), digest.of_file(path))
    _check(path, file)
    options = {"host": host, "port": port, "grpc_port": grpc_port, "workers": workers}
    with tempfile.TemporaryDirectory(prefix="funade-serve-") as folder:
        settings = ServerSettings("funade.serve.bare.serve:load", msgspec.to_builtins(file), folder=folder)
        settings = msgspec.structs.replace(settings, **{name: v for name, v in options.items() if v is not None})
        supervisor.serve(settings, lambda: (1, RELEASE), clock=clock)


def _check(path: Path, file: ModelFile) -> None:
    """Load it once in a process of its own before anything listens: a damaged file may end the process that reads it.

    Raises:
        ServeError: as ``load``.
    """
    with closing(Child("funade.serve.bare.serve", file, Surroundings(keeps_errors=True))) as child:
        try:
            child.hear(Ready)
        except ChildEnded as ended:
            lines = (line for line in child.errors() if "Fatal" in line or "Error" in line)
            raise bare_file.unread(path, RuntimeError(next(lines, str(ended)))) from None
        except ChildFailed as failed:
            if not failed.report.kind:
                raise bare_file.unread(path, RuntimeError(failed.report.what)) from None
            raise failed.report.error("") from None


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


def main(file: ModelFile, parent: Parent) -> None:
    """Load what a worker would."""
    load(msgspec.to_builtins(file))
    parent.send(Ready())


if __name__ == "__main__":
    run(main, ModelFile)
