"""Commands about asynchronous requests: what waits, what is dead, and what to do with it."""

from __future__ import annotations

from typing import Any

import click

from funade.cli.look import JSON
from funade.cli.output import as_json, count, project, say, seconds, table
from funade.queue.records import QueuedRequest

_SHOWN = 100
_LONGEST = 60


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def queue(ctx: click.Context, json: bool) -> None:
    """Show how many requests wait, and the dead letters."""
    if ctx.invoked_subcommand is not None:
        return
    found = project().queue
    counts, dead = found.counts(), found.dead(_SHOWN)
    if json:
        as_json({**counts._asdict(), "dead_letters": [_plain(kept) for kept in dead]})
        return
    oldest = f", the oldest for {seconds(counts.oldest_age_s)}" if counts.waiting else ""
    say(f"{counts.waiting} waiting{oldest}; {counts.claimed} being answered; {counts.done} done; {counts.dead} dead")
    if counts.calls or counts.dead_calls:
        say(f"callbacks: {counts.calls} to deliver, {counts.dead_calls} given up")
    if dead:
        say()
        now = found.now()
        table(("dead letter", "api", "attempts", "age", "why"), [_line(kept, now) for kept in dead])
    if counts.dead + counts.dead_calls > len(dead):
        say(f"… and {counts.dead + counts.dead_calls - len(dead)} more")


def _line(kept: QueuedRequest, now: float) -> tuple[object, ...]:
    why = kept.error if kept.state == "dead" else f"callback: {kept.call_error}"
    short = why if len(why) <= _LONGEST else why[: _LONGEST - 1] + "…"
    return kept.id, kept.api, kept.attempts, seconds(max(now - kept.made, 0.0)), short


def _plain(kept: QueuedRequest) -> Any:
    from funade.queue import shown

    return shown.of(kept)


@queue.command()
@click.argument("id")
@JSON
def show(id: str, json: bool) -> None:
    """Show the request ID: how it stands, what it asked and what was answered."""
    found = project().queue
    kept = found.look([id]).get(id)
    if kept is None:
        raise _unknown(id)
    if json:
        as_json(_plain(kept))
        return
    say(f"request {kept.id} to {kept.api}: {kept.state}, {count(kept.attempts, 'attempt')}")
    for name, text in (
        ("asked", found.body(id).decode("utf-8", "replace")),
        ("answer", kept.answer.decode("utf-8", "replace")),
        ("prediction", kept.prediction),
        ("release", str(kept.release or "")),
        ("fallback", kept.fallback),
        ("error", kept.error),
        ("callback", f"{kept.callback} {kept.call} {kept.call_error}".rstrip()),
    ):
        if text:
            say(f"  {name} {text}")


@queue.command()
@click.argument("ids", nargs=-1, metavar="[IDS]")
@click.option("--all", "every", is_flag=True, help="Every dead letter.")
def requeue(ids: tuple[str, ...], every: bool) -> None:
    """Give the dead letters IDS, or all of them, their tries again."""
    from funade.errors import Misuse

    if bool(ids) == every:
        raise Misuse("funade queue requeue: ids or --all expected, got " + ("both" if ids else "neither"))
    done = project().queue.requeue(None if every else list(ids))
    say(f"{count(done, 'dead letter')} back in the queue")


@queue.command()
@click.argument("ids", nargs=-1, required=True, metavar="IDS")
def drop(ids: tuple[str, ...]) -> None:
    """Forget the requests IDS, whatever became of them."""
    say(f"{count(project().queue.drop(list(ids)), 'request')} forgotten")


def _unknown(id: str) -> Exception:
    from funade.errors import Misuse

    return Misuse(f"queue expected a request, got `{id}`", do="see them: funade queue")
