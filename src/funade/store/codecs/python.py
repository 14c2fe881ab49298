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

    def __str__(self) -> str:
        return f"{self.module}.{self.qualname}"


class PythonClass:
    """Any class of the project with a method ``save(self, dir: Path)`` and a class method ``load(dir: Path)``.

    The class is found again by its name in the project's present code. Files ``load`` leaves open or mapped stay
    readable; others are gone once it returns.
    """

    name = "python"
    remedy = "return an instance of a class with save(self, dir) and a classmethod load(dir)"

    def fits(self, cls: type) -> bool:
        """Whether the class has both methods and is no library's."""
        methods = (getattr(cls, name, None) for name in ("save", "load"))
        return cls.__module__.partition(".")[0] not in _LIBRARIES and all(map(callable, methods))

    def distributions(self, cls: type) -> tuple[str, ...]:
        """None: what the class needs is its own affair."""
        return ()

    def save(self, value: Any, folder: Path, project_types: Sequence[str] = ()) -> None:
        """Write ``class.json`` and, below ``files``, what the value itself writes."""
        cls = type(value)
        named = _Class(cls.__module__, cls.__qualname__)
        if _class_named(named, project_types) is not cls:
            raise CodecError(f"expected class `{named}` at its module's top level, got another of that name")
        (folder / FILE).write_bytes(msgspec.json.encode(named))
        (folder / FOLDER).mkdir()
        value.save(folder / FOLDER)

    def load(self, folder: Path, project_types: Sequence[str] = ()) -> Any:
        """What the class's ``load`` returns, which must be one of its instances."""
        try:
            named = msgspec.json.decode((folder / FILE).read_bytes(), type=_Class)
        except msgspec.DecodeError as error:
            raise CodecError(f"expected a module and a class in `{FILE}`, got: {error}") from error
        cls = _class_named(named, project_types)
        (folder / FOLDER).mkdir(exist_ok=True)
        value = cls.load(folder / FOLDER)
        if not isinstance(value, cls):
            raise CodecError(
                f"expected `{named.qualname}.load` to return a {named.qualname}, got {type(value).__qualname__}"
            )
        return value


def _class_named(named: _Class, project_types: Sequence[str]) -> Any:
    """The class of that name: the project's own (or a notebook's), and one that keeps itself."""
    if named.module.partition(".")[0] not in {*project_types, "__main__"}:
        owners = ", ".join(project_types) or "the project"
        raise CodecError(f"expected a class of {owners}, got `{named}`", do="wrap it in a class of the project")
    try:
        cls: Any = importlib.import_module(named.module)
        for part in named.qualname.split("."):
            cls = getattr(cls, part)
    except (ImportError, AttributeError) as error:
        raise CodecError(
            f"expected class `{named}` in the project's code, got none", do="define it at a module's top level"
        ) from error
    if not isinstance(cls, type) or cls.__module__ != named.module or not PythonClass().fits(cls):
        raise CodecError(f"expected class `{named}` with save and load, got another thing of that name")
    return cls
