"""Commands about asynchronous requests: what waits, what is dead, and what to do with it."""

from __future__ import annotations

import click

from funade.cli.output import JSON, as_json, count, project, say, seconds, table
from funade.errors import Misuse
from funade.project.views import queue as views
from funade.project.views.queue import DeadLetter, QueueView, RequestView

_LONGEST = 60


@click.group(invoke_without_command=True)
@JSON
@click.pass_context
def queue(ctx: click.Context, json: bool) -> None:
    """Show how many requests wait, and the dead letters."""
    if ctx.invoked_subcommand is not None:
        return
    view = views.queue(project())
    if json:
        as_json(view.json())
    else:
        _show_queue(view)


def _show_queue(view: QueueView) -> None:
    counts = view.counts
    oldest = f", the oldest for {seconds(counts.oldest_age_s)}" if counts.waiting else ""
    say(f"{counts.waiting} waiting{oldest}; {counts.claimed} being answered; {counts.done} done; {counts.dead} dead")
    if counts.calls or counts.dead_calls:
        say(f"callbacks: {counts.calls} to deliver, {counts.dead_calls} given up")
    if view.letters:
        say()
        table(("dead letter", "api", "attempts", "age", "why"), map(_cells, view.letters))
    if view.more > 0:
        say(f"… and {view.more} more")


def _cells(letter: DeadLetter) -> tuple[object, ...]:
    why = letter.why if len(letter.why) <= _LONGEST else letter.why[: _LONGEST - 1] + "…"
    return letter.id, letter.api, letter.attempts, seconds(letter.age_s), why


@queue.command()
@click.argument("id")
@JSON
def show(id: str, json: bool) -> None:
    """Show the request ID: how it stands, what it asked and what was answered."""
    view = views.request(project(), id)
    if json:
        as_json(view.json())
    else:
        _show_request(view)


def _show_request(view: RequestView) -> None:
    request = view.request
    say(f"request {request.id} to {request.api}: {request.state}, {count(request.attempts, 'attempt')}")
    for name, text in (
        ("asked", view.body.decode("utf-8", "replace")),
        ("answer", request.answer.decode("utf-8", "replace")),
        ("prediction", request.prediction),
        ("release", str(request.release or "")),
        ("fallback", request.fallback),
        ("error", request.error),
        ("callback", f"{request.callback} {request.call} {request.call_error}".rstrip()),
    ):
        if text:
            say(f"  {name} {text}")


@queue.command()
@click.argument("ids", nargs=-1, metavar="[IDS]")
@click.option("--all", "every", is_flag=True, help="Every dead letter.")
def requeue(ids: tuple[str, ...], every: bool) -> None:
    """Give the dead letters IDS, or all of them, their tries again."""
    if bool(ids) == every:
        raise Misuse("funade queue requeue: ids or --all expected, got " + ("both" if ids else "neither"))
    number = project().queue.requeue(None if every else list(ids))
    say(f"{count(number, 'dead letter')} back in the queue")


@queue.command()
@click.argument("ids", nargs=-1, required=True, metavar="IDS")
def drop(ids: tuple[str, ...]) -> None:
    """Forget the requests IDS, whatever became of them."""
    say(f"{count(project().queue.drop(list(ids)), 'request')} forgotten")
