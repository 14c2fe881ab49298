"""A model file read without a project: what it takes, what it gives, and how it is run."""

from __future__ import annotations

import importlib
import keyword
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from funade.contract.arrays import Columns
from funade.errors import ServeError

MOST_FIELDS = 2000
MOST_BYTES = 2 << 30

PROJECT = "serve it from a project, whose api gives the model what it takes"


class ModelColumn(NamedTuple):
    """One value of a row: its field's name and type, and what the file calls it where that is no field's name."""

    name: str
    type: Any
    called: str = ""


class ModelScorer(NamedTuple):
    """A model ready to run on columns of any number of rows from 1."""

    takes: tuple[ModelColumn, ...]
    gives: tuple[ModelColumn, ...]
    run: Callable[[Columns], Columns]


def columns(named: Iterable[tuple[str, Any]], place: str) -> tuple[ModelColumn, ...]:
    """Columns under names that fields may bear, each once.

    Raises:
        ServeError: more than ``MOST_FIELDS``.

    >>> [c.name for c in columns([("petal length (cm)", float), ("2", int), ("class", int), ("2", int)], "m")]
    ['petal_length_cm', 'f2', 'class_', 'f2_1']
    """
    by_name: dict[str, ModelColumn] = {}
    for called, kind in named:
        plain = re.sub(r"\W+", "_", called, flags=re.ASCII).strip("_") or "f"
        plain = f"f{plain}" if plain[0].isdigit() else f"{plain}_" if keyword.iskeyword(plain) else plain
        free = next(n for n in (plain, *(f"{plain}_{i}" for i in range(1, 2 * MOST_FIELDS))) if n not in by_name)
        by_name[free] = ModelColumn(free, kind, "" if free == called else called)
        if len(by_name) > MOST_FIELDS:
            raise ServeError(
                f"`{place}` expected at most {MOST_FIELDS} values a row in the contract, got more", do=PROJECT
            )
    return tuple(by_name.values())


def struct(name: str, columns: Sequence[ModelColumn], doc: str) -> type[msgspec.Struct]:
    """The columns as a struct, none with a default."""
    fields = []
    for column in columns:
        kind = column.type
        if column.called:
            kind = Annotated[kind, msgspec.Meta(description=f"`{column.called}` of the file")]
        fields.append((column.name, kind))
    return msgspec.defstruct(name, fields, namespace={"__doc__": doc}, module=__name__, kw_only=True)


def kind_of(path: Path) -> str:
    """``onnx`` or ``lightgbm``, told from a file's first bytes.

    Raises:
        ServeError: it is not there, empty, or no model that can be read without running code of its own.
    """
    if not path.is_file():
        got = "a folder" if path.is_dir() else "none"
        raise ServeError(f"serve expected a model file `{path}`, got {got}", do="name an ONNX or LightGBM text file")
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise ServeError(f"`{path}` expected a model, got an empty file", do="write it again")
    if head.startswith(_PICKLES) or path.suffix in (".pkl", ".pickle", ".joblib"):
        raise ServeError(
            f"`{path}` expected an ONNX or LightGBM text file, got a pickle, which runs code when it is read",
            do="export the model to ONNX, or return it from a model node of a project",
        )
    if head.startswith((b"tree\n", b"tree\r\n")):
        return "lightgbm"
    if head[0] == 0x08 and path.stat().st_size < MOST_BYTES:  # the first field of ONNX: its version
        return "onnx"
    got = next((what for start, what in _OTHERS if head.startswith(start)), "another file")
    raise ServeError(
        f"`{path}` expected an ONNX or LightGBM text file, got {got}",
        do="export the model to ONNX, or save it with Booster.save_model",
    )


_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_OTHERS = (
    (b"PK", "a zip archive (of PyTorch, Keras or skops?)"),
    (b"\x89HDF", "an HDF5 file (of Keras?)"),
    (b"{", "JSON (of XGBoost?)"),
    (b"\x1f\x8b", "a compressed file"),
    (b"x\x9c", "a compressed file (of joblib?)"),
    (b"version https://git-lfs", "a pointer of Git LFS; fetch the file itself"),
    (b"\x08", "a file of 2 GB or more"),
)


def needed(name: str) -> Any:
    """A library, imported.

    Raises:
        ServeError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = (error.name or name).partition(".")[0]
        what = f"a model file of this kind expected `{missing}`, got none installed"
        raise ServeError(what, do=f"run: pip install {missing}") from error


def unread(path: Path, error: Exception) -> ServeError:
    """The error that a library could not read a file, in one line."""
    text = re.sub(
        r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .*? failed:)?", "", " ".join(str(error).split())
    )
    text = text if len(text) <= 200 else f"{text[:200]}…"
    return ServeError(f"`{path}` expected a whole model, got one that does not load: {text}", do="write it again")
