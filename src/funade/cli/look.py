"""Commands that look at the whole project: its declarations, its graph, how its nodes stand, its store's health."""

from __future__ import annotations

import sys

import click

from funade.cli.output import JSON, as_json, count, project, say, table, utc
from funade.declare.spec import Edge
from funade.project.views import nodes


@click.command()
def check() -> None:
    """Import the project and check every declaration."""
    view = nodes.declarations(project())
    for warning in view.warnings:
        say(f"warning: {warning}")
    say(f"the declarations hold: {', '.join(count(number, kind) for kind, number in view.kinds.items())}")


@click.command()
@JSON
def graph(json: bool) -> None:
    """Show the nodes and what each takes."""
    specs = list(project().graph)
    if json:
        as_json(specs)
        return
    for spec in specs:
        say(f"{spec.kind:<10} {spec.name}" + (f"  ({spec.place})" if spec.place else ""))
        for edge in spec.edges:
            say(f"{'':<11}{edge.parameter} <- {_edge(edge)}")


def _edge(edge: Edge) -> str:
    rows = edge.node + (f" {edge.window}" if edge.window else "") + (f".{edge.part}" if edge.part else "")
    if not edge.api:
        return rows
    replaced = "".join(f", {parameter}={node}" for parameter, node in edge.replaced.items())
    return f"{edge.api}.on({rows}{replaced})"


@click.command()
@JSON
def status(json: bool) -> None:
    """Show every node, what is stale and exactly why."""
    view = nodes.status(project())
    if json:
        as_json(view.json())
        return
    table(
        ("node", "kind", "state", "newest", "held", "released"),
        [(s.node, s.kind, s.standing, s.newest[:6], s.held[:6], s.released[:6]) for s in view.nodes],
    )
    for node in view.nodes:
        for line in node.why:
            say(f"{node.node}: {line}")
        for line in node.released_otherwise:
            say(f"{node.node} (released): {line}")
    release = view.release
    say(f"release {release.number} of {utc(release.at)} is current" if release else "nothing is released yet")


@click.command()
@JSON
def fsck(json: bool) -> None:
    """Check that every byte the store names is there and unchanged."""
    from funade.store.fsck import fsck as examine

    store = project().store
    problems = examine(store.metadata, store.blobs)
    if json:
        as_json(problems)
    else:
        for problem in problems:
            say(f"{problem.kind}: {problem.subject} {problem.what}" + (f"; {problem.do}" if problem.do else ""))
        if not problems:
            say("the store is sound")
    if problems:
        sys.exit(1)
