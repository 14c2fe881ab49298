"""The command that answers every row of a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from funade.cli.output import JSON, as_json, bar_of, count, project, say, seconds

if TYPE_CHECKING:
    from funade.batch.run import Progress

_LINE_S = 10.0


@click.command()
@click.argument("api")
@click.option("--rows", required=True, metavar="NODE_OR_SQL", help="A source, dataset, table of answers, or a SELECT.")
@click.option("--into", required=True, metavar="TABLE", help="The table, by name, or the path of a .parquet file.")
@click.option("--keep", multiple=True, metavar="COLUMN", help="A column of the contract to keep in the table as well.")
@click.option(
    "--most-refused",
    default=0.01,
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="The share of rows that may be refused; 0.01 unless told.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes at work at once; one for each core unless told.")
@JSON
def batch(
    api: str, rows: str, into: str, keep: tuple[str, ...], most_refused: float, workers: int | None, json: bool
) -> None:
    """Answer every row by the current release's API, into a table.

    The table appears whole or not at all. Stopped at any moment, the same command continues.
    """
    began = time.monotonic()
    try:
        with _progress(api) as show:
            summary = project().batch(
                api, rows=rows, into=into, keep=keep, most_refused=most_refused, workers=workers, progress=show
            )
    except KeyboardInterrupt:
        click.echo("stopped; what was answered stays: the same command continues", err=True)
        sys.exit(130)
    if json:
        as_json(summary._asdict())
        return
    if summary.begun_anew:
        say(f"an unfinished run was begun anew: {summary.begun_anew}")
    if summary.earlier:
        say(f"continued: {count(summary.earlier, 'row')} had been answered before")
    took = time.monotonic() - began
    parts = [f"{count(summary.answered, 'row')} answered by release {summary.release}"]
    parts += [f"{summary.fallback} of them by the fallback"] if summary.fallback else []
    parts += [f"{summary.refused} refused"] if summary.refused else []
    say(f"{into}: {', '.join(parts)}, in {seconds(took)}")


@contextmanager
def _progress(title: str) -> Iterator[Any]:
    """What shows how far the run is: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    texts = TextColumn("{task.description}"), TextColumn("{task.fields[rate]}")
    rate = _Rate()
    with bar_of(texts[0], BarColumn(), MofNCompleteColumn(), texts[1], TimeRemainingColumn()) as bar:
        row = bar.add_task(title, total=None, rate="")
        yield lambda step: bar.update(row, completed=step.rows, total=step.total, rate=rate.of(step))


def _lines(title: str) -> Any:
    last = time.monotonic()
    rate = _Rate()

    def show(step: Progress) -> None:
        nonlocal last
        speed = rate.of(step)
        if time.monotonic() - last >= _LINE_S:
            last = time.monotonic()
            click.echo(f"{title}: {step.rows} of {count(step.total, 'row')}, {speed}", err=True)

    return show


class _Rate:
    """Rows a second since the first step."""

    def __init__(self) -> None:
        self._began = 0.0

    def of(self, step: Progress) -> str:
        self._began = self._began or time.monotonic()
        took = time.monotonic() - self._began
        return f"{(step.rows - step.earlier) / took:.0f} rows/s" if took > 0 else ""
