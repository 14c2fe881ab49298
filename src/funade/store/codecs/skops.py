"""Codec `skops`: scikit-learn estimators and pipelines, under an allow-list of types.

A file names the types it holds. skops refuses those it does not know; of these only classes defined by scikit-learn
and LightGBM, the NumPy and SciPy types named here, and the project's own classes and functions are let through, at
save and again at load. Functions are let through only where they are referred to, never where they would be called.
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from funade.errors import CodecError

FILE = "estimator.skops"
TRUSTED = "trusted.json"

LIBRARIES = frozenset({"sklearn", "lightgbm"})
"""Packages whose own classes are let through."""

TYPES = frozenset({
    "numpy.dtype", "collections.OrderedDict", "scipy.interpolate._bsplines.BSpline",
    "scipy.interpolate._interpolate.interp1d", "scipy.interpolate._interpolate.PPoly",
    "scipy.sparse._csr.csr_matrix", "scipy.sparse._csc.csc_matrix", "scipy.sparse._coo.coo_matrix",
    "scipy.sparse._csr.csr_array", "scipy.sparse._csc.csc_array", "scipy.sparse._coo.coo_array",
})  # fmt: skip

FUNCTIONS = frozenset({"numpy.mean", "numpy.median", "numpy.nan_to_num", "numpy.clip", "numpy.round"})

_REFERRING = frozenset({"FunctionNode", "TypeNode"})
_REFERENCE_PACKAGES = ("sklearn.feature_selection.", "sklearn.metrics.", "sklearn.cluster.", "sklearn.utils.")
_DATE = (1980, 1, 1, 0, 0, 0)


class SkopsEstimator:
    """Estimators of scikit-learn, and of the project when they derive from scikit-learn's."""

    name = "skops"
    remedy = "return a scikit-learn estimator or pipeline"

    def fits(self, cls: type) -> bool:
        """Whether the class or one of its parents is scikit-learn's."""
        return any(parent.__module__.partition(".")[0] == "sklearn" for parent in cls.__mro__)

    def distributions(self, cls: type) -> tuple[str, ...]:
        """What skops files are read with."""
        return ("scikit-learn", "skops", "numpy", "scipy")

    def save(self, value: Any, folder: Path, project_types: Sequence[str] = ()) -> None:
        """Write the estimator and the list of types that were let through; equal estimators mostly give equal bytes."""
        import skops.io

        data = _steady(skops.io.dumps(value))
        trusted = _admitted(data, project_types)
        (folder / FILE).write_bytes(data)
        (folder / TRUSTED).write_text(json.dumps(trusted))

    def load(self, folder: Path, project_types: Sequence[str] = ()) -> Any:
        """The estimator, when the types it holds are those let through at save and still let through now."""
        import skops.io

        data = (folder / FILE).read_bytes()
        recorded = json.loads((folder / TRUSTED).read_text())
        trusted = _admitted(data, project_types)
        if trusted != recorded:
            raise CodecError(f"expected the types recorded with it {recorded}, got {trusted}", do="run: funade fsck")
        return skops.io.loads(data, trusted=trusted)


def _admitted(data: bytes, project_types: Sequence[str]) -> list[str]:
    """The types in a file that skops does not know; each is one that the allow-list lets through.

    Raises:
        CodecError: one is not.
    """
    import skops.io

    unknown: list[str] = skops.io.get_untrusted_types(data=data)
    referred = {name for name, loader in _nodes(data) if loader not in _REFERRING}
    refused = [name for name in unknown if not _lets_through(name, name not in referred, project_types)]
    if refused:
        raise CodecError(
            f"expected types of scikit-learn or of the project, got {', '.join(refused)}",
            do="wrap it in a class with save(self, dir) and load(dir)",
        )
    return unknown


def _lets_through(name: str, only_referred: bool, project_types: Sequence[str]) -> bool:
    module, _, member = name.rpartition(".")
    root, own = module.partition(".")[0], {*project_types, "__main__"}
    if name in TYPES:
        return True
    if name in FUNCTIONS:
        return only_referred
    if root not in LIBRARIES and root not in own:
        return False
    try:
        value = getattr(importlib.import_module(module), member)
    except (ImportError, AttributeError):
        return False
    if getattr(value, "__module__", "").partition(".")[0] != root:
        return False
    if isinstance(value, type):
        return True
    return only_referred and callable(value) and (root in own or name.startswith(_REFERENCE_PACKAGES))


def _nodes(data: bytes) -> Iterator[tuple[str, str]]:
    """(module.name, loader) of every value in a file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        waiting: list[Any] = [json.loads(archive.read("schema.json"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if "__loader__" in node:
                yield f"{node.get('__module__')}.{node.get('__class__')}", str(node["__loader__"])
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _steady(data: bytes) -> bytes:
    """The same file without what differs from run to run: memory addresses, random names, the time of day."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read("schema.json"))
        contents = {name: archive.read(name) for name in archive.namelist() if name != "schema.json"}
    names = _renumber(schema)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for old, new in names.items():
            archive.writestr(zipfile.ZipInfo(new, _DATE), contents[old], zipfile.ZIP_DEFLATED, 1)
        archive.writestr(zipfile.ZipInfo("schema.json", _DATE), json.dumps(schema), zipfile.ZIP_DEFLATED, 1)
    return out.getvalue()


def _renumber(schema: Any) -> dict[str, str]:
    """Number the nodes in the order of their first mention; gives the files' old names and their new ones."""
    ids: dict[Any, int] = {}
    files: dict[str, str] = {}
    waiting: list[Any] = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(reversed(node))
        if not isinstance(node, dict):
            continue
        if "__loader__" in node:
            if "__id__" in node:
                node["__id__"] = ids.setdefault(node["__id__"], len(ids))
            if isinstance(node.get("file"), str):
                node["file"] = files.setdefault(node["file"], f"{len(files)}{Path(node['file']).suffix}")
        waiting.extend(reversed(list(node.values())))
    return files
