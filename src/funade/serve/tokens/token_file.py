"""The file of tokens: names, roles and digests; a token itself is shown once and kept nowhere."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import msgspec

from funade import digest
from funade.errors import Misuse, ServeError, closest
from funade.store import disk

Role = Literal["predict", "submit", "operate"]
"""What a token may: ask for answers; also leave requests in the queue; also change what is served."""

ROLES: tuple[str, ...] = get_args(Role)
"""From least to most; each may what those before it may."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_BYTES = 1 << 20
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One token; ``sha256`` is the digest of its text, ``expires`` None where it never does."""

    name: str
    role: Role
    sha256: str
    made: datetime
    expires: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires is None or now < self.expires


class _File(msgspec.Struct, forbid_unknown_fields=True):
    tokens: tuple[Token, ...] = ()


def read(path: Path) -> tuple[Token, ...]:
    """The tokens of a file; none where there is no file.

    Raises:
        ServeError: others may write it, or it holds something else.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                what = "file of tokens expected to be its owner's alone, got one that others may write"
                raise ServeError(what, at=str(path), do=f"run: chmod 600 {path}")
            return msgspec.json.decode(file.read(_MOST_BYTES), type=_File).tokens
    except FileNotFoundError:
        return ()
    except (OSError, msgspec.DecodeError) as error:
        what = f"file of tokens expected to be written by `funade token`, got: {error}"
        raise ServeError(what, at=str(path), do="restore it, or remove it and make new tokens") from None


def add(path: Path, name: str, role: Role, *, now: datetime, expires: timedelta | None = None) -> str:
    """Make a token; gives its text, which is kept nowhere.

    Raises:
        Misuse: the name is none.
        ServeError: the name is taken, or as ``read``.
    """
    if not _NAME.fullmatch(name):
        raise Misuse(f"token expected a name of letters, digits, `.`, `_` and `-`, got {name!r}")
    text = "funade_" + secrets.token_urlsafe(32)
    with _alone(path):
        tokens = read(path)
        if name in (token.name for token in tokens):
            raise ServeError(
                f"token `{name}` expected a new name, got one in use", do=f"run: funade token remove {name}"
            )
        sha256 = digest.of_bytes(text.encode())
        _write(path, (*tokens, Token(name, role, sha256, now, None if expires is None else now + expires)))
    return text


def remove(path: Path, name: str) -> None:
    """Forget a token; servers refuse it within about a second.

    Raises:
        ServeError: there is none of that name, or as ``read``.
    """
    with _alone(path):
        tokens = read(path)
        others = tuple(token for token in tokens if token.name != name)
        if len(others) == len(tokens):
            known = [token.name for token in tokens]
            raise ServeError(f"tokens expected `{name}`, got none", do=closest(name, known) or "run: funade token list")
        _write(path, others)


def length(text: str) -> timedelta:
    """A length of time as a command's option says it.

    Raises:
        Misuse: it is none.

    >>> length("90d")
    datetime.timedelta(days=90)
    """
    match = re.fullmatch(r"([1-9]\d{0,4})([mhd])", text)
    if match is None:
        raise Misuse(f"--expires expected a length of time like 90d, 12h or 30m, got {text!r}")
    return int(match[1]) * _UNITS[match[2]]


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with disk.alone(path.with_name(path.name + ".lock"), mode=0o600):
        yield


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    body = msgspec.json.format(msgspec.json.encode(_File(tokens)), indent=2) + b"\n"
    disk.write(path, body, mode=0o600)
