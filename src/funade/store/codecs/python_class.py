"""Codec `python`: a class that keeps itself, by ``save(self, dir)`` and ``load(dir)``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from funade.errors import CodecError

FILE = "class.json"
FOLDER = "files"
_LIBRARIES = frozenset({"builtins", "sklearn", "lightgbm", "numpy", "scipy", "pandas", "polars", "pyarrow", "duckdb"})


class _Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    module: str
    qualname: str


class PythonClass:
    """Any class of the project with an instance method ``save(dir: Path)`` and a class or static method ``load(dir: Path)``.

    The class is found again by its name in the project's present code. Files ``load`` leaves open or mapped stay
    readable; others are gone once it returns.
    """

    name = "python"

    def fits(self, cls: type) -> bool:
        """Whether the class has both methods and is no library's."""
        return cls.__module__.partition(".")[0] not in _LIBRARIES and _keeps_itself(cls)

    def distributions(self, cls: type) -> tuple[str, ...]:
        """None: what the class needs is its own affair."""
        return ()

    def save(self, value: Any, folder: Path, project_types: Sequence[str] = ()) -> None:
        """Write ``class.json`` and, below ``files``, what the value itself writes."""
        cls = type(value)
        if "<locals>" in cls.__qualname__:
            raise CodecError(f"class `{cls.__qualname__}` expected at a module's top level, got inside a function")
        (folder / FILE).write_bytes(msgspec.json.encode(_Class(cls.__module__, cls.__qualname__)))
        (folder / FOLDER).mkdir()
        value.save(folder / FOLDER)

    def load(self, folder: Path, project_types: Sequence[str] = ()) -> Any:
        """What the class's ``load`` returns, which must be one of its instances."""
        try:
            named = msgspec.json.decode((folder / FILE).read_bytes(), type=_Class)
        except msgspec.DecodeError as error:
            raise CodecError(f"`{FILE}` expected a module and a class, got {error}") from error
        cls = _found(named, project_types)
        (folder / FOLDER).mkdir(exist_ok=True)
        value = cls.load(folder / FOLDER)
        if not isinstance(value, cls):
            raise CodecError(
                f"`{named.qualname}.load` expected to return a {named.qualname}, got {type(value).__qualname__}"
            )
        return value


def _keeps_itself(cls: type) -> bool:
    return callable(getattr(cls, "save", None)) and callable(getattr(cls, "load", None))


def _found(named: _Class, project_types: Sequence[str]) -> Any:
    """The class of that name, which must be the project's own and must keep itself."""
    told = f"{named.module}.{named.qualname}"
    if project_types and named.module.partition(".")[0] not in {*project_types, "__main__"}:
        raise CodecError(f"artifact expected a class of {', '.join(project_types)}, got `{told}`")
    try:
        cls: Any = importlib.import_module(named.module)
        for part in named.qualname.split("."):
            cls = getattr(cls, part)
    except (ImportError, AttributeError) as error:
        raise CodecError(f"artifact expected class `{told}`, got none in the project", do="restore it") from error
    if not isinstance(cls, type) or not PythonClass().fits(cls) or cls.__module__ != named.module:
        raise CodecError(f"artifact expected class `{told}` with save and load, got another thing of that name")
    return cls
