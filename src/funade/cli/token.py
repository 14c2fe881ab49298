"""Commands about tokens: who may change what a server does."""

from __future__ import annotations

from datetime import datetime

import click

from funade.cli.output import JSON, as_json, project, say, table
from funade.errors import Misuse
from funade.serve.tokens import token_file
from funade.serve.tokens.token_file import Token


@click.group()
def token() -> None:
    """Make, list and remove the tokens that a server asks for."""


@token.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["predict", "submit", "operate"]),
    help="What it may: ask for answers; leave requests in the queue; change what is served. Each may the former too.",
)
@click.option("--expires", metavar="TIME", help="How long it holds (90d, 12h, 30m); for good unless told.")
def add(name: str, role: str | None, expires: str | None) -> None:
    """Make a token called NAME and print it, this once."""
    if role is None:
        raise Misuse("funade token add: --role expected predict, submit or operate, got none")
    here = project()
    holds = token_file.length(expires) if expires else None
    click.echo(token_file.add(here.tokens, name, role, now=here.clock(), expires=holds))  # type: ignore[arg-type]
    click.echo(f"token `{name}` may {role}; it is shown only now", err=True)


@token.command("list")
@JSON
def list_(json: bool) -> None:
    """List the tokens: names and roles, never their text."""
    here = project()
    tokens = token_file.read(here.tokens)
    if json:
        as_json([{"name": t.name, "role": t.role, "made": t.made, "expires": t.expires} for t in tokens])
        return
    now = here.clock()
    rows = [(t.name, t.role, f"{t.made:%Y-%m-%d}", _until(t, now)) for t in tokens]
    table(("name", "role", "made", "expires"), rows)


def _until(token: Token, now: datetime) -> str:
    if token.expires is None:
        return "never"
    return f"{token.expires:%Y-%m-%d %H:%M}" + ("" if token.holds(now) else " (expired)")


@token.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget the token NAME; servers refuse it within a second."""
    token_file.remove(project().tokens, name)
    say(f"token `{name}` is forgotten")
