"""A project: the folder with ``funade.toml``, its graph, its store, and the verbs on them. The one composition root."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

import msgspec

from funade import clock as clocks
from funade.build.status import Status
from funade.clock import Clock
from funade.declare.graph import Graph
from funade.declare.node import Node, Secret
from funade.declare.period import Period
from funade.declare.policy import Every, Time
from funade.declare.setting import as_declared
from funade.declare.spec import Spec
from funade.errors import (
    Misuse,
    NotBuilt,
    PlaceMissing,
    ProjectError,
    ServeError,
)
from funade.fingerprint.importing import import_project, project_files
from funade.plan import plan as plans
from funade.project import config as configs
from funade.project import graph_cache, server
from funade.project.config import Config
from funade.queue.queue import Queue
from funade.store import address
from funade.store.records import Build, Candidate, Hold, Pins, Release, Switch, Version
from funade.store.store import Store

if TYPE_CHECKING:
    from funade.batch.run import Progress, RowSource, Summary
    from funade.build.context import BuildContext
    from funade.build.due import PeriodLoad
    from funade.build.run import Built
    from funade.explain.explain import Explanation
    from funade.release.gate import GateReport


class Project:
    """A project's graph and store, and what can be done with them.

    Args:
        root: the folder with ``funade.toml``.
        clock: gives the time of every record.
        environ: where profile, places and secrets are looked up; the process's environment unless given.
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

    @cached_property
    def graph(self) -> Graph:
        """Every node as plain data; remembered while no file of the project changes."""
        folder = self.store.local / "cache"
        key = graph_cache.key(self.root)
        specs = graph_cache.recall(folder, key, self.root)
        if specs is None:
            from funade.project.specs import declared

            specs = declared(self.root, list(self.nodes.values()))
            graph_cache.remember(folder, key, self.root, specs)
        self._check_graph(specs)
        return Graph(specs)

    @cached_property
    def nodes(self) -> dict[str, Node[Any, Any]]:
        """Every node with its function: the project's modules, imported."""
        from funade.declare.graph import nodes_of

        modules = import_project(self.root, self.config.project.modules)
        return {node.name: node for node in nodes_of(modules)}

    def _check_graph(self, specs: Sequence[Spec]) -> None:
        if not specs:
            raise ProjectError(
                f"project `{self.config.project.name}` expected nodes in "
                f"{', '.join(self.config.project.modules) or 'its modules'}, got none",
                at=str(self.root / configs.FILE),
                do="decorate a function: @fn.source(…)",
            )
        dated = next((s for s in specs if s.policy(Every) or s.policy(Time)), None)
        if dated is not None and not self.config.project.timezone:
            raise ProjectError(
                f"project `{self.config.project.name}` expected a time zone, got none, "
                f"and {dated.kind} `{dated.name}` is dated",
                at=str(self.root / configs.FILE),
                do='add timezone = "Asia/Tokyo" (or yours) under [project]',
            )

    # -- what functions are given ------------------------------------------------------------------

    def given(self, spec: Spec) -> dict[str, Any]:
        """The places and secrets that a node's function asks for, by parameter.

        Raises:
            PlaceMissing: the profile and the environment do not give one.
        """
        places = {parameter: self.place(name, spec) for parameter, name in spec.places.items()}
        return places | {parameter: self.secret(name, spec) for parameter, name in spec.secrets.items()}

    def place(self, name: str, spec: Spec) -> Path:
        """The location ``name``: ``FUNADE_PLACE_NAME``, or ``[places]``, relative to the project's folder."""
        value = self.environ.get(f"FUNADE_PLACE_{name.upper()}") or self.config.places.get(name)
        if not value:
            raise PlaceMissing(
                f"{spec.kind} `{spec.name}` expected a place `{name}`, got none",
                at=spec.place,
                do=f"set FUNADE_PLACE_{name.upper()}, or {name} under [places] in {configs.FILE}",
            )
        return (self.root / value).resolve()

    def secret(self, name: str, spec: Spec) -> Secret:
        """The secret ``name``, from the environment or the file that ``NAME_FILE`` names."""
        value, file = self.environ.get(name), self.environ.get(f"{name}_FILE")
        if value is None and file:
            try:
                value = Path(file).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise PlaceMissing(
                    f"{spec.kind} `{spec.name}` expected a secret `{name}` in {file}, got {type(error).__name__}",
                    at=spec.place,
                    do=f"mend {name}_FILE",
                ) from None
        if value is None:
            raise PlaceMissing(
                f"{spec.kind} `{spec.name}` expected a secret `{name}`, got none",
                at=spec.place,
                do=f"set {name} or {name}_FILE",
            )
        return Secret(name, value)

    # -- load and build ----------------------------------------------------------------------------

    def periods(self, spec: Spec, first: str = "", last: str = "", *, again: bool = False) -> list[Period]:
        """The periods that ``load`` would bring in."""
        from funade.build import due as dues
        from funade.declare import period

        every = cast(Every, spec.policy(Every))
        if not first and not last and not again:
            return dues.wanted(spec, self.store, self.zone, self.clock())
        now = self.clock()
        newest = [p.name for p in period.due(every, self.zone, now)][-1:]
        if not last and not newest:
            return []
        named = period.chosen(every, self.zone, first, last or newest[0], now=now)
        return named if again else dues.unloaded(spec, self.store, named)

    def load(self, spec: Spec, periods: Sequence[Period]) -> Iterator[PeriodLoad]:
        """Bring periods of one source in, in order; each is kept as soon as it is there."""
        if not periods:
            return
        from funade.build.load import load

        plans.check_settings(self.graph, self.config.settings)
        node = self.nodes[spec.name]
        settings = plans.setting_values(spec, self.config.settings.get(spec.name, {}))
        given = self.given(spec) | as_declared(node.function, settings)
        yield from load(
            spec,
            node,
            periods,
            given=given,
            store=self.store,
            zone=self.zone,
            now=self.clock,
            root=self.root,
        )

    def plan(
        self, attempt: Mapping[str, dict[str, Any]] | None = None, holds: Mapping[str, Hold] | None = None
    ) -> plans.Plan:
        """Which version every node has under its present recipe or hold (those of the store unless given)."""
        return plans.plan(
            self.graph,
            self.store.metadata,
            settings=self.config.settings,
            holds=holds,
            timezone=self.config.project.timezone,
            attempt=attempt,
        )

    def build(self, *names: str, settings: Mapping[str, Any] | None = None, again: bool = False) -> Iterator[Built]:
        """Make the named nodes (all, if none) and what they need; with settings or ``again``, as an attempt.

        Raises:
            Misuse: an unknown node, or settings without exactly one node to set them for.
            DeclarationError: one of them uses a deprecated node after its date.
        """
        from funade.build import run

        self.deprecated(*names)
        targets = [self.graph[name].name for name in names] or list(self.graph.specs)
        attempt = self._attempt(targets if names else [], settings or {}, again=again)
        steps = self.plan(attempt)
        needed = self.graph.ancestors(targets)
        if all(s.state != "absent" or s.missing for n, s in steps.items() if n in needed):
            yield from run.build(steps, targets, self._surroundings(imported=False))
            return
        yield from run.build(steps, targets, self._surroundings(imported=True), attempts=list(attempt))

    def deprecated(self, *names: str) -> list[str]:
        """One line for each use of a deprecated node by the named nodes (all, if none) and what they need.

        Raises:
            DeclarationError: a use after its date.
        """
        from funade.declare.graph import deprecations

        needed = self.graph.ancestors(names or self.graph.specs)
        return deprecations([spec for spec in self.graph if spec.name in needed], self.clock().date())

    def _attempt(
        self, targets: Sequence[str], settings: Mapping[str, Any], *, again: bool
    ) -> dict[str, dict[str, Any]]:
        if not settings and not again:
            return {}
        if len(targets) != 1:
            raise Misuse(
                "an attempt expected one node, got " + (", ".join(targets) or "none"),
                do="name it: funade build NODE --set k=v",
            )
        node = targets[0]
        if self.graph[node].kind in ("source", "api"):
            raise Misuse(
                f"an attempt expected a node that is built, got {self.graph[node].kind} `{node}`",
                do=f"run: funade load {node} --again" if self.graph[node].kind == "source" else "",
            )
        plans.check_settings(self.graph, {node: settings}, place="--set")
        import uuid

        return {node: {"settings": dict(settings)} | ({"again": uuid.uuid4().hex} if again else {})}

    def _surroundings(self, *, imported: bool) -> BuildContext:
        from funade.build.context import BuildContext

        return BuildContext(
            store=self.store,
            graph=self.graph,
            nodes=self.nodes if imported else {},
            zone=self.zone,
            now=self.clock,
            root=self.root,
            given=self.given,
            lock=self.store.blobs.put_bytes(installed().encode()) if imported else "",
        )

    # -- look --------------------------------------------------------------------------------------

    def status(self) -> list[Status]:
        """Every node: newest, held, released, and exactly why something is stale."""
        from funade.build.status import status

        return status(self.plan(), self.plan(holds={}), self.store.metadata, self.released())

    def released(self) -> Pins:
        """The pins of the current release; empty before the first."""
        current = self.current()
        return current.pins if current else {}

    def current(self) -> Release | None:
        """The current release."""
        switch = self.store.metadata.current()
        return self.store.metadata.release(switch.after) if switch else None

    def find_version(self, text: str) -> Version:
        """The version that ``node@abc123``, ``node@released``, a bare prefix or a node's name (its newest) means."""
        node, _, rest = text.partition("@")
        if rest == "released":
            pinned = self.released().get(node)
            if not pinned:
                kind = self.graph[node].kind
                raise Misuse(
                    f"{kind} `{node}` expected a version in the current release, got none",
                    do="see them: funade releases",
                )
            return self.store.version(pinned)
        if not rest and (node in self.graph.specs or set(node.lower()) - set("0123456789abcdef")):
            versions = self.store.metadata.versions(self.graph[node].name)
            if self.graph[node].kind == "source" or not versions:
                return self._present(node)
            return versions[-1]
        return self.store.metadata.find(text)

    def builds(self, node: str) -> list[Build]:
        """Every build of a node, oldest first; builds under its former names included."""
        from funade.declare.policy import Was

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
        options = {"host": host or None, "port": port, "workers": workers or None, "grpc_port": grpc_port}
        chosen = {name: option for name, option in options.items() if option is not None}
        section = msgspec.structs.replace(self.config.serve, **chosen)
        config = msgspec.structs.replace(self.config, serve=section)
        server.serve(config, self.root, self.store, clock=self.clock)

    @cached_property
    def queue(self) -> Queue:
        """The queue of asynchronous requests, in a file of its own beside the store's records.

        Raises:
            ProjectError: ``[queue]`` has a length of time that is none.
        """
        from funade.queue.queue import Queue

        rules = server.queue_rules(self.config.queue, self.root)
        return Queue(self.store.local / "queue.db", clock=self.clock, rules=rules)

    @property
    def tokens(self) -> Path:
        """The file of tokens that the server asks for."""
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
        told: Callable[[Progress], None] = lambda step: None,
    ) -> Summary:
        """Answer every row of a node, a table of answers or a SELECT by the current release, into a table.

        Columns of the rows that the contract does not name, and those to ``keep``, stand beside the answers. Called
        again after it was stopped, it continues.

        Raises:
            Misuse: no such api or rows, or the table's name is taken.
            ServeError: nothing is released.
            ResultRefused: the rows do not fit the api, or more than ``most_refused`` (a share) of them are refused.
        """
        from funade.batch import run
        from funade.batch.plan import RunIdentity
        from funade.batch.table import Table

        release = self.current()
        if release is None:
            raise ServeError("batch expected a release that answers, got none", do="run: funade release")
        candidate = self.store.metadata.candidate(release.candidate)
        assert candidate is not None  # the switch that made the release checked it
        spec = _api(Graph(candidate.specs), api, release.number)
        self._refuse_clash(into)
        source = self._batch_rows(rows)
        asked = RunIdentity(api, release.number, rows, source.origin, tuple(keep))
        at_once = workers or len(os.sched_getaffinity(0))
        answers = run.Run(self.store, spec, asked, source, workers=at_once, most_refused=most_refused)
        return answers.into(Table(self.store.local, into), told, self.clock)

    def _refuse_clash(self, into: str) -> None:
        from funade.batch.table import files, is_path, refuse_clash

        if not is_path(into):
            refuse_clash(into, {spec.name: spec.kind for spec in self.graph}, files(self.store.local))

    def _batch_rows(self, text: str) -> RowSource:
        """Where the rows of a batch are: a node's own files, or what a query reads."""
        from funade.batch.plan import origin_of
        from funade.batch.run import RowSource
        from funade.batch.table import files
        from funade.predictions import table as predictions
        from funade.store.warehouse import versions as tables

        answers = files(self.store.local, besides=self.graph.specs)
        if text in answers:
            return RowSource({text: answers[text][0].parent.name}, answers, f'SELECT * FROM "{text}"')
        if text in self.graph.specs or text.isidentifier():
            self._refuse_other("batch", text, "source", "dataset")
            version = self._present(text)
            paths = tables.paths(version, self.store.metadata, self.store.blobs)
            return RowSource({text: version.id}, {text: paths})
        versions = self._readable()
        paths_of = {name: tables.paths(v, self.store.metadata, self.store.blobs) for name, v in versions.items()}
        known = {name: v.id for name, v in versions.items()}
        known |= {name: paths[0].parent.name for name, paths in answers.items()}
        logged = predictions.named(self.store.local, text)
        return RowSource(origin_of(known, text), {**logged, **answers, **paths_of}, text)

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
        from funade.bind.release import project_packages

        self._refuse_other("load", node, "model", "threshold", "dataset")
        found = self.find_version(f"{node}@{version}") if version else self._present(node)
        _ = self.nodes  # its classes may be the project's own
        return self.store.load(found.id, project_types=project_packages(self.graph))

    def rows(self, node: str, *, last: int | None = None, version: str = "", form: str = "pandas") -> Any:
        """The rows of a source or dataset: all, or those of the last calendar days before its end."""
        from funade.declare.window import last as last_days
        from funade.store.warehouse import versions as tables

        self._refuse_other("read", node, "source", "dataset")
        found = self.find_version(f"{node}@{version}") if version else self._present(node)
        if last is not None and not (found.time and found.end):
            raise Misuse(
                f"read(last={last}) expected rows with a time, got {found.kind} `{node}` without", do="read all: read()"
            )
        interval = last_days(days=last).interval(found.end, self.zone) if last is not None and found.end else None
        return tables.read(found, self.store.metadata, self.store.blobs, interval=interval, form=cast(Any, form))

    def sql(self, query: str, form: str = "pandas") -> Any:
        """A query over every source and dataset of the present recipe and every table of answers, by name.

        ``predictions`` are the answers that servers gave.
        """
        from funade.batch.table import files
        from funade.predictions import table as predictions
        from funade.store.warehouse import snapshots
        from funade.store.warehouse import versions as tables
        from funade.store.warehouse.frames import from_arrow

        answers = files(self.store.local, besides=self.graph.specs)
        paths: dict[str, Any] = {**predictions.named(self.store.local, query), **answers}
        for name, version in self._readable().items():
            paths[name] = tables.paths(version, self.store.metadata, self.store.blobs)
        return from_arrow(snapshots.sql(query, paths), cast(Any, form))

    def _readable(self) -> dict[str, Version]:
        """Every source and dataset whose version of the present recipe is there."""
        steps = self.plan()
        return {
            name: self._present(name)
            for name, step in steps.items()
            if step.spec.kind in ("source", "dataset") and step.state in ("found", "held")
        }

    def _refuse_other(self, verb: str, node: str, *kinds: str) -> None:
        if self.graph[node].kind not in kinds:
            wanted = f"{', '.join(kinds[:-1])} or {kinds[-1]}"
            raise Misuse(f"{verb} expected a {wanted}, got {self.graph[node].kind} `{node}`")

    def _present(self, node: str) -> Version:
        step = self.plan()[self.graph[node].name]
        if step.spec.kind == "source" and step.version:
            return plans.unbuilt(step, self.store.metadata, self.clock())
        found = self.store.metadata.version(step.version)
        if found is None:
            raise NotBuilt(
                f"{step.spec.kind} `{node}` expected its present version built, got none",
                at=step.spec.place,
                do=f"run: funade {'load' if step.spec.kind == 'source' else 'build'} {node}",
            )
        return found


def _api(graph: Graph, name: str, release: int) -> Spec:
    from funade.errors import closest

    names = [spec.name for spec in graph.of_kind("api")]
    if name not in names:
        raise Misuse(
            f"batch expected an api of release {release}, got `{name}`",
            do=closest(name, names) or f"it has {', '.join(names) or 'none'}",
        )
    return graph[name]


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
