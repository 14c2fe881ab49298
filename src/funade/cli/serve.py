"""The command that serves: the current release, or a model file without a project."""

from __future__ import annotations

from pathlib import Path

import click

from funade.cli.output import project


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--host", metavar="ADDRESS", help="The address to listen on; 127.0.0.1 unless told.")
@click.option("--port", type=click.IntRange(0, 65535), help="The HTTP port; 0 takes a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="The gRPC port; 0, as unless told, opens none.")
@click.option("--workers", type=click.IntRange(1, 256), help="How many processes answer; 2 unless told.")
def serve(file: Path | None, host: str | None, port: int | None, grpc_port: int | None, workers: int | None) -> None:
    """Serve the current release, or a model FILE without a project.

    Follows every switch of the release. FILE is ONNX or LightGBM's text; its contract is read from it.
    """
    if file is None:
        project().serve(host=host, port=port, grpc_port=grpc_port, workers=workers)
        return
    from funade import clock
    from funade.serve.bare import serve as bare

    bare.serve(file, host=host, port=port, grpc_port=grpc_port, workers=workers, clock=clock.system)
