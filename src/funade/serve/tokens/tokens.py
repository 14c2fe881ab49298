"""Who may do what: the one check in front of every route and method."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from funade.clock import Clock
from funade.errors import FunadeError
from funade.serve.tokens.token_file import ROLES, Token, read
from funade.store import disk

Refusal = tuple[int, str]
"""A status as HTTP has it (401: who are you; 403: you may not) and what mends it."""

_SCHEME = b"bearer "


class Tokens:
    """The tokens of one server, read again when their file changes; every method on the loop's thread.

    Without a file nobody may change anything, and everybody may ask for answers unless ``predict`` is "token".

    ``path`` is the file, "" for none. ``troubled`` is told why a changed file could not be read; what was known before
    then holds.

    Raises:
        ServeError: the file is not what it must be.
    """

    def __init__(
        self,
        path: str,
        clock: Clock,
        predict: str = "open",
        troubled: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = Path(path) if path else None
        self._clock = clock
        self._open = predict == "open"
        self._troubled = troubled
        self._seen = self._stamp()
        self._tokens = read(self._path) if self._path is not None else ()
        self._held = self._holding()

    def refusal(self, role: str, authorization: bytes | str | None) -> Refusal | None:
        """Why a request may not do what needs this role; None where it may.

        A role that is none of "open", "predict", "submit" and "operate" is refused; ``authorization`` is the header, if
        it was sent.
        """
        if role == "open" or (role == "predict" and self._open):
            return None
        if role not in ROLES:
            return 403, "nobody may do this"
        shown = authorization.encode("utf-8", "replace") if isinstance(authorization, str) else authorization
        if not shown or shown[: len(_SCHEME)].lower() != _SCHEME:
            return 401, f"this needs a token that may {role}; {_make(role)}"
        token = self._find(shown[len(_SCHEME) :].strip())
        if token is None or not token.holds(self._clock()):
            return 401, f"the token is not known here or has expired; {_make(role)}"
        if ROLES.index(token.role) < ROLES.index(role):
            return 403, f"token `{token.name}` may {token.role}, expected {role}; {_make(role)}"
        return None

    def tick(self) -> bool:
        """About once a second: read the file again if it changed; whether anybody may do more or less than before."""
        seen = self._stamp()
        if self._path is not None and seen != self._seen:
            self._seen = seen
            try:
                self._tokens = read(self._path)
            except FunadeError as error:
                self._troubled(error.line())
        before, self._held = self._held, self._holding()
        return before != self._held

    def _stamp(self) -> disk.Stamp | None:
        return disk.stamp(self._path) if self._path is not None else None

    def _holding(self) -> tuple[Token, ...]:
        now = self._clock()
        return tuple(token for token in self._tokens if token.holds(now))

    def _find(self, text: bytes) -> Token | None:
        """The token of that text; as long for a wrong one as for a right one."""
        shown = sha256(text).hexdigest()
        matches = [token for token in self._tokens if hmac.compare_digest(token.sha256, shown)]
        return matches[-1] if matches else None


def _make(role: str) -> str:
    return f"make one: funade token add NAME --role {role}"
