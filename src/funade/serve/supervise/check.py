"""What a server sees to before it listens: the files that its workers read are good, its own folder is empty."""

from __future__ import annotations

import shutil
from pathlib import Path

from funade.serve import tls
from funade.serve.metrics import file as metrics_file
from funade.serve.queue import allowed_urls
from funade.serve.settings import ServerSettings
from funade.serve.tokens import token_file


def check(settings: ServerSettings) -> None:
    """See that the files that every worker reads are good.

    Raises:
        ServeError: one is not.
    """
    if settings.tokens:
        token_file.read(Path(settings.tokens))
    allowed_urls.prefixes(settings.queue_rules.callbacks)
    if settings.certificate or settings.key:
        tls.context(settings.certificate, settings.key)


def own_folder(folder: str, port: int) -> str:
    """This server's own folder, emptied of what a server before it left; "" where it has none."""
    if not folder:
        return ""
    own = Path(folder) / str(port)
    shutil.rmtree(own, ignore_errors=True)
    metrics_file.clear(own)
    return str(own)
