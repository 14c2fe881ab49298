"""The command line: parse, call, print."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from funade import __version__
from funade.errors import FunadeError, Misuse

COMMANDS = {
    "check": "look",
    "graph": "look",
    "load": "make",
    "build": "make",
    "status": "look",
    "compare": "look",
    "show": "look",
    "stage": "ship",
    "unstage": "ship",
    "release": "ship",
    "rollback": "ship",
    "releases": "ship",
    "diff": "ship",
    "fsck": "look",
    "serve": "serve",
    "batch": "batch",
    "explain": "explain",
    "token": "token",
    "export": "export",
    "queue": "queue",
}
"""Command → the module below ``funade.cli`` that has it; imported when it is called."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found = getattr(import_module(f"funade.cli.{COMMANDS[cmd_name]}"), cmd_name)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from funade.errors import closest

            raise Misuse(f"funade has no command `{args[0]}`", do=closest(args[0], COMMANDS) or "run: funade --help")
        return super().resolve_command(ctx, args)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-C", "folder", default=".", metavar="DIR", help="The project's folder, or one below it.")
@click.option("--at", metavar="TIME", help="The time this command takes it to be (ISO; UTC unless it says).")
@click.version_option(__version__, prog_name="funade")
@click.pass_context
def funade(ctx: click.Context, folder: str, at: str | None) -> None:
    """Carry plain functions to production: load, build, stage, release, serve."""
    ctx.obj = {"folder": folder, "at": at}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; exit 0 when done, 1 when it was refused, 2 when it was misused."""
    try:
        funade.main(args=arguments, prog_name="funade", standalone_mode=False)
    except FunadeError as error:
        _print_error(error)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.ctx.get_help() if asked.ctx else "", err=True)
        sys.exit(2)
    except click.ClickException as error:
        _print_error(_misuse(error))
        sys.exit(2)
    except click.exceptions.Exit as exit_:
        sys.exit(exit_.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped; what was finished stays", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)


def _misuse(error: click.ClickException) -> Misuse:
    """What click says of a command's arguments, in one line."""
    told = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "funade"
    return Misuse(f"{command}: {told[:1].lower()}{told[1:]}", do=f"run: {command} --help")


def _print_error(error: FunadeError) -> None:
    traceback = error.facts.get("traceback")
    if isinstance(traceback, str) and traceback:
        click.echo(traceback.rstrip(), err=True)
    for line in error.facts.get("lines", ()):  # type: ignore[attr-defined]
        click.echo(line, err=True)
    click.echo(error.line(), err=True)
