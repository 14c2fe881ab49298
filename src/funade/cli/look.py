"""Commands that only look: the graph, what is stale, one version, the store's health."""

from __future__ import annotations

import sys
from typing import Any

import click

from funade.cli.output import as_json, count, local, number, project, say, seconds, table

JSON = click.option("--json", "json", is_flag=True, help="Print JSON.")


@click.command()
def check() -> None:
    """Import the project and check every declaration."""
    from funade.plan.plan import check_settings

    here = project()
    check_settings(here.graph, here.config.settings)
    for line in [w for spec in here.graph for w in spec.warnings] + here.deprecated():
        say(f"warning: {line}")
    kinds = [
        f"{len(found)} {kind}{'' if len(found) == 1 else 's'}" for kind in _KINDS if (found := here.graph.of_kind(kind))
    ]
    say(f"the declarations hold: {', '.join(kinds)}")


_KINDS = ("source", "dataset", "model", "threshold", "api", "evaluation")


@click.command()
@JSON
def graph(json: bool) -> None:
    """Show the nodes and what each takes."""
    here = project()
    if json:
        as_json(list(here.graph))
        return
    for spec in here.graph:
        say(f"{spec.kind:<10} {spec.name}" + (f"  ({spec.place})" if spec.place else ""))
        for edge in spec.edges:
            say(f"{'':<11}{edge.parameter} <- {_edge(edge)}")


def _edge(edge: Any) -> str:
    rows = str(edge.node) + (f" {edge.window}" if edge.window else "") + (f".{edge.part}" if edge.part else "")
    if not edge.api:
        return rows
    replaced = "".join(f", {k}={v}" for k, v in edge.replaced.items())
    return f"{edge.api}.on({rows}{replaced})"


@click.command()
@JSON
def status(json: bool) -> None:
    """Show every node, what is stale and exactly why."""
    here = project()
    found = here.status()
    if json:
        as_json(found)
        return
    table(
        ("node", "kind", "state", "newest", "held", "released"),
        [(s.node, s.kind, _state(s), s.newest[:6], s.held[:6], s.released[:6]) for s in found],
    )
    for s in found:
        for why in s.why:
            say(f"{s.node}: {why}")
        if s.released and s.behind and s.behind != s.why:
            for why in s.behind:
                say(f"{s.node} (released): {why}")
    current = here.current()
    say(f"release {current.number} of {local(current.at)} is current" if current else "nothing is released yet")


def _state(status: Any) -> str:
    if status.kind in ("api", "source"):
        return "not loaded" if not status.version else "present"
    if status.state == "absent":
        return "stale" if status.newest else "not built"
    return "held" if status.state == "held" else "present"


@click.command()
@click.argument("node")
@JSON
def compare(node: str, json: bool) -> None:
    """Show a node's builds side by side.

    Their settings, inputs, metrics and times; builds under former names too.
    """
    here = project()
    builds = here.builds(node)
    if json:
        as_json(builds)
        return
    if not builds:
        say(f"{node} has no build{_how_to_build(here.graph[node].kind, node)}")
        return
    versions = {b.version: here.store.metadata.version(b.version) for b in builds}
    settings = sorted({k for b in builds for k in b.settings})
    metrics = sorted({k for b in builds for k in b.metrics})
    inputs = sorted({k for v in versions.values() if v for k in v.inputs})
    rows = []
    for b in builds:
        version = versions[b.version]
        used = version.inputs if version else {}
        rows.append(
            (
                f"{b.node}@{b.version[:6]}",
                ("attempt" if b.attempt else "build") + ("" if b.state == "built" else ", failed"),
                local(b.started_at),
                seconds(b.seconds),
                *[b.settings.get(k, "") for k in settings],
                *[number(b.metrics[k]) if k in b.metrics else "" for k in metrics],
                *[used.get(k, "")[:6] for k in inputs],
            )
        )
    table(("version", "as", "started (UTC)", "took", *settings, *metrics, *inputs), rows)


def _how_to_build(kind: str, node: str) -> str:
    known = {"source": f": a source is loaded; run: funade show {node}", "api": ": an api is bound by its release"}
    return known.get(kind, f"; run: funade build {node}")


