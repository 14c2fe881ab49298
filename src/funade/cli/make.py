"""Commands that bring data in and make versions."""

from __future__ import annotations

import tomllib
from datetime import date, time
from typing import Any

import click

from funade.build.due import PeriodLoad
from funade.build.run import Built
from funade.cli.output import count, number, progress, project, say, seconds
from funade.declare.period import Period
from funade.declare.spec import Spec
from funade.errors import FunadeError, Misuse
from funade.project.project import Project
from funade.store.naming import short


@click.command()
@click.argument("source", required=False)
@click.option("--from", "first", default="", metavar="PERIOD", help="The first period, e.g. 2022-01-01.")
@click.option("--to", "last", default="", metavar="PERIOD", help="The last period, included.")
@click.option("--again", is_flag=True, help="Also periods that are loaded; changed rows become a new revision.")
def load(source: str | None, first: str, last: str, again: bool) -> None:
    """Bring in the periods of SOURCE (all, if none) that are due.

    Those that are there stay as they are; with --from and --to those that are named.
    """
    here = project()
    for spec in _sources(here, source):
        periods = here.periods(spec, first, last, again=again)
        _say_loaded(here, spec, periods, _load(here, spec, periods))


def _sources(here: Project, name: str | None) -> list[Spec]:
    sources = [here.graph[name]] if name else here.graph.of_kind("source")
    if not sources:
        raise Misuse("load expected a source, got none in the project")
    for spec in sources:
        if spec.kind != "source":
            raise Misuse(f"load expected a source, got {spec.kind} `{spec.name}`", do=f"run: funade build {spec.name}")
    return sources


def _load(here: Project, spec: Spec, periods: list[Period]) -> list[PeriodLoad]:
    """The periods of which something new was loaded."""
    loads: list[PeriodLoad] = []
    with progress(f"loading {spec.name}", len(periods)) as step:
        try:
            for load in here.load(spec, periods):
                step(load.period)
                loads += [load] if load.revision is not None else []
        except (FunadeError, KeyboardInterrupt):
            if loads:
                say(f"loaded {spec.name}: {count(len(loads), 'period')}, then stopped")
            raise
    return loads


def _say_loaded(here: Project, spec: Spec, periods: list[Period], loads: list[PeriodLoad]) -> None:
    if not periods:
        there = here.store.metadata.revisions(spec.name)
        to = f"; {count(len(there), 'period')} to {there[-1].period}" if there else " (no period is due)"
        say(f"nothing to load: {spec.name}{to}")
        return
    parts = [count(len(loads), "period"), f"{sum(load.rows for load in loads)} rows"] if loads else []
    if bad := sum(load.bad_rows for load in loads):
        parts.append(f"{count(bad, 'bad row')} kept aside (see them: funade show {spec.name} --bad)")
    if same := len(periods) - len(loads):
        parts.append(f"{count(same, 'period')} unchanged")
    say(f"loaded {spec.name} {periods[0].name} to {periods[-1].name}: {', '.join(parts)}")


@click.command()
@click.argument("nodes", nargs=-1)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting for this attempt (one NODE).")
@click.option("--again", is_flag=True, help="Make NODE once more, as an attempt.")
def build(nodes: tuple[str, ...], settings: tuple[str, ...], again: bool) -> None:
    """Make NODES (all, if none) and what they need.

    What is there of the present recipe is not made again; what is below NODES is never made.
    """
    here = project()
    attempt = dict(map(_setting, settings))
    for line in here.deprecated(*nodes):
        say(f"warning: {line}")
    made = there = 0
    with progress("building", None) as step:
        for built in here.build(*nodes, settings=attempt, again=again):
            version = built.version
            step(version.node)
            if not built.made:
                there += 1
                continue
            made += 1
            say(f"built {short(version.node, version.id)}  {seconds(built.seconds)}{_facts(built)}")
            for warning in here.graph[version.node].warnings:
                say(f"  warning: {warning}")
    if made == 0:
        say(f"nothing to build: {count(there, 'version')} of the present recipe {'is' if there == 1 else 'are'} there")
    elif (attempt or again) and version.kind != "evaluation":
        say(f"an attempt: nothing uses it until you say  funade stage {short(version.node, version.id)}")


def _facts(built: Built) -> str:
    version = built.version
    parts = []
    if version.artifact and version.artifact.rows is not None:
        parts.append(f"{version.artifact.rows} rows")
    if built.findings:
        parts.append(f"{count(len(built.findings), 'check')} passed")
    if version.metrics:
        parts.append("  ".join(f"{k}={number(v)}" for k, v in version.metrics.items()))
    if version.refused:
        parts.append(f"{count(version.refused, 'row')} refused by the contract")
    if version.guarded:
        parts.append(f"{count(version.guarded, 'row')} answered by the fallback, held back by a guard")
    return "  " + ", ".join(parts) if parts else ""


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Misuse(f"--set expected NAME=VALUE, got `{text}`", do="write e.g. --set trees=200")
    try:
        parsed = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return name, value
    return name, value if isinstance(parsed, date | time) else parsed
