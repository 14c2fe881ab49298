"""Every error a user can meet: one class per situation, one line per message.

A message reads ``<what expected X, got Y> - at <place>; <do this>``. The class name is its
heading: the command line prints ``DeclarationError: dataset `settled` takes ...``.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


def closest(name: str, known: Iterable[str]) -> str:
    """The remedy for a misspelt name: ``did you mean `rides`?``, or "" when nothing is close.

    >>> closest("ridess", ["rides", "drivers"])
    'did you mean `rides`?'
    """
    matches = get_close_matches(name, list(known), n=1)
    return f"did you mean `{matches[0]}`?" if matches else ""


def writable(text: str) -> str:
    r"""Text as every file and pipe can hold it: what UTF-8 cannot say, such as parts of odd file names, is escaped.

    >>> writable("caf\udce9.csv")
    'caf\\udce9.csv'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def message(error: BaseException) -> str:
    """What an exception says, whatever its class makes of that."""
    try:
        return writable(error.msg if isinstance(error, SyntaxError) else str(error))
    except Exception:  # its class is a user's
        return "<exception str() failed>"  # as Python's own tracebacks have it


def headline(error: BaseException) -> str:
    """An exception in one line: its class and its message's first line.

    >>> headline(KeyError("fare"))
    "KeyError: 'fare'"
    """
    first = next(iter(message(error).strip().splitlines()), "")
    return type(error).__name__ + (f": {first}" if first else "")


class FunadeError(Exception):
    """The root of every expected failure.

    Args:
        what: the fact, e.g. ``source `rides` expected a name, got none``.
        at: where it stands, e.g. ``taxi/fraud.py:18`` or ``fraud_limit@5c11aa``.
        do: what mends it, e.g. ``run: funade build fraud_limit``.
        facts: what a program may want to read, kept as attributes.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, at: str = "", do: str = "", **facts: object) -> None:
        self.what = writable(what)
        self.at = writable(at)
        self.do = writable(do)
        self.facts = facts
        super().__init__(self.what, self.at, self.do)

    def __getattr__(self, name: str) -> object:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(name)

    def __str__(self) -> str:
        return self.what + (f" - at {self.at}" if self.at else "") + (f"; {self.do}" if self.do else "")

    def line(self) -> str:
        """The message as the command line prints it, headed by the class's name."""
        return f"{type(self).__name__}: {self}"


class Misuse(FunadeError):
    """The command or call itself is wrong (exit 2): an unknown name, an id that fits two versions."""

    exit_code = 2


class DeclarationError(FunadeError):
    """What stands above a function is wrong; raised when its module is imported."""


class ProjectError(FunadeError):
    """``funade.toml`` or the project's folder is not what it must be."""


class SettingError(FunadeError):
    """A setting names nothing, or its value has another type than its default."""


class PlaceMissing(FunadeError):
    """A place or secret that a function asks for is not given by the profile or the environment."""


class LoadFailed(FunadeError):
    """A source's function failed or gave rows that cannot be kept; nothing of that period changed."""


class UserCodeError(FunadeError):
    """A module of the project failed when it was imported; ``traceback`` holds the user's own frames."""


class BuildFailed(FunadeError):
    """The user's function failed; ``traceback`` holds their own frames."""


class ResultRefused(FunadeError):
    """The user's function returned something its node cannot keep."""


class CheckFailed(FunadeError):
    """A data check found bad rows; they are kept aside for inspection."""


class WindowEmpty(FunadeError):
    """A window chose no row."""


class AnswerError(FunadeError):
    """An api's function gave other rows than it was asked for."""


class ContractViolation(FunadeError):
    """A request's value breaks the contract; ``path`` points at it, e.g. ``$[3].fare_yen``."""


class NotBuilt(FunadeError):
    """A version that is needed does not exist yet."""


class UnknownVersion(Misuse):
    """No version bears this name or id."""


class UnknownPrediction(Misuse):
    """No logged answer has this id."""


class HoldsDisagree(FunadeError):
    """Two holds want two versions of one node."""


class CutIncomplete(FunadeError):
    """A release was asked for a cut in which a node has no version."""


class CutInconsistent(FunadeError):
    """A pinned version was built from something that is not pinned."""


class GateClosed(FunadeError):
    """The gate refuses a candidate; ``findings`` holds every reason."""


class SwitchLost(FunadeError):
    """The release or candidate moved while this switch was made; nothing changed."""


class RollbackRefused(FunadeError):
    """There is no release to go back to, or it no longer loads or answers as it did."""


class StoreError(FunadeError):
    """The store cannot be opened or written."""


class StoreTooNew(StoreError):
    """The store was written by a newer funade."""


class BlobMissing(StoreError):
    """Bytes that a record names are not in the store."""


class BlobDamaged(StoreError):
    """Bytes in the store do not have the digest they are named by."""


class DiskFull(StoreError):
    """No room is left; nothing was changed."""


class CodecError(FunadeError):
    """An artifact cannot be kept or loaded by its codec."""


class NotServed(FunadeError, AttributeError):
    """A served model has no such attribute: only what its ONNX form can answer is there."""


class FeaturesRefused(FunadeError):
    """The rows given to a served model lack a feature, or hold what is no number."""


class ServeError(FunadeError):
    """The server cannot start, or a generation did not come up."""
