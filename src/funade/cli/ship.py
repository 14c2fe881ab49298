"""Commands that stage, release and switch, and show the releases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from funade.cli.output import JSON, as_json, count, number, project, say, table, toml, utc
from funade.errors import GateClosed
from funade.project.project import Project
from funade.project.views import releases as views
from funade.project.views.nodes import stale_dependants
from funade.project.views.releases import PinChange
from funade.store.naming import short
from funade.store.records import Candidate, Finding

BECAUSE = click.option("--because", default="", metavar="REASON", help="Override what does not hold; kept for good.")


@click.command()
@click.argument("versions", nargs=-1)
def stage(versions: tuple[str, ...]) -> None:
    """Hold VERSIONS for dependents; with none, write the candidate.

    A version is node@3f9c2e, node@released, or a node's name for its newest.
    """
    here = project()
    for text in versions:
        _hold(here, text)
    if not versions:
        _stage(here)


def _hold(here: Project, text: str) -> None:
    hold = here.hold(text)
    inputs = f", and with it {count(len(hold.pins), 'input')}" if hold.pins else ""
    say(f"holding {short(hold.node, hold.version)}{inputs}")
    for node in stale_dependants(here, hold.node):
        say(f"  {node} is stale; run: funade build {node}")


def _stage(here: Project) -> None:
    candidate = here.stage()
    say(f"staged candidate {candidate.id[:6]}: {count(len(candidate.pins), 'pin')}")
    for line in _changes(views.pin_changes(here.released(), candidate.pins)):
        say(f"  {line}")
    say("next: funade release")


@click.command()
@click.argument("node")
def unstage(node: str) -> None:
    """End the hold of NODE."""
    say(f"{node} is no longer held" if project().unhold(node) else f"{node} was not held")


@click.command()
@BECAUSE
def release(because: str) -> None:
    """Gate the candidate and, if it holds, switch.

    Else exit 1, saying everything that fails and what mends it.
    """
    here = project()
    metadata = here.store.metadata
    try:
        made, report = here.release(because=because)
    except GateClosed as error:
        error.facts["lines"] = list(_refusal(error, metadata.candidate(error.facts["candidate"])))  # type: ignore[arg-type]
        raise
    if report is None:
        say(f"nothing to release: the candidate is release {made.number}")
        return
    say(_title(metadata.candidate(made.candidate)))
    for finding in report.findings:
        say(f"  {_finding(finding)}")
    say(f"release {made.number} is current ({count(len(made.pins), 'pin')})")
    for node, values in views.settings_to_keep(here, made).items():
        say(f"to keep `{node}` so, write in funade.toml:")
        say(f"  [settings.{node}]")
        for name, value in values.items():
            say(f"  {name} = {toml(value)}")


def _refusal(error: GateClosed, candidate: Candidate | None) -> Iterator[str]:
    """How many checks hold, and each that fails."""
    findings: tuple[Finding, ...] = error.facts["findings"]  # type: ignore[assignment]
    failures = [finding for finding in findings if not finding.holds]
    yield f"{_title(candidate)}: {len(findings) - len(failures)} of {len(findings)} checks hold"
    yield from (f"  {_finding(finding)}" for finding in failures)


def _title(candidate: Candidate | None) -> str:
    """Which candidate was judged: the one staged last, which may be older than one thinks."""
    assert candidate is not None  # it was judged
    return f"candidate {candidate.id[:6]}, staged {utc(candidate.at)} UTC"


def _finding(finding: Finding) -> str:
    mark = "holds" if finding.holds else "FAILS"
    at = f" - at {finding.at}" if finding.at else ""
    remedy = f"; {finding.do}" if finding.do and not finding.holds else ""
    return f"{mark}  {finding.check}: expected {finding.expected}, got {finding.got}{at}{remedy}"


@click.command()
@click.argument("number", required=False, type=int)
@BECAUSE
def rollback(number: int | None, because: str) -> None:
    """Switch back to the release before, or to NUMBER."""
    switch = project().rollback(number, because=because)
    say(f"release {switch.after} is current again (it was {switch.before})")


@click.command()
@JSON
def releases(json: bool) -> None:
    """List the switches, newest last: when, who, why."""
    view = views.releases(project())
    if json:
        as_json(view)
    elif not view.switches:
        say("nothing is released yet; run: funade stage && funade release")
    else:
        table(
            ("generation", "release", "action", "at (UTC)", "who", "because"),
            [(s.generation, s.after, s.action, utc(s.at), s.who, s.because) for s in view.switches],
        )


@click.command()
@click.argument("first", type=int)
@click.argument("second", type=int)
@JSON
def diff(first: int, second: int, json: bool) -> None:
    """Show what release SECOND pins otherwise than release FIRST."""
    view = views.diff(project(), first, second)
    if json:
        as_json(view.json())
        return
    for line in _changes(view.pins):
        say(line)
    for change in view.metrics:
        say(f"{change.node} {change.metric}: {number(change.before)} -> {number(change.after)}")
    if not view.pins:
        say(f"releases {first} and {second} pin the same versions")


def _changes(changes: Iterable[PinChange]) -> Iterator[str]:
    for change in changes:
        yield f"{change.node}: {change.before[:6] or 'nothing'} -> {change.after[:6] or 'nothing'}"
