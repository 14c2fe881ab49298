"""What commands print: tables, JSON, lengths of time, and progress where a terminal is there."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from funade import clock
from funade.errors import Misuse
from funade.project.project import Project

JSON = click.option("--json", "json", is_flag=True, help="Print JSON.")


def project() -> Project:
    """The project that this command is about, with its clock."""
    options = click.get_current_context().find_root().obj
    now = clock.system if options["at"] is None else clock.frozen(moment(options["at"]))
    return Project.find(options["folder"], clock=now)


def moment(text: str) -> datetime:
    """An ISO time; UTC unless it says."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Misuse(f"--at expected an ISO time like 2022-04-01T03:00, got {text!r}") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_shown: list[Any] = []
"""The bar that stands on the terminal, while one does."""


def say(line: str = "") -> None:
    """Print one line, above a bar that is being shown."""
    if _shown and sys.stdout.isatty():
        _shown[-1].console.print(line, markup=False, highlight=False, soft_wrap=True)
    else:
        click.echo(line)


def as_json(value: object) -> None:
    """Print a value as indented JSON."""
    click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a head, in columns as wide as they need."""
    cells = [[*map(str, head)], *[[*map(str, row)] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 row``, ``2 rows``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def seconds(value: float) -> str:
    """A length of time to two digits: ``0.04 s``, ``12 s``, ``3.5 min``."""
    if value >= 120:
        return f"{value / 60:.1f} min"
    return f"{value:.0f} s" if value >= 10 else f"{value:.2f} s"


def number(value: object) -> str:
    """A metric as people read it; None is a number that was NaN."""
    if value is None:
        return "nan"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e12 else f"{value:.4g}"


def toml(value: object) -> str:
    """A setting as ``funade.toml`` has it.

    >>> toml({"deep": [True, 1.5]})
    '{"deep" = [true, 1.5]}'
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(k))} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return msgspec.json.encode(value).decode()


def utc(at: datetime) -> str:
    """A time in UTC, to the second."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def bar_of(*columns: Any) -> Any:
    """A bar of these columns on standard error: the stream itself, for while a user's function runs, ``sys.stderr`` is
    its build's log.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr)
    return Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Any]:
    """A bar on standard error once two seconds have passed, if a terminal is there; call it with each step's name."""
    if not sys.stderr.isatty():
        yield lambda name="": None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

    bar = bar_of(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    row = bar.add_task(title, total=total)

    def show() -> None:
        bar.start()
        _shown.append(bar)

    later = threading.Timer(2, show)
    later.daemon = True
    later.start()
    try:
        yield lambda name="": bar.update(row, advance=1, description=f"{title} {name}")
    finally:
        later.cancel()
        later.join()
        _shown.clear()
        bar.stop()
