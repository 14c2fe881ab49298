"""The command that serves the current release."""

from __future__ import annotations

import click

from funade.cli.output import project


@click.command()
@click.option("--host", metavar="ADDRESS", help="The address to listen on; 127.0.0.1 unless told.")
@click.option("--port", type=click.IntRange(0, 65535), help="The HTTP port; 0 takes a free one.")
@click.option("--workers", type=click.IntRange(1, 256), help="How many processes answer; 2 unless told.")
def serve(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the current release over HTTP and follow every switch."""
    project().serve(host=host, port=port, workers=workers)
