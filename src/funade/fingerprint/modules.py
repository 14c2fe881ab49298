"""The project's modules by their names, and what the import statements of its code lead to."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec, resolve_name
from types import ModuleType
from typing import Any

from funade.fingerprint.notes import CodeNotes
from funade.fingerprint.reading import ProjectCode
from funade.fingerprint.syntax import Imported

MISSING = object()


class ProjectModules:
    """The project's modules; one that was not imported yet is imported when it is asked for."""

    def __init__(self, project: ProjectCode, notes: CodeNotes) -> None:
        self._project = project
        self._notes = notes

    def get(self, target: str) -> ModuleType | None:
        """The project's module of this name, imported if need be; None where it is a library's or fails."""
        module = sys.modules.get(target)
        if module is None and self._may_import(target):
            try:
                module = importlib.import_module(target)
            except Exception as error:  # the project's own code runs here
                self._notes.add_here(
                    f"module `{target}` cannot be imported ({type(error).__name__}): it does not count"
                )
        return module if module is not None and self._project.has(vars(module)) else None

    def _may_import(self, target: str) -> bool:
        # The top package is judged first: finding a part of a library would import the library.
        return self._is_found_below(target.partition(".")[0]) and self._is_found_below(target)

    def _is_found_below(self, name: str) -> bool:
        try:
            spec = find_spec(name)
        except (ImportError, ValueError, AttributeError):
            return False
        places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
        return any(self._project.has_file(place) for place in places if place)


def absolute(imported: Imported, package: str) -> str:
    """The full name of the module that an import in a package names."""
    if not imported.level:
        return imported.module
    try:
        return resolve_name("." * imported.level + imported.module, package)
    except ImportError:
        return imported.module


def attribute(module: ModuleType, name: str) -> Any:
    """A module's attribute; ``MISSING`` where it has none or fails to make it."""
    try:
        return getattr(module, name, MISSING)
    except Exception:  # a lazy module may fail to load its part
        return MISSING
