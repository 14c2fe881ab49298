"""What a fingerprint cannot see: a line for each place in the project's code that hides what it reaches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from funade.fingerprint.reading import ProjectCode, Reading


class CodeNotes:
    """The notes made while code is read, each once, as (file, line, what).

    ``at`` is the place that is being read: the symbol, its file and the line.
    """

    def __init__(self, project: ProjectCode) -> None:
        self.lines: set[tuple[str, int, str]] = set()
        self.at = ("", "", 0)
        self._project = project
        self._modules: set[str] = set()

    def add(self, what: str, file: str, line: int) -> None:
        """Note one thing about a line of a file."""
        self.lines.add((file, line, what))

    def add_here(self, what: str) -> None:
        """Note one thing about the place that is being read."""
        self.add(what, self.at[1], self.at[2])

    @contextmanager
    def on_line(self, line: int) -> Iterator[None]:
        """While it lasts, another line of the same symbol is being read."""
        before = self.at
        self.at = (*before[:2], line)
        yield
        self.at = before

    def add_hiding(self, scope: dict[str, Any], file: str, reading: Reading | None) -> None:
        """Note the calls in a piece of code that hide what they reach, such as ``exec``."""
        for line, name in reading.hiding if reading else ():
            if name == "import_module" or name not in scope:
                self.add(f"`{name}` hides what it reaches: changes behind it are not seen", file, line)

    def add_stars(self, scope: dict[str, Any]) -> None:
        """Note the star imports of a module, the first time the module is read."""
        name = str(scope.get("__name__"))
        if name in self._modules:
            return
        self._modules.add(name)
        source, file = self._project.source_of(scope)
        for star in source.stars if source else ():
            module = "." * star.level + (star.module or "")
            self.add(f"`from {module} import *` hides where names come from: name them", file, star.lineno)
