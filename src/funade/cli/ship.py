"""Commands that stage, release and switch."""

from __future__ import annotations

from typing import Any

import click

from funade.cli.look import JSON
from funade.cli.output import as_json, count, local, number, project, say, table, toml
from funade.errors import FunadeError, GateClosed, Misuse

BECAUSE = click.option("--because", default="", metavar="REASON", help="Override what does not hold; kept for good.")


@click.command()
@click.argument("versions", nargs=-1)
def stage(versions: tuple[str, ...]) -> None:
    """Hold VERSIONS for dependents; with none, write the candidate.

    A version is node@3f9c2e, node@released, or a node's name for its newest.
    """
    here = project()
    if not versions:
        candidate = here.stage()
        say(f"staged candidate {candidate.id[:6]}: {count(len(candidate.pins), 'pin')}")
        for line in _changes(here.released(), candidate.pins):
            say(f"  {line}")
        say("next: funade release")
        return
    for text in versions:
        hold = here.hold(text)
        with_it = f", and with it {count(len(hold.pins), 'input')}" if hold.pins else ""
        say(f"holding {hold.node}@{hold.version[:6]}{with_it}")
        for name in sorted(here.graph.dependants(hold.node)):
            step = here.plan()[name]
            if step.state == "absent":
                say(f"  {name} is stale; run: funade build {name}")


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
    try:
        made, judged = here.release(because=because)
    except GateClosed as error:
        findings: Any = error.facts["findings"]
        held = sum(f.holds for f in findings)
        candidate = here.store.metadata.candidate(error.facts["candidate"])
        error.facts["lines"] = [
            f"{_judged(candidate)}: {held} of {len(findings)} checks hold",
            *(f"  {_finding(f)}" for f in findings if not f.holds),
        ]
        raise
    if judged is None:
        say(f"nothing to release: the candidate is release {made.number}")
        return
    say(_judged(here.store.metadata.candidate(made.candidate)))
    for finding in judged.findings:
        say(f"  {_finding(finding)}")
    say(f"release {made.number} is current ({count(len(made.pins), 'pin')})")
    for node, values in _to_settle(here, made).items():
        say(f"to keep `{node}` so, write in funade.toml:")
        say(f"  [settings.{node}]")
        for name, value in values.items():
            say(f"  {name} = {toml(value)}")


def _judged(candidate: Any) -> str:
    """Which candidate was judged: the one staged last, which may be older than one thinks."""
    return f"candidate {candidate.id[:6]}, staged {local(candidate.at)} UTC"


def _to_settle(here: Any, made: Any) -> dict[str, dict[str, object]]:
    """The settings of released attempts that the project does not have yet, by node.

    None where the working tree cannot be read: the release was made without it.
    """
    try:
        steps = here.plan()
    except FunadeError:
        return {}
    found: dict[str, dict[str, object]] = {}
    for node, pinned in made.pins.items():
        version = here.store.metadata.version(pinned)
        for name, value in (version.recipe.get("settings", {}) if version else {}).items():
            if node in steps and steps[node].settings.get(name) != value:
                found.setdefault(node, {})[name] = value
    return found


def _finding(finding: Any) -> str:
    mark = "holds" if finding.holds else "FAILS"
    at = f" - at {finding.at}" if finding.at else ""
    return f"{mark}  {finding.check}: expected {finding.expected}, got {finding.got}{at}" + (
        f"; {finding.do}" if finding.do and not finding.holds else ""
    )


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
    here = project()
    switches = here.store.metadata.switches()
    if json:
        as_json({"releases": here.store.metadata.releases(), "switches": switches})
        return
    if not switches:
        say("nothing is released yet; run: funade stage && funade release")
        return
    table(
        ("generation", "release", "action", "at (UTC)", "who", "because"),
        [(s.generation, s.after, s.action, local(s.at), s.who, s.because) for s in switches],
    )


@click.command()
@click.argument("first", type=int)
@click.argument("second", type=int)
@JSON
def diff(first: int, second: int, json: bool) -> None:
    """Show what release SECOND pins otherwise than release FIRST."""
    here = project()
    old, new = (_release(here, number) for number in (first, second))
    if json:
        pairs = {
            n: [old.pins.get(n), new.pins.get(n)]
            for n in {**old.pins, **new.pins}
            if old.pins.get(n) != new.pins.get(n)
        }
        as_json(pairs)
        return
    lines = _changes(old.pins, new.pins)
    for line in lines:
        say(line)
    for line in _metrics(here, old, new):
        say(line)
    if not lines:
        say(f"releases {first} and {second} pin the same versions")


def _release(here: Any, number: int) -> Any:
    found = here.store.metadata.release(number)
    if found is None:
        raise Misuse(f"diff expected a release, got {number}", do="see them: funade releases")
    return found


def _changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    lines = []
    for node in {**old, **new}:
        before, after = old.get(node, ""), new.get(node, "")
        if before != after:
            lines.append(f"{node}: {before[:6] or 'nothing'} -> {after[:6] or 'nothing'}")
    return lines


def _metrics(here: Any, old: Any, new: Any) -> list[str]:
    lines = []
    for node, pinned in new.pins.items():
        now, was = here.store.metadata.version(pinned), here.store.metadata.version(old.pins.get(node, ""))
        for name, value in (now.metrics if now else {}).items():
            before = was.metrics.get(name) if was else None
            if before == value:
                continue
            lines.append(f"{node} {name}: {number(before)} -> {number(value)}")
    return lines
