"""What a server sees to before it listens: the files that its workers read are good."""

from __future__ import annotations

from pathlib import Path

from funade.serve import tls
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
