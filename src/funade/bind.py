"""Pins → one callable per api: the one binding that builds, the gate and servers share."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from funade.declare.answers import wrong
from funade.declare.contract import Contract
from funade.declare.decorators import Gives, Takes
from funade.declare.given import Given
from funade.declare.graph import Graph, nodes_of
from funade.declare.guarding import GuardFunction, Guards
from funade.declare.importing import import_project
from funade.declare.node import Node
from funade.declare.numbers import Wire, wires
from funade.declare.policy import AnswersWithin, Fallback, Guard, Logged, Owner
from funade.declare.reason import GUARD, REFUSED
from funade.declare.rows import Answers, Requests, from_frame, to_frame
from funade.declare.setting import as_declared
from funade.declare.spec import Spec
from funade.declare.taken import Taken
from funade.errors import AnswerError, CutIncomplete, ServeError
from funade.store import code, tables
from funade.store.opened import Store
from funade.store.records import Candidate, Golden, Pins

if TYPE_CHECKING:
    import numpy as np

    Columns = dict[str, np.ndarray[Any, Any]]


class Decided(NamedTuple):
    """Answers as they leave: the fallback's where a guard held one back.

    ``guarded`` are those rows; ``rejected`` the rows that a guard leaves without any answer: their values mean nothing.
    """

    columns: Columns
    guarded: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()


class Bound:
    """One api with everything it needs, ready to answer."""

    def __init__(
        self, spec: Spec, node: Node[Any, Any], inputs: Mapping[str, Any], settings: Mapping[str, Any], zone: ZoneInfo
    ) -> None:
        assert spec.contract is not None
        self.name = spec.name
        self.spec = spec
        self.contract: Contract = spec.contract
        fallback, owner, within = spec.policy(Fallback), spec.policy(Owner), spec.policy(AnswersWithin)
        self.fallback: dict[str, Any] | None = fallback.answer if fallback else None
        self.owner = owner.name if owner else ""
        self.promise_s = within.p99_ms / 1000 if within else None
        takes = next(p.struct for p in node.policies if isinstance(p, Takes))
        gives = next(p.struct for p in node.policies if isinstance(p, Gives))
        self.requests = Requests(takes, zone=zone)
        self.answers = Answers(gives)
        logged = spec.policy(Logged) or Logged()
        self.durable, self.unlogged = logged.durable, frozenset(logged.without)
        self.decode = self.requests.decode
        self.zone = zone
        self._function = node.function
        self._arguments = {**inputs, **as_declared(node.function, settings)}
        guards = [p for p in node.policies if isinstance(p, Guard | GuardFunction)]
        self._guards = Guards(self.name, guards, self.contract, self._arguments) if guards else None

    def answer(self, rows: Sequence[Any]) -> Columns:
        """The answers for decoded requests, as columns of ``len(rows)`` each, in order.

        Raises:
            AnswerError: the function gave other rows, columns or values than the contract says.
        """
        return self.call(self.take(list(rows)).columns, len(rows))

    def take(self, rows: Sequence[Any]) -> Taken:
        """Decoded requests as the columns that the function takes."""
        return self.requests.take(rows)

    def call(self, batch: Columns, rows: int) -> Columns:
        """The answers for a batch given as columns.

        Raises:
            AnswerError: as ``decide``, and where a guard rejects a row.
        """
        decided = self.decide(batch, rows)
        if decided.rejected:
            raise AnswerError(f"api `{self.name}` answered row {decided.rejected[0]} with what a guard rejects")
        return decided.columns

    def decide(self, batch: Columns, rows: int) -> Decided:
        """The answers for a batch given as columns, the fallback's where a guard held one back.

        Raises:
            AnswerError: as ``give``; a row's values break the contract, or a guard holds them back and there is no
                fallback.
        """
        columns, faults, _ = self.give(batch, rows)
        if not faults:
            return Decided(columns)
        guarded = {row: fault for row, fault in faults.items() if fault.code == GUARD}
        rejected = sorted(row for row, fault in faults.items() if fault.code == REFUSED)
        if len(guarded) + len(rejected) < len(faults):
            raise wrong({r: f for r, f in faults.items() if f.code not in (GUARD, REFUSED)}, self.name)
        if guarded and self.fallback is None:
            raise wrong(guarded, self.name, do="add fn.fallback(…), which then answers")
        if guarded:
            columns = self.answers.standing(columns, [*guarded], self.answers.constant(self.fallback or {}))
        return Decided(columns, tuple(sorted(guarded)), tuple(rejected))

    def give(self, batch: Columns, rows: int) -> Given:
        """The answers for a batch given as columns; a row whose values break the contract is named, not its neighbours.

        Raises:
            AnswerError: the function gave another number of rows, other columns or columns of another type.
        """
        if rows == 0:
            return Given(self.answers.empty())
        form = self.spec.batch_form or "pandas"
        own = batch
        if self._guards is not None and form == "columns":  # a guard judges what came
            own = {name: column.copy() for name, column in batch.items()}
        frame = to_frame(own, form, fields=self.contract.takes_fields)
        result = self._function(**{self.spec.batch: frame}, **self._arguments)
        names = [f.name for f in self.contract.gives_fields]
        columns = from_frame(result, form=self.spec.result_form, rows=rows, names=names, api=self.name, zone=self.zone)
        if self._guards is not None:
            return self._guards.judge(columns, batch, rows)
        return Given(*self.answers.judge(columns, rows, api=self.name))


def bind(
    graph: Graph,
    nodes: Mapping[str, Node[Any, Any]],
    pins: Pins,
    store: Store,
    *,
    settings: Mapping[str, Mapping[str, Any]],
    zone: ZoneInfo,
    only: Sequence[str] | None = None,
    replaced: Mapping[str, str] | None = None,
    project_types: Sequence[str] = (),
    given: Mapping[str, Any] | None = None,
) -> dict[str, Bound]:
    """Api name → the api bound to its pinned inputs.

    Args:
        graph: the specs the pins belong to.
        nodes: the same nodes, imported.
        pins: node → version id of everything the apis take.
        store: where the versions are.
        settings: node → the settings its versions were made with.
        zone: the project's time zone.
        only: these apis (and those they take); every api unless given.
        replaced: for the apis in ``only``: parameter → node that takes an input's place.
        project_types: packages whose classes an artifact may be made of.
        given: node → a model that takes the place of what the store has for it.

    Raises:
        CutIncomplete: something an api takes is not pinned.
    """
    found: dict[str, Bound] = {}
    loaded: dict[str, Any] = dict(given or {})

    def value(spec: Spec, parameter: str) -> Any:
        edge = next(e for e in spec.edges if e.parameter == parameter)
        name = (replaced or {}).get(parameter, edge.node) if spec.name in (only or ()) else edge.node
        if graph[name].kind == "api":
            return _as_function(one(name), edge.form)
        if name not in pins:
            raise CutIncomplete(
                f"api `{spec.name}` expected a version of `{name}`, got none", do=f"run: funade build {name}"
            )
        if graph[name].kind == "dataset":
            version = store.version(pins[name])
            return tables.read(version, store.metadata, store.blobs, part=edge.part, form=edge.form)
        if name not in loaded:
            loaded[name] = store.load(pins[name], project_types=project_types)
        return loaded[name]

    def one(name: str) -> Bound:
        if name not in found:
            spec = graph[name]
            inputs = {e.parameter: value(spec, e.parameter) for e in spec.edges}
            found[name] = Bound(spec, nodes[name], inputs, spec.settings | dict(settings.get(name, {})), zone)
        return found[name]

    for spec in graph.of_kind("api"):
        if only is None or spec.name in only:
            one(spec.name)
    return found


def _as_function(api: Bound, form: str) -> Any:
    """An api as another api's input: a frame of rows in, a frame of answers out."""

    def answer(batch: Any) -> Any:
        from funade.declare.form import form_of

        given = form_of(type(batch)) if not isinstance(batch, dict) else "columns"
        rows = len(batch) if not isinstance(batch, dict) else len(next(iter(batch.values())))
        there = batch if isinstance(batch, Mapping) else getattr(batch, "column_names", batch.columns)
        names = [f.name for f in api.contract.takes_fields if not f.filled or f.name in there]
        columns = from_frame(batch, form=given, rows=rows, names=names, api=api.name, zone=api.zone, extra=True)
        return to_frame(api.call(api.requests.fill_defaults(columns, rows).columns, rows), given)

    return answer


