"""The fingerprint of a function: one digest of all project code that can change what it returns.

It covers the function and every project function, class and constant it reaches, over a normalised
syntax tree, with constants by value as they are when it is taken. Libraries count by name, never
by version. Not seen: values changed after import, attributes a project sets on a library, files
read at run time unless ``fn.files`` names them, and code behind calls that `warnings` lists.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any, cast

import msgspec

from funade.digest import of_file, of_value
from funade.errors import DeclarationError
from funade.fingerprint.reach import Reach


class Fingerprint(msgspec.Struct, frozen=True):
    """What a function's code is.

    ``digest``: 64 hex digits over everything the function reaches; its name, module and lines stay out. ``symbols``:
    ``module:qualname`` → the digest of that project symbol alone, not of what it reaches. ``warnings``: one line each,
    ``<file>:<line>: <what is not seen>``, in order of place.
    """

    digest: str
    symbols: dict[str, str]
    warnings: tuple[str, ...]


def fingerprint(function: Callable[..., object], *, root: Path, files: tuple[str, ...] = ()) -> Fingerprint:
    """The fingerprint of a plain function in the project below ``root``; decorator lines above it do not count.

    Raises:
        DeclarationError: a node is used inside the code, or a pattern in ``files`` names no file below ``root``.
    """
    reach = Reach(function, root)
    digests = _files(function, root.resolve(), files)  # path below the root, with `/`, → digest of its bytes
    lines = tuple(f"{file}:{line}: {what}" for file, line, what in sorted(reach.notes))
    return Fingerprint(of_value([reach.digest(), digests]), reach.symbols(), lines)


def symbol_reach(cls: type, *, root: Path) -> dict[str, str]:
    """The project symbols a class reaches, as in ``Fingerprint.symbols``; none for a library's class."""
    return Reach(cls, root).symbols()


def _files(function: Callable[..., object], root: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    digests: dict[str, str] = {}
    for pattern in patterns:
        paths = _matches(root, pattern)
        if not paths:
            code = cast(Any, function).__code__
            file = Path(code.co_filename)
            shown = file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name
            raise DeclarationError(
                f"`{code.co_name}` expected files below the project's folder for `{pattern}`, got none",
                at=f"{shown}:{code.co_firstlineno}",
                do='name them from the folder of funade.toml, as in "sql/*.sql"',
            )
        digests |= {path.relative_to(root).as_posix(): of_file(path) for path in paths}
    return dict(sorted(digests.items()))


def _matches(root: Path, pattern: str) -> list[Path]:
    parts = PurePath(pattern).parts
    if not parts or PurePath(pattern).is_absolute() or ".." in parts:
        return []
    # A closing `**` means folders only on Python 3.11 and 3.12, files too from 3.13 on.
    return [path for path in root.glob(pattern + "/*" if parts[-1] == "**" else pattern) if path.is_file()]
