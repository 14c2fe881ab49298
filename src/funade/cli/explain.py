"""``funade explain``: one answer, what it was made from, and the same answer given again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from funade.cli.output import JSON, as_json, number, project, say, utc
from funade.store.naming import short

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
    explanation = project().explain(prediction)
    if json:
        as_json(explanation)
    else:
        _show(explanation)
    if not explanation.again.equal:
        raise SystemExit(1)


def _show(view: Explanation) -> None:
    took = f"{view.latency_ms:.2f} ms"
    say(f"{view.api} answered {view.prediction} at {utc(view.at)} UTC by {view.door} in {took}")
    say(f"  release  {view.release} of {utc(view.released_at)} UTC by {view.released_by}, arm {view.arm}")
    say(f"  code     {view.code[:12]}, candidate {view.candidate[:6]}")
    _values("asked", view.request)
    _values("answered", view.answer or {})
    if view.defaults:
        say(f"  defaults {', '.join(view.defaults)}")
    if view.guard:
        say(f"  guard    {', '.join(view.guard)}")
    if view.fallback:
        say(f"  fallback spoke: {view.fallback}")
    for part in view.parts:
        _part(part)
    if view.again.equal:
        say("  again    the same answer, bit for bit")
    else:
        say(f"  again    {view.again.why}" + (f": {view.again.answer}" if view.again.answer else ""))


def _values(title: str, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        say(f"  {title:8} {name} = {value!r}")
        title = ""


def _part(part: Ancestor) -> None:
    facts = [f"{name}={value!r}" for name, value in part.settings.items()]
    facts += [f"{name} {number(value)}" for name, value in part.metrics.items()]
    facts += [f"{part.rows} rows"] if part.rows is not None else []
    facts += [f"periods {part.periods[0]} to {part.periods[1]}"] if part.periods else []
    facts += [f"data to {utc(part.end)} UTC"] if part.end else []
    beside = f" ({', '.join(facts)})" if facts else ""
    say(f"  from     {part.kind} {short(part.node, part.version)}, made {utc(part.made_at)} UTC{beside}")
