"""Commands that write what other tools need to know of a project."""

from __future__ import annotations

from pathlib import Path

import click

from funade.cli.output import project
from funade.engines.haproxy import Frontend, configuration, peer
from funade.errors import Misuse
from funade.release.protos import protos


@click.group()
def export() -> None:
    """Write what other tools need to know."""


@export.command()
@click.option("--server", "servers", multiple=True, metavar="HOST:PORT[:GRPC]", help="A server; `peers` unless told.")
@click.option("--listen", default=":8000", metavar="ADDRESS", help="Where HAProxy listens for HTTP; :8000 unless told.")
@click.option("--grpc-listen", default=":8001", metavar="ADDRESS", help="Where for gRPC; :8001 unless told.")
@click.option("--admin", default="", metavar="PATH", help="A socket for HAProxy's own commands; none unless told.")
@click.option("--ca", default="@system-ca", metavar="FILE", help="Who signed the servers' certificates, with TLS.")
def haproxy(servers: tuple[str, ...], listen: str, grpc_listen: str, admin: str, ca: str) -> None:
    """Print the configuration of an HAProxy that stands before several servers."""
    section = project().config.serve
    peers = [peer(text, section.grpc_port) for text in servers or section.peers]
    if not peers:
        raise Misuse("funade export haproxy: servers expected, got none", do="say --server HOST:PORT, or set `peers`")
    front = Frontend(listen, grpc_listen, admin, ca if section.certificate else "")
    click.echo(configuration(peers, front), nl=False)


@export.command()
@click.argument("apis", nargs=-1)
@click.option("--candidate", is_flag=True, help="Of the candidate rather than of the current release.")
@click.option("--into", type=click.Path(path_type=Path, file_okay=False), help="A folder to write the files to.")
def proto(apis: tuple[str, ...], candidate: bool, into: Path | None) -> None:
    """Print the .proto file of each of APIS (all unless given), for gRPC clients."""
    for path, text in protos(project().store.metadata, apis, candidate=candidate).items():
        if into is None:
            click.echo(text, nl=False)
            continue
        file = into / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        click.echo(file)
