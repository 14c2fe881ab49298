"""A project: the folder with ``funade.toml``, its graph, its store, and the verbs on them. The one composition root."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from funade import clock as clocks
from funade.clock import Clock
from funade.contract.form import Form
from funade.declare.graph import Graph, deprecations, nodes_of
from funade.declare.node import Node
from funade.declare.period import Period
from funade.declare.policy import Was
from funade.declare.setting import as_declared
from funade.declare.spec import Spec
from funade.errors import ProjectError
from funade.fingerprint.importing import import_project, project_files
from funade.plan import plan as plans
from funade.plan.status import Status
from funade.project import config as configs
from funade.project import graph_cache
from funade.project.config import Config
from funade.project.graph import read_graph
from funade.project.places import Places
from funade.project.present import Present, attempt
from funade.store import address
from funade.store.records import Build, Candidate, Hold, Pins, Release, Switch, Version
from funade.store.store import Store

if TYPE_CHECKING:
    from funade.batch.run import Progress, Summary
    from funade.build.context import BuildContext
    from funade.build.due import PeriodLoad
    from funade.build.run import Built
    from funade.explain.explain import Explanation
    from funade.release.gate import GateReport
    from funade.store.ports.queue import Queue


class Project:
    """A project's graph and store, and what can be done with them.

    ``root`` is the folder with ``funade.toml``. Profile, places and secrets are looked up in ``environ``, the process's
    environment unless given.
    """

    def __init__(self, root: Path, *, clock: Clock = clocks.system, environ: Mapping[str, str] | None = None) -> None:
        self.root = root.resolve()
        self.clock = clock
        self.environ = os.environ if environ is None else environ
        self.config: Config = configs.read(self.root, self.environ.get("FUNADE_PROFILE", ""))

    @classmethod
    def find(cls, folder: str | Path = ".", *, clock: Clock = clocks.system) -> Project:
        """The project in ``folder`` or the nearest folder above it.

        Raises:
            ProjectError: no ``funade.toml`` there or above.
        """
        start = Path(folder).resolve()
        for place in (start, *start.parents):
            if (place / configs.FILE).is_file():
                return cls(place, clock=clock)
        raise ProjectError(
            f"project expected {configs.FILE} here or above, got none",
            at=str(start),
            do='write one: [project] name = "…", modules = ["…"]',
        )

    @cached_property
    def store(self) -> Store:
        """The store the configuration names."""
        return Store.open(address.resolved(self.config.store.path, self.root), self.clock)

    @property
    def zone(self) -> ZoneInfo:
        """The project's time zone (UTC while none is needed)."""
        return ZoneInfo(self.config.project.timezone or "UTC")

    @property
    def places(self) -> Places:
        """Where functions' places and secrets are looked up."""
        return Places(self.root, self.config.places, self.environ)

    @cached_property
    def graph(self) -> Graph:
        """Every node as plain data; cached while no file of the project changes."""
        return read_graph(self.root, self.config.project, self.store.local / "cache", lambda: self.nodes.values())

    @cached_property
    def nodes(self) -> dict[str, Node[Any, Any]]:
        """Every node with its function: the project's modules, imported."""
        modules = import_project(self.root, self.config.project.modules)
        return {node.name: node for node in nodes_of(modules)}

    def present(self) -> Present:
        """The project as it is now: graph, plan and store, for one verb."""
        return Present(self.config, self.store, lambda: self.graph, self.clock)

    # -- load and build ----------------------------------------------------------------------------

    def periods(self, spec: Spec, first: str = "", last: str = "", *, again: bool = False) -> list[Period]:
        """The periods that ``load`` would bring in."""
        from funade.build.due import periods_to_load

        return periods_to_load(spec, self.store, self.zone, self.clock(), first=first, last=last, again=again)

    def load(self, spec: Spec, periods: Sequence[Period]) -> Iterator[PeriodLoad]:
        """Bring periods of one source in, in order; each is kept as soon as it is there."""
        if not periods:
            return
        from funade.build.load import load

        plans.check_settings(self.graph, self.config.settings)
        node = self.nodes[spec.name]
        settings = plans.setting_values(spec, self.config.settings.get(spec.name, {}))
        arguments = self.places.arguments(spec) | as_declared(node.function, settings)
        yield from load(
            spec, node, periods, arguments=arguments, store=self.store, zone=self.zone, now=self.clock, root=self.root
        )

    def plan(self) -> plans.Plan:
        """Which version every node has under its present recipe or hold."""
        return self.present().plan

    def build(self, *names: str, settings: Mapping[str, Any] | None = None, again: bool = False) -> Iterator[Built]:
        """Make the named nodes (all, if none) and what they need; with settings or ``again``, as an attempt.

        Raises:
            Misuse: an unknown node, or settings without exactly one node to set them for.
            DeclarationError: one of them uses a deprecated node after its date.
        """
        from funade.build import run

        self.deprecated(*names)
        targets = [self.graph[name].name for name in names] or list(self.graph.specs)
        addition = attempt(self.graph, targets if names else [], settings or {}, again=again)
        steps = self.present().plan_of(addition)
        needed = self.graph.ancestors(targets)
        imported = any(step.state == "absent" and not step.missing for n, step in steps.items() if n in needed)
        yield from run.build(steps, targets, self._build_context(imported=imported), attempts=list(addition))

    def deprecated(self, *names: str) -> list[str]:
        """One line for each use of a deprecated node by the named nodes (all, if none) and what they need.

        Raises:
            DeclarationError: a use after its date.
        """
        needed = self.graph.ancestors(names or self.graph.specs)
        return deprecations([spec for spec in self.graph if spec.name in needed], self.clock().date())

    def _build_context(self, *, imported: bool) -> BuildContext:
        from funade.build.context import BuildContext

        return BuildContext(
            store=self.store,
            graph=self.graph,
            nodes=self.nodes if imported else {},
            zone=self.zone,
            now=self.clock,
            root=self.root,
            arguments=self.places.arguments,
            lock=self.store.blobs.put_bytes(installed().encode()) if imported else "",
        )

    # -- look --------------------------------------------------------------------------------------

    def status(self) -> list[Status]:
        """Every node: newest, held, released, and exactly why something is stale."""
        return self.present().status()

    def released(self) -> Pins:
        """The pins of the current release; empty before the first."""
        return self.present().released

    def current(self) -> Release | None:
        """The current release."""
        return self.present().current

    def find_version(self, text: str) -> Version:
        """The version that ``node@abc123``, ``node@released``, a bare prefix or a node's name (its newest) means."""
        return self.present().find(text)

    def builds(self, node: str) -> list[Build]:
        """Every build of a node, oldest first; builds under its former names included."""
        names = [p.name for p in self.graph[node].policies if isinstance(p, Was)] + [node]
        return sorted((b for name in names for b in self.store.metadata.builds(name)), key=lambda b: b.started_at)

    # -- stage and release -------------------------------------------------------------------------

    def hold(self, text: str) -> Hold:
        """Hold a version for its dependents, and with it the exact inputs it was built from.

        Raises:
            HoldsDisagree: another hold wants another version of some node.
            Misuse: an api, source or evaluation, which are not held.
        """
        from funade.release import stage

        version = self.find_version(text)
        self.graph[version.node]  # a version of a node that is gone cannot be held
        return stage.hold(version, self.store.metadata, self.clock())

    def unhold(self, node: str) -> bool:
        """End a hold; False when there was none."""
        return self.store.metadata.unhold(self.graph[node].name)

    def stage(self) -> Candidate:
        """Write the candidate: holds, and of every other node of the line the version of its present recipe.

        Raises:
            CutIncomplete: a node of the line is not built; names the command.
            CutInconsistent: a version was built from something that is not pinned; names the pair and the command.
        """
        from funade.release import stage

        files = [*project_files(self.root), self.root / configs.FILE, *graph_cache.extra_files(self.graph, self.root)]
        zone = self.config.project.timezone
        return stage.candidate(
            self.plan(), self.graph, self.store, root=self.root, files=files, timezone=zone, now=self.clock()
        )

    def release(self, *, because: str = "", who: str = "") -> tuple[Release, GateReport | None]:
        """Gate the latest candidate against the current release and switch to it.

        Gives the release and what the gate found; the present release and None when it already is the candidate.

        Raises:
            CutIncomplete: nothing is staged.
            GateClosed: something does not hold and no ``because`` overrides it; ``findings`` has everything.
            SwitchLost: release or candidate moved meanwhile; nothing changed.
        """
        from funade.release import switch

        return switch.release(self.store, because=because, who=who or whoami(), now=self.clock)

    def rollback(self, number: int | None = None, *, because: str = "", who: str = "") -> Switch:
        """Switch back to an earlier release: the one before, unless a number says which.

        Raises:
            RollbackRefused: there is none, or it no longer loads or answers its golden rows as it did.
        """
        from funade.release import switch

        return switch.rollback(self.store, number, because=because, who=who or whoami())

    # -- serve -------------------------------------------------------------------------------------

    def serve(
        self,
        *,
        host: str | None = None,
        port: int | None = None,
        workers: int | None = None,
        grpc_port: int | None = None,
    ) -> None:
        """Serve the current release over HTTP and, on a port of its own, gRPC, following every switch.

        Ends at SIGTERM or SIGINT.

        Raises:
            ServeError: nothing is released, the port is taken, or the release does not come up.
        """
        from funade.project import server

        options = {"host": host or None, "port": port, "workers": workers or None, "grpc_port": grpc_port}
        chosen = {name: option for name, option in options.items() if option is not None}
        section = msgspec.structs.replace(self.config.serve, **chosen)
        config = msgspec.structs.replace(self.config, serve=section)
        server.serve(config, self.root, self.store, clock=self.clock)

    @cached_property
    def queue(self) -> Queue:
        """The queue of asynchronous requests.

        Raises:
            ProjectError: ``[queue]`` has a length of time that is none.
        """
        from funade.project import server

        return self.store.queue(server.queue_rules(self.config.queue, self.root))

    @property
    def tokens(self) -> Path:
        """The file of tokens that the server asks for."""
        from funade.project import server

        return server.tokens(self.config, self.root, self.store)

    def batch(
        self,
        api: str,
        *,
        rows: str,
        into: str,
        keep: Sequence[str] = (),
        most_refused: float = 0.01,
        workers: int | None = None,
        progress: Callable[[Progress], None] = lambda step: None,
    ) -> Summary:
        """Answer every row of a node, a table of answers or a SELECT by the current release, into a table.

        Columns of the rows that the contract does not name, and those to ``keep``, stand beside the answers. Called
        again after it was stopped, it continues.

        Raises:
            Misuse: no such api or rows, or the table's name is taken.
            ServeError: nothing is released.
            ResultRefused: the rows do not fit the api, or more than ``most_refused`` (a share) of them are refused.
        """
        from funade.project import batch

        order = batch.BatchOrder(api, rows, into, tuple(keep), most_refused, workers)
        return batch.answer(order, self.present(), progress)

    def explain(self, prediction: str) -> Explanation:
        """One answer by its prediction id: what it was made from, and the same answer given again.

        Raises:
            UnknownPrediction: no such answer is logged.
        """
        from funade.explain.explain import explain

        return explain(self.store, prediction)

    # -- notebook ----------------------------------------------------------------------------------

    def artifact(self, node: str, version: str = "") -> Any:
        """What the codec loads for a model or threshold: of the present recipe, or of the version named."""
        wanted = self.present().pick("load", node, "model", "threshold", "dataset", version=version)
        _ = self.nodes  # its classes may be the project's own
        return self.store.load(wanted.id, project_types=self.graph.packages)

    def rows(self, node: str, *, last: int | None = None, version: str = "", form: Form = "pandas") -> Any:
        """The rows of a source or dataset: all, or those of the last calendar days before its end."""
        from funade.project import tables

        wanted = self.present().pick("read", node, "source", "dataset", version=version)
        return tables.rows(wanted, self.store, last=last, zone=self.zone, form=form)

    def sql(self, query: str, form: Form = "pandas") -> Any:
        """A query over every source and dataset of the present recipe and every table of answers, by name.

        ``predictions`` are the answers that servers gave.
        """
        from funade.project import tables

        return tables.sql(query, self.present(), form)


def installed() -> str:
    """Every installed distribution with its version, a line each, sorted."""
    from importlib.metadata import distributions

    return "\n".join(sorted({f"{d.metadata['Name']}=={d.version}" for d in distributions()}))


def whoami() -> str:
    """The user's name, as the audit records it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
