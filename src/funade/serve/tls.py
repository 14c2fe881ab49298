"""The certificate that a server shows, read again when its files change."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from funade.errors import FunadeError, ServeError
from funade.store import disk


def context(certificate: str, key: str) -> ssl.SSLContext:
    """What connections are encrypted with: TLS 1.2 or newer, HTTP/1.1.

    Args:
        certificate: a PEM file with the certificate and those that sign it.
        key: a PEM file with its private key, not encrypted.

    Raises:
        ServeError: a file is missing or holds something else, or the two do not belong together.
    """
    if not (certificate and key):
        raise ServeError("TLS expected both a certificate and a key, got one", do="set both in [serve] of funade.toml")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(certificate, key, password=b"")  # an encrypted key must not ask the terminal
    except OSError as error:
        got = _missing(certificate, key) or f"{getattr(error, 'reason', '') or error}"
        what = f"TLS expected a PEM certificate and its key without a password, got: {got}"
        raise ServeError(what, at=certificate, do="mend `certificate` and `key` in [serve] of funade.toml") from None
    return made


def _missing(*paths: str) -> str:
    return next((f"{path} cannot be read" for path in paths if not Path(path).is_file()), "")


class Tls:
    """The present certificate of one worker.

    ``context`` is for the next connection; those that are open keep theirs.

    ``troubled`` is told why changed files could not be read; what was shown before is shown on.

    Raises:
        ServeError: as ``context``.
    """

    def __init__(self, certificate: str, key: str, troubled: Callable[[str], None] = lambda _: None) -> None:
        self._files = (certificate, key)
        self._troubled = troubled
        self._seen = self._stamps()
        self.context = context(certificate, key)

    def tick(self) -> None:
        """About once a second: read the files again if they changed."""
        seen = self._stamps()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self.context = context(*self._files)
        except FunadeError as error:  # one of the two may not be written yet; it will change again
            self._troubled(error.line())

    def _stamps(self) -> list[disk.Stamp | None]:
        return [disk.stamp(Path(path)) for path in self._files]