class Loaded(msgspec.Struct):
    """One release (or candidate) in this process: its code imported from its own snapshot, its apis bound."""

    release: int
    candidate: str
    graph: Graph
    nodes: dict[str, Node[Any, Any]]
    modules: list[types.ModuleType]
    apis: dict[str, Bound]
    golden: tuple[Golden, ...] = ()
    wires: dict[str, Wire] = {}

    @property
    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document of the apis."""
        from funade.declare.openapi import openapi

        return openapi({name: api.contract for name, api in self.apis.items()}, version=str(self.release))

    def warm(self) -> None:
        """Answer every golden row as the gate did.

        Raises:
            ServeError: one answer differs; names the api, the row and both answers.
        """
        for golden in self.golden:
            differs = difference(self.apis[golden.api], golden)
            if differs:
                raise ServeError(differs)


def answer_golden(api: Bound, requests: Sequence[dict[str, Any]]) -> Golden:
    """The answers of one direct call for these requests (JSON values)."""
    rows, refused = api.requests.convert(requests)
    if refused:
        index, reason = refused[0]
        raise ServeError(f"api `{api.name}` expected golden rows that keep its contract, got row {index}: {reason}")
    return Golden(api.name, list(requests), told(api, api.decide(api.take(rows).columns, len(rows))) if rows else [])


def told(api: Bound, decided: Decided) -> list[dict[str, Any]]:
    """Answers as a client reads them; {} for a row that a guard rejects."""
    found = api.answers.rows(decided.columns)
    for row in decided.rejected:
        found[row] = {}
    return found


def difference(api: Bound, golden: Golden) -> str:
    """What the api answers differently from the golden answers; "" when nothing."""
    now = answer_golden(api, golden.requests).answers
    for index, (expected, got) in enumerate(zip(golden.answers, now, strict=True)):
        # Through JSON, as the expected answers were kept: NaN equals NaN.
        if msgspec.json.encode(expected) != msgspec.json.encode(got):
            return f"api `{api.name}` expected {expected} for golden row {index}, got {got}"
    return ""


def load_candidate(store: Store, candidate: Candidate, *, release: int = 0, golden: tuple[Golden, ...] = ()) -> Loaded:
    """A candidate's code imported from its snapshot and its apis bound to its pins."""
    folder = code.unpack(store.blobs, candidate.code, store.root / "code")
    graph = Graph(candidate.specs)
    modules = import_project(folder, sorted({spec.module for spec in candidate.specs}))
    nodes = {node.name: node for node in nodes_of(modules)}
    apis = bind(
        graph,
        nodes,
        candidate.pins,
        store,
        settings=candidate.settings,
        zone=ZoneInfo(candidate.timezone or "UTC"),
        project_types=project_packages(graph),
    )
    return Loaded(release, candidate.id, graph, nodes, modules, apis, golden, wires(candidate.specs, candidate.wires))


def load_release(argument: dict[str, Any]) -> Loaded:
    """The release that ``{"store": folder, "release": number}`` names, ready to answer: what a worker starts from."""
    store = Store.open(Path(argument["store"]))
    release = store.metadata.release(argument["release"])
    if release is None:
        raise ServeError(f"release {argument['release']} expected in the store, got none")
    candidate = store.metadata.candidate(release.candidate)
    assert candidate is not None  # the switch that made the release checked it
    golden = tuple(msgspec.json.decode(store.blobs.read(digest), type=Golden) for digest in release.golden.values())
    return load_candidate(store, candidate, release=release.number, golden=golden)


def project_packages(graph: Graph) -> tuple[str, ...]:
    """The project's own top packages, whose classes an artifact may be made of."""
    return tuple(sorted({spec.module.partition(".")[0] for spec in graph}))
