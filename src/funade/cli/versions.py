"""Commands that look at versions: one of them, and a node's builds side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from funade.cli.output import JSON, as_json, count, number, project, say, seconds, table, utc
from funade.project.project import Project
from funade.project.views import versions
from funade.project.views.versions import BuildComparison, ComparedBuild, VersionView
from funade.store.naming import short
from funade.store.records import Artifact, Revision


@click.command()
@click.argument("node")
@JSON
def compare(node: str, json: bool) -> None:
    """Show a node's builds side by side.

    Their settings, inputs, metrics and times; builds under former names too.
    """
    view = versions.compare(project(), node)
    if json:
        as_json(view.json())
    elif not view.builds:
        say(f"{node} has no build{_how_to_build(view.kind, node)}")
    else:
        head = ("version", "as", "started (UTC)", "took", *view.settings, *view.metrics, *view.inputs)
        table(head, [_cells(row, view) for row in view.builds])


def _cells(row: ComparedBuild, view: BuildComparison) -> Sequence[object]:
    build = row.build
    return (
        short(build.node, build.version),
        ("attempt" if build.attempt else "build") + ("" if build.state == "built" else ", failed"),
        utc(build.started_at),
        seconds(build.seconds),
        *(build.settings.get(name, "") for name in view.settings),
        *(number(build.metrics[name]) if name in build.metrics else "" for name in view.metrics),
        *(row.inputs.get(name, "")[:6] for name in view.inputs),
    )


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
        _show_logs(here, version)
    elif bad:
        _show_bad_rows(here, version)
    elif json:
        as_json(versions.show(here, version).json())
    else:
        for line in _lines(versions.show(here, version)):
            say(line)


def _show_logs(here: Project, text: str) -> None:
    logs = versions.logs(here, text)
    for log in logs:
        if log.text is not None:
            say(log.text)
        if log.error:
            say(f"failed: {log.error}")
    if not logs:
        say(f"{text} printed nothing")


def _show_bad_rows(here: Project, text: str) -> None:
    from funade.project.views.bad_rows import bad_rows  # Arrow and DuckDB, which no other way of looking needs

    version = here.find_version(text)
    parts = bad_rows(here, version)
    for part in parts:
        say(f"{part.title}: {count(part.count, 'row')}")
        table(part.columns, part.rows)
    if not parts:
        say(f"{short(version.node, version.id)} has no bad rows")


def _lines(view: VersionView) -> Iterator[str]:
    version = view.version
    yield f"{version.kind} {version.node}@{version.id}"
    yield f"  made     {utc(version.made_at)} UTC" + (f" in {seconds(view.builds[0].seconds)}" if view.builds else "")
    if view.revisions:
        yield f"  periods  {_periods(view.revisions)}"
    yield from (f"  from     {node}@{pin[:6]}" for node, pin in version.inputs.items())
    yield from (f"  setting  {name} = {value!r}" for name, value in version.recipe.get("settings", {}).items())
    yield from (f"  runtime  {name} {value}" for name, value in version.recipe.get("runtime", {}).items())
    if version.end:
        yield f"  data end {utc(version.end)} UTC"
    if version.artifact:
        yield from _artifact_lines(version.artifact)
    yield from (f"  metric   {name} = {number(value)}" for name, value in version.metrics.items())
    for finding in (finding for record in view.checks for finding in record.findings):
        yield f"  check    {'holds' if finding.holds else 'FAILS'}: {finding.expected}, got {finding.got}"
    yield from (f"  code     {symbol}" for symbol in version.symbols)
    if view.releases:
        yield f"  released in {', '.join(map(str, view.releases))}"


def _artifact_lines(artifact: Artifact) -> Iterator[str]:
    yield f"  kept by  {artifact.codec}" + (f", {artifact.rows} rows" if artifact.rows is not None else "")
    yield from (f"  file     {name} {digest[:12]}" for name, digest in artifact.files.items())


def _periods(revisions: Sequence[Revision]) -> str:
    bad = sum(revision.bad_rows for revision in revisions)
    rows = count(sum(revision.rows for revision in revisions), "row")
    aside = f", {count(bad, 'bad row')} kept aside" if bad else ""
    return f"{revisions[0].period} to {revisions[-1].period}: {len(revisions)}, {rows}{aside}"
