"""Importing a project's modules from one folder, always compiled from the source that lies there.

Bytecode caches are not used for project code: they are keyed by whole seconds and size, so a quick edit of equal
length would run, and be fingerprinted, as the old code.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import os
import pkgutil
import sys
import traceback
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

from funade.errors import DeclarationError, FunadeError, ProjectError, UserCodeError, headline

SKIPPED = frozenset({".venv", "venv", "site-packages", "node_modules", "__pycache__", "build", "dist"})


def project_files(root: Path) -> list[Path]:
    """Every Python file of the project, sorted; hidden, environment and build folders and a store are left out."""
    paths: list[Path] = []
    for where, names, files in os.walk(root):
        folder = Path(where)
        names[:] = [n for n in names if not n.startswith(".") and n not in SKIPPED and not _is_store(folder / n)]
        paths.extend(folder / f for f in files if f.endswith(".py"))
    return sorted(paths)


def _is_store(folder: Path) -> bool:
    return (folder / "records.db").is_file()  # its code snapshots are no code of the project's


def import_project(root: Path, names: Sequence[str]) -> list[types.ModuleType]:
    """Import modules and all modules below them from ``root``; modules of the same name from elsewhere give way.

    Raises:
        ProjectError: a module is not there, or comes from another folder.
        DeclarationError: what stands above a function is wrong; ``at`` is its file and line.
        UserCodeError: the module's own code failed; its traceback is kept, cut to the project's frames.
    """
    root = root.resolve()
    _make_way(root)
    modules: dict[str, types.ModuleType] = {}
    with _import_from(root):
        for name in names:
            _import_below(root, name, modules)
    return list(modules.values())


def user_traceback(error: BaseException, root: Path) -> str:
    """The error's traceback, cut to the frames of files below ``root``."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _in_file(f.filename, root)]
    lines = ["Traceback (your code, most recent call last):\n", *traceback.format_list(frames)] if frames else []
    return "".join(lines + traceback.format_exception_only(error))


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the source each time; neither reads nor writes bytecode."""

    def get_code(self, fullname: str) -> types.CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


_DETAILS = (
    (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    (_Loader, importlib.machinery.SOURCE_SUFFIXES),
)


@contextlib.contextmanager
def _import_from(root: Path) -> Iterator[None]:
    text = str(root)

    def hook(path: str) -> importlib.machinery.FileFinder:
        if not _below(path, root) or "site-packages" in path:
            raise ImportError(path)
        return importlib.machinery.FileFinder(path, *_DETAILS)

    sys.path_hooks.insert(0, hook)
    # The folder stays on sys.path: a function may import a project module when it is called.
    if text in sys.path:
        sys.path.remove(text)
    sys.path.insert(0, text)
    for path in [p for p in list(sys.path_importer_cache) if _below(p, root)]:  # other threads import meanwhile
        del sys.path_importer_cache[path]
    yield


def _make_way(root: Path) -> None:
    """Forget modules that an earlier project, or an earlier state of this one, left behind."""
    tops = {p.stem if p.suffix == ".py" else p.name for p in root.iterdir() if _is_module(p)}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        origin = _origin(sys.modules[name])
        if origin and not _installed(origin):
            del sys.modules[name]


def _origin(module: types.ModuleType) -> str:
    """The file or folder that a module came from; "" where it came from none, or what it is part of is gone."""
    with contextlib.suppress(KeyError):  # the path of a namespace is read from its parent's
        return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "")
    return ""


def _is_module(path: Path) -> bool:
    if path.name.startswith(".") or path.name in SKIPPED:
        return False
    return path.is_dir() or path.suffix == ".py"


def _installed(origin: str) -> bool:
    return "site-packages" in origin or origin.startswith((sys.base_prefix, str(Path(__file__).parents[1])))


def _import_below(root: Path, name: str, modules: dict[str, types.ModuleType]) -> None:
    if not _exists(root, name):
        raise ProjectError(
            f"project expected a module `{name}`, got no {name.replace('.', '/')}.py and no such folder",
            at=str(root),
            do="move funade.toml into src" if _exists(root / "src", name) else "mend modules = […] in funade.toml",
        )
    module = _import(root, name)
    _assert_from(root, module)
    modules[name] = module
    for part in pkgutil.iter_modules(getattr(module, "__path__", []), prefix=f"{name}."):
        _import_below(root, part.name, modules)


def _exists(root: Path, name: str) -> bool:
    path = root.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file() or any(path.parent.glob(f"{path.name}.*.so"))


def _import(root: Path, name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except FunadeError as error:
        if isinstance(error, DeclarationError) and not error.at:
            raise DeclarationError(error.what, at=_last_line(error, root), do=error.do) from None
        raise
    except (Exception, SystemExit) as error:
        raise UserCodeError(
            f"module `{name}` expected to be imported, got {headline(error)}",
            at=_last_line(error, root),
            do="install it, or mend the import" if isinstance(error, ModuleNotFoundError) else "",
            traceback=user_traceback(error, root),
        ) from error


def _last_line(error: BaseException, root: Path) -> str:
    if isinstance(error, SyntaxError) and error.filename and _below(error.filename, root):
        return f"{Path(error.filename).resolve().relative_to(root)}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _in_file(frame.filename, root):
            return f"{Path(frame.filename).resolve().relative_to(root)}:{frame.lineno}"
    return ""


def _assert_from(root: Path, module: types.ModuleType) -> None:
    origin = getattr(module, "__file__", None)
    if origin and not _below(origin, root):
        raise ProjectError(
            f"module `{module.__name__}` expected to come from {root}, got {origin}",
            do="give the project's package a name that nothing installed bears",
        )


def _in_file(name: str, root: Path) -> bool:
    """A frame of a file below ``root``; ``<frozen …>`` and what extensions call their sources lie nowhere."""
    return Path(name).is_absolute() and _below(name, root)


def _below(path: str, root: Path) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return Path(path).resolve().is_relative_to(root)
    return False
