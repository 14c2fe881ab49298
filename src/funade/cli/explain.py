"""``funade explain``: one answer, what it was made from, and the same answer given again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from funade.cli.look import JSON
from funade.cli.output import as_json, local, number, project, say

if TYPE_CHECKING:
    from funade.explain.explain import Ancestor, Explanation


@click.command()
@click.argument("prediction")
@JSON
def explain(prediction: str, json: bool) -> None:
    """Explain the answer of one PREDICTION and give it again.

    PREDICTION is the id in the header funade-prediction.

    Exits 1 where the same answer cannot be given again.
    """
    found = project().explain(prediction)
    if json:
        as_json(found)
    else:
        _show(found)
    if not found.again.equal:
        raise SystemExit(1)


def _show(found: Explanation) -> None:
    took = f"{found.latency_ms:.2f} ms"
    say(f"{found.api} answered {found.prediction} at {local(found.at)} UTC by {found.door} in {took}")
    say(f"  release  {found.release} of {local(found.released_at)} UTC by {found.released_by}, arm {found.arm}")
    say(f"  code     {found.code[:12]}, candidate {found.candidate[:6]}")
    _values("asked", found.request)
    _values("answered", found.answer or {})
    if found.defaults:
        say(f"  defaults {', '.join(found.defaults)}")
    if found.guard:
        say(f"  guard    {', '.join(found.guard)}")
    if found.fallback:
        say(f"  fallback spoke: {found.fallback}")
    for part in found.parts:
        _part(part)
    if found.again.equal:
        say("  again    the same answer, bit for bit")
    else:
        say(f"  again    {found.again.why}" + (f": {found.again.answer}" if found.again.answer else ""))


def _values(title: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        say(f"  {title:8} {name} = {value!r}")
        title = ""


def _part(part: Ancestor) -> None:
    facts = [f"{name}={value!r}" for name, value in part.settings.items()]
    facts += [f"{name} {number(value)}" for name, value in part.metrics.items()]
    facts += [f"{part.rows} rows"] if part.rows is not None else []
    facts += [f"periods {part.periods[0]} to {part.periods[1]}"] if part.periods else []
    facts += [f"data to {local(part.end)} UTC"] if part.end else []
    told = f" ({', '.join(facts)})" if facts else ""
    say(f"  from     {part.kind} {part.node}@{part.version[:6]}, made {local(part.made_at)} UTC{told}")
