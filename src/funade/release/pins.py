"""What a candidate pins: complete, made from one another, loadable here, its data checked and fresh."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from funade.clock import to_minute
from funade.declare.graph import Graph, deprecations
from funade.declare.period import span
from funade.declare.policy import Fresh
from funade.declare.spec import Spec
from funade.errors import DeclarationError
from funade.release import cut
from funade.store.codecs import installed
from funade.store.naming import short
from funade.store.records import Candidate, Finding, Version
from funade.store.store import Store


def findings(candidate: Candidate, graph: Graph, store: Store, now: datetime) -> Iterator[Finding]:
    """Whether the cut agrees with itself, with what is installed, and with the checks of its data."""
    yield from _cut(candidate, graph, store)
    yield from _deprecated(graph, now)
    for spec in graph:
        version = store.metadata.version(candidate.pins.get(spec.name, ""))
        if version is not None:
            yield from _runtime(version)
            yield from _data(spec, version, store)
            yield from _fresh(spec, version, now)


def _cut(candidate: Candidate, graph: Graph, store: Store) -> Iterator[Finding]:
    problems = [*_absent(candidate, graph, store), *_disagreeing(candidate, graph, store)]
    yield from problems
    if not problems:
        expected = "every version made from the other pinned versions"
        yield Finding("cut", expected, f"{len(candidate.pins)} that agree", holds=True)


def _absent(candidate: Candidate, graph: Graph, store: Store) -> Iterator[Finding]:
    for name in graph.line():
        pinned = candidate.pins.get(name, "")
        version = store.metadata.version(pinned)
        if version is None or version.node != name:
            expected = f"`{short(name, pinned)}` in the store" if pinned else f"a version of `{name}`"
            got = "none" if version is None else f"a version of `{version.node}`"
            do = f"run: funade build {name}" if graph[name].kind not in ("source", "api") else "run: funade stage"
            yield Finding(check="cut", expected=expected, got=got, holds=False, at=graph[name].place, do=do)


def _disagreeing(candidate: Candidate, graph: Graph, store: Store) -> Iterator[Finding]:
    for pair in cut.disagreements(candidate.pins, graph, store.metadata):
        text = str(pair).removeprefix("release expected ")
        expected, _, got = text.partition(", got ")
        yield Finding(check="cut", expected=expected, got=got, holds=False, at=pair.at, do=pair.do)


def _deprecated(graph: Graph, now: datetime) -> Iterator[Finding]:
    for spec in graph:
        needed = [msgspec.structs.replace(graph[name], edges=()) for name in spec.upstream()]
        try:
            lines = deprecations([spec, *needed], now.date())
        except DeclarationError as error:
            expected, _, got = error.what.partition(" expected ")[2].partition(", got ")
            expected = f"`{spec.name}` to use {expected}"
            yield Finding("deprecated", expected, got, holds=False, at=error.at, do=error.do)
        else:
            for line in lines:
                yield Finding("deprecated", "a node in use", line.split(" - at ")[0], holds=True)


def _runtime(version: Version) -> Iterator[Finding]:
    for name, wanted in version.recipe.get("runtime", {}).items():
        there = installed(name)
        if there != wanted:
            expected = f"{name} {wanted}, with which `{version.node}` was made"
            at, do = short(version.node, version.id), f"run: funade build {version.node}"
            yield Finding("runtime", expected, there or "none installed", holds=False, at=at, do=do)


def _data(spec: Spec, version: Version, store: Store) -> Iterator[Finding]:
    if spec.kind != "dataset" or not spec.checks:
        return
    done, at = store.metadata.checked(version.id, spec.checks_digest), short(version.node, version.id)
    if done is None:
        expected, do = "data checks under its present policies", f"run: funade build {spec.name}"
        yield Finding("data", expected, "none", holds=False, at=at, do=do)
        return
    bad = [f for f in done.findings if not f.holds]
    for finding in bad:
        do = f"see them: funade show {at} --bad"
        yield Finding("data", finding.expected, finding.got, holds=False, at=at, do=do)
    if not bad:
        yield Finding("data", f"{len(done.findings)} data checks to hold", "no bad row", holds=True, at=at)


def _fresh(spec: Spec, version: Version, now: datetime) -> Iterator[Finding]:
    policy = spec.policy(Fresh)
    if policy is None:
        return
    end = version.end
    yield Finding(
        check="fresh",
        expected=f"data that ends at most {policy.within} before {to_minute(now)}",
        got=f"an end at {to_minute(end)}" if end else "no end, for its rows carry no time",
        holds=end is not None and now - end <= span(policy.within),
        at=short(version.node, version.id),
        do="run: funade load && funade build && funade stage",
    )
