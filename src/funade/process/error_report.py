"""An error as it crosses from one process to another."""

from __future__ import annotations

import traceback as tracebacks
from typing import Any

import msgspec

from funade import errors
from funade.errors import FunadeError, ServeError, headline, writable


class ErrorReport(msgspec.Struct, frozen=True, tag="error", omit_defaults=True):
    """What an error says.

    ``kind`` names the class of a ``FunadeError``; it is "" for every other exception, whose class and message are then
    ``what``. ``facts`` are those of the error as JSON can carry them; ``traceback`` is one of them.
    """

    what: str
    kind: str = ""
    at: str = ""
    do: str = ""
    facts: dict[str, Any] = {}

    @classmethod
    def of(cls, error: BaseException, traceback: str | None = None) -> ErrorReport:
        """An error's report; ``traceback`` is that of an exception which is no ``FunadeError`` (None: all frames)."""
        if isinstance(error, FunadeError):
            kind = next(c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__)
            facts = {n: writable(f) if isinstance(f, str) else f for n, f in error.facts.items()}
            facts = msgspec.to_builtins(facts, enc_hook=repr, str_keys=True)
            return cls(error.what, kind, error.at, error.do, facts)
        frames = "".join(tracebacks.format_exception(error)) if traceback is None else traceback
        return cls(headline(error), facts={"traceback": writable(frames)})

    @property
    def traceback(self) -> str:
        """Where it was raised; "" where the error does not say."""
        return str(self.facts.get("traceback", ""))

    def error(self, expected: str) -> FunadeError:
        """The error again, of its own class; where it was no ``FunadeError``, one that says what was expected."""
        if not self.kind:
            return ServeError(f"{expected}, got {self.what}", at=self.at, do=self.do, **self.facts)
        kind: type[FunadeError] = getattr(errors, self.kind)
        return kind(self.what, at=self.at, do=self.do, **self.facts)

    def line(self) -> str:
        """The error in one line, as the command line prints it."""
        return self.error("").line() if self.kind else self.what
