"""What a candidate pins: complete, made from one another, loadable here, its data checked and fresh."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from funade.declare.graph import Graph, deprecations
from funade.declare.period import span
from funade.declare.policy import Fresh
from funade.declare.spec import Spec
from funade.digest import SHORT
from funade.errors import DeclarationError
from funade.release import cut
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
    yield from problems or [
        Finding(
            check="cut",
            expected="every version made from the other pinned versions",
            got=f"{len(candidate.pins)} that agree",
            holds=True,
        )
    ]


def _absent(candidate: Candidate, graph: Graph, store: Store) -> Iterator[Finding]:
    for name in graph.line():
        pinned = candidate.pins.get(name, "")
        version = store.metadata.version(pinned)
        if version is None or version.node != name:
            expected = f"`{name}@{pinned[:SHORT]}` in the store" if pinned else f"a version of `{name}`"
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
            yield Finding(
                check="deprecated",
                expected=f"`{spec.name}` to use {expected}",
                got=got,
                holds=False,
                at=error.at,
                do=error.do,
            )
        else:
            yield from (
                Finding(check="deprecated", expected="a node in use", got=line.split(" - at ")[0], holds=True)
                for line in lines
            )


def _runtime(version: Version) -> Iterator[Finding]:
    needed: dict[str, str] = version.recipe.get("runtime", {})
    for name, wanted in needed.items():
        there = installed(name)
        if there != wanted:
            yield Finding(
                check="runtime",
                expected=f"{name} {wanted}, with which `{version.node}` was made",
                got=there or "none installed",
                holds=False,
                at=_short(version),
                do=f"run: funade build {version.node}",
            )


def installed(name: str) -> str:
    """The installed version of a distribution, or of ``python`` its minor; "" where there is none."""
    from importlib import metadata

    if name == "python":
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _data(spec: Spec, version: Version, store: Store) -> Iterator[Finding]:
    if spec.kind != "dataset" or not spec.checks:
        return
    done = store.metadata.checked(version.id, spec.checks_digest)
    if done is None:
        yield Finding(
            check="data",
            expected="data checks under its present policies",
            got="none",
            holds=False,
            at=_short(version),
            do=f"run: funade build {spec.name}",
        )
        return
    bad = [f for f in done.findings if not f.holds]
    yield from (
        Finding(
            check="data",
            expected=finding.expected,
            got=finding.got,
            holds=False,
            at=_short(version),
            do=f"see them: funade show {_short(version)} --bad",
        )
        for finding in bad
    )
    if not bad:
        yield Finding(
            check="data",
            expected=f"{len(done.findings)} data checks to hold",
            got="no bad row",
            holds=True,
            at=_short(version),
        )


def _fresh(spec: Spec, version: Version, now: datetime) -> Iterator[Finding]:
    policy = spec.policy(Fresh)
    if policy is None:
        return
    end = version.end
    yield Finding(
        check="fresh",
        expected=f"data that ends at most {policy.within} before {_shown(now)}",
        got=f"an end at {_shown(end)}" if end else "no end, for its rows carry no time",
        holds=end is not None and now - end <= span(policy.within),
        at=_short(version),
        do="run: funade load && funade build && funade stage",
    )


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _short(version: Version) -> str:
    return f"{version.node}@{version.id[:SHORT]}"
