"""A project's source files as they are read: which code is the project's, and what its trees say."""

from __future__ import annotations

import ast
import linecache
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from funade.digest import of_bytes
from funade.fingerprint.chains import AttributeChain, chains_of, hiding
from funade.fingerprint.dump import dump
from funade.fingerprint.normalise import Function, bare
from funade.fingerprint.syntax import Imported, SourceFile, imports_of

_OUTSIDE = frozenset({".venv", "site-packages", "dist-packages", ".funade"})
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))
_sources: dict[str, tuple[tuple[int, int], SourceFile]] = {}
Part = Literal["decorated", "bare", "whole"]


@dataclass(frozen=True)
class Reading:
    """What one node of a tree says; ``text`` is a digest of its dump."""

    text: str
    chains: tuple[AttributeChain, ...]
    hiding: tuple[tuple[int, str], ...]
    imports: tuple[tuple[int, Imported], ...]


class ProjectCode:
    """The code below ``root``, and that of the module in which the function ``start`` stands."""

    def __init__(self, root: Path, start: Any) -> None:
        self.root = root
        self._start = start if isinstance(start, FunctionType) else None
        self._known: dict[tuple[str, str], bool] = {}
        self._sources: dict[str, tuple[SourceFile | None, str]] = {}

    def has(self, scope: dict[str, Any]) -> bool:
        """Whether the module with these globals is the project's."""
        name, file = str(scope.get("__name__", "")), str(scope.get("__file__") or "")
        known = self._known.get((name, file))
        if known is None:
            known = self._known[name, file] = self._judged(scope, name, file)
        return known

    def _judged(self, scope: dict[str, Any], name: str, file: str) -> bool:
        if name == "__main__" or (self._is_start(scope) and not file.startswith(_LIBRARIES)):
            return True
        places = [file] if file else [str(place) for place in scope.get("__path__", ())]
        return any(self.has_file(place) for place in places)

    def has_file(self, file: str) -> bool:
        """Whether a file is the project's: below the root, and not in a folder of libraries there."""
        return _is_below(file, self.root)

    def source_of(self, scope: dict[str, Any]) -> tuple[SourceFile | None, str]:
        """A module's source and the path to show for it; None where it cannot be read."""
        file = str(scope.get("__file__") or "")
        if not file.endswith(".py"):
            return _cell(self._start.__code__.co_filename) if self._start and self._is_start(scope) else (None, file)
        # One look at the disk per file and fingerprint: what is read is one state of the file.
        known = self._sources.get(file)
        if known is None:
            known = self._sources[file] = (_parsed(file), _shown(file, self.root))
        return known

    def source_of_function(self, function: FunctionType) -> tuple[SourceFile | None, str]:
        """A function's source: its module's, or the notebook cell or text that made it."""
        filename = function.__code__.co_filename
        if function.__globals__.get("__file__") and not filename.startswith("<"):
            return self.source_of(function.__globals__)
        return _cell(filename)

    def _is_start(self, scope: dict[str, Any]) -> bool:
        return self._start is not None and scope is self._start.__globals__


@lru_cache(maxsize=4096)
def _shown(file: str, root: Path) -> str:
    path = Path(file).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@lru_cache(maxsize=65536)
def _is_below(file: str, root: Path) -> bool:
    path = Path(file).resolve()
    # Judged from the root on: a server's root is itself a folder in .funade.
    return path.is_relative_to(root) and _OUTSIDE.isdisjoint(path.relative_to(root).parts)


def _parsed(file: str) -> SourceFile | None:
    """The file's source, parsed once until the file changes."""
    try:
        status = Path(file).stat()
        stamp = (status.st_mtime_ns, status.st_size)
        known = _sources.get(file)
        if known is None or known[0] != stamp:
            known = _sources[file] = (stamp, SourceFile(Path(file).read_text(encoding="utf-8")))
    except (OSError, SyntaxError, ValueError):
        return None
    return known[1]


def _cell(filename: str) -> tuple[SourceFile | None, str]:
    """The source of a notebook cell or executed text, as far as ``linecache`` knows it."""
    text = "".join(linecache.getlines(filename))
    return (_parsed_text(text) if text else None), filename


@lru_cache(maxsize=1024)
def _parsed_text(text: str) -> SourceFile | None:
    try:
        return SourceFile(text)
    except (SyntaxError, ValueError):
        return None


def read(source: SourceFile, node: ast.AST, part: Part) -> Reading:
    """A node's reading, made once: a definition ``decorated`` or ``bare``, or a ``whole`` statement."""
    known: Reading | None = source.readings.get((id(node), part))
    if known is None:
        known = source.readings[id(node), part] = _reading(node, part)
    return known


def _reading(node: ast.AST, part: Part) -> Reading:
    text, inner = node, [node]
    if isinstance(node, Function | ast.Lambda) and part != "whole":
        text = bare(node, decorated=part == "decorated")
        inner = list(node.body) if isinstance(node.body, list) else [node.body]
    walked = [each for top in inner for each in ast.walk(top)]
    return Reading(
        of_bytes(dump(text).encode()),
        tuple(sorted(chains_of(inner))),
        tuple(call for top in inner for call in hiding(top)),
        tuple((getattr(each, "lineno", 0), name) for each in walked for name in imports_of(each)),
    )
