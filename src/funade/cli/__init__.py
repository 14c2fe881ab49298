"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NamedTuple

import click

from funade import __version__
from funade.errors import FunadeError, Misuse, closest


class Command(NamedTuple):
    """Where a command is: a module below ``funade.cli``, imported when it is called; and what ``--help`` says of it."""

    module: str
    help: str


COMMANDS = {
    "check": Command("look", "Import the project and check every declaration."),
    "graph": Command("look", "Show the nodes and what each takes."),
    "load": Command("make", "Bring in the periods of SOURCE (all, if none) that are due."),
    "build": Command("make", "Make NODES (all, if none) and what they need."),
    "status": Command("look", "Show every node, what is stale and exactly why."),
    "compare": Command("versions", "Show a node's builds side by side."),
    "show": Command("versions", "Show one VERSION: recipe, inputs, bytes, checks."),
    "stage": Command("ship", "Hold VERSIONS for dependents; with none, write the candidate."),
    "unstage": Command("ship", "End the hold of NODE."),
    "release": Command("ship", "Gate the candidate and, if it holds, switch."),
    "rollback": Command("ship", "Switch back to the release before, or to NUMBER."),
    "releases": Command("ship", "List the switches, newest last: when, who, why."),
    "diff": Command("ship", "Show what release SECOND pins otherwise than release FIRST."),
    "fsck": Command("look", "Check that every byte the store names is there and unchanged."),
    "serve": Command("serve", "Serve the current release, or a model FILE without a project."),
    "batch": Command("batch", "Answer every row by the current release's API, into a table."),
    "explain": Command("explain", "Explain the answer of one PREDICTION and give it again."),
    "token": Command("token", "Make, list and remove the tokens that a server asks for."),
    "export": Command("export", "Write what other tools need to know."),
    "queue": Command("queue", "Show how many requests wait, and the dead letters."),
}
"""Every command, in the order of ``funade --help``."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(import_module(f"funade.cli.{COMMANDS[cmd_name].module}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=help).get_short_help_str(limit))
                    for name, (_, help) in COMMANDS.items()
                ]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
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
    _open_standard_files()
    try:
        funade.main(args=arguments, prog_name="funade", standalone_mode=False)
    except FunadeError as error:
        _print_error(error)
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
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


def _open_standard_files() -> None:
    """Have the standard files that this process was begun without lead nowhere.

    Else the next files that are opened take their numbers, and a child writes what users' functions print into those.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number that is free: this one
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


def _misuse(error: click.ClickException) -> Misuse:
    """What click says of a command's arguments, in one line."""
    message = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "funade"
    return Misuse(f"{command}: {message[:1].lower()}{message[1:]}", do=f"run: {command} --help")


def _print_error(error: FunadeError) -> None:
    traceback = error.facts.get("traceback")
    if isinstance(traceback, str) and traceback:
        click.echo(traceback.rstrip(), err=True)
    for line in error.facts.get("lines", ()):  # type: ignore[attr-defined]
        click.echo(line, err=True)
    click.echo(error.line(), err=True)