@click.command()
@click.argument("version")
@click.option(
    "--log", is_flag=True, help="Print what its function printed; of a node's name, in its last build, good or failed."
)
@click.option("--bad", is_flag=True, help="Print the rows its checks or loads kept aside (the first 20 of each).")
@JSON
def show(version: str, log: bool, bad: bool, json: bool) -> None:
    """Show one VERSION: recipe, inputs, bytes, checks.

    VERSION is node@3f9c2e, node@released, or a node's name for its newest.
    """
    here = project()
    if log:
        _show_log(here, version)
        return
    found = here.find_version(version)
    metadata = here.store.metadata
    builds = [b for b in metadata.builds(found.node) if b.version == found.id]
    if bad:
        _show_bad(here, found)
        return
    if json:
        as_json({"version": found, "builds": builds, "checks": metadata.checks_of(found.id)})
        return
    say(f"{found.kind} {found.node}@{found.id}")
    say(f"  made     {local(found.made_at)} UTC" + (f" in {seconds(builds[0].seconds)}" if builds else ""))
    if found.kind == "source":
        _show_periods(metadata.revisions(found.node, up_to=found.sequence))
    for name, needed in found.inputs.items():
        say(f"  from     {name}@{needed[:6]}")
    for name, value in found.recipe.get("settings", {}).items():
        say(f"  setting  {name} = {value!r}")
    for name, value in found.recipe.get("runtime", {}).items():
        say(f"  runtime  {name} {value}")
    if found.end:
        say(f"  data end {local(found.end)} UTC")
    if found.artifact:
        rows = f", {found.artifact.rows} rows" if found.artifact.rows is not None else ""
        say(f"  kept by  {found.artifact.codec}{rows}")
        for name, digest in found.artifact.files.items():
            say(f"  file     {name} {digest[:12]}")
    for name, value in found.metrics.items():
        say(f"  metric   {name} = {number(value)}")
    for checked in metadata.checks_of(found.id):
        for finding in checked.findings:
            say(f"  check    {'holds' if finding.holds else 'FAILS'}: {finding.expected}, got {finding.got}")
    for symbol in found.symbols:
        say(f"  code     {symbol}")
    releases = [r.number for r in metadata.releases() if r.pins.get(found.node) == found.id]
    if releases:
        say(f"  released in {', '.join(map(str, releases))}")


def _show_log(here: Any, text: str) -> None:
    if text in here.graph.specs:
        builds = here.builds(text)[-1:]
    else:
        found = here.find_version(text)
        builds = [b for b in here.store.metadata.builds(found.node) if b.version == found.id]
    for b in builds:
        if b.log:
            say(here.store.blobs.read(b.log).decode(errors="replace").rstrip())
        if b.error:
            say(f"failed: {b.error}")
    if not any(b.log or b.error for b in builds):
        say(f"{text} printed nothing")


def _show_periods(revisions: Any) -> None:
    bad = sum(r.bad_rows for r in revisions)
    rows = count(sum(r.rows for r in revisions), "row") + (f", {count(bad, 'bad row')} kept aside" if bad else "")
    say(f"  periods  {revisions[0].period} to {revisions[-1].period}: {len(revisions)}, {rows}")


def _show_bad(here: Any, found: Any) -> None:
    from funade.store.warehouse import snapshots

    metadata, blobs = here.store.metadata, here.store.blobs
    kept: list[tuple[str, str]] = []
    if found.kind == "source":
        kept = [(r.period, r.bad_digest) for r in metadata.revisions(found.node, up_to=found.sequence) if r.bad_digest]
    for checked in metadata.checks_of(found.id):
        kept += [(f"{f.expected}, got {f.got}", f.bad_digest) for f in checked.findings if f.bad_digest]
    if not kept:
        say(f"{found.node}@{found.id[:6]} has no bad rows")
    for title, digest in kept:
        rows = snapshots.read([blobs.path(digest)])
        say(f"{title}: {count(rows.num_rows, 'row')}")
        table(rows.schema.names, [list(r.values()) for r in rows.slice(0, 20).to_pylist()])


@click.command()
@JSON
def fsck(json: bool) -> None:
    """Check that every byte the store names is there and unchanged."""
    from funade.store.fsck import fsck as examine

    here = project()
    problems = examine(here.store.metadata, here.store.blobs)
    if json:
        as_json(problems)
    else:
        for problem in problems:
            say(f"{problem.kind}: {problem.subject} {problem.what}" + (f"; {problem.do}" if problem.do else ""))
        if not problems:
            say("the store is sound")
    if problems:
        sys.exit(1)
