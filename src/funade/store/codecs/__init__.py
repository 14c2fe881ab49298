"""Codecs: how what a function returned becomes files, and what is loaded from them."""

from __future__ import annotations

import errno
import functools
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, get_args, get_origin

from funade import digest
from funade.contract.form import form_of
from funade.errors import BlobDamaged, CodecError, DeclarationError, DiskFull, FunadeError, ResultRefused
from funade.store.codecs.json import JsonValue
from funade.store.codecs.lightgbm import LightgbmModel
from funade.store.codecs.onnx.codec import OnnxModel
from funade.store.codecs.python import PythonClass
from funade.store.codecs.skops import SkopsEstimator
from funade.store.codecs.xgboost import XgboostModel
from funade.store.ports.blobs import Blobs
from funade.store.records import Artifact

MOST_FILES = 10_000
FRAME = "frame"


class Codec(Protocol):
    """One way to keep a value as the files of a folder.

    ``project_types`` are the names of the project's own packages: their classes may be part of a value.
    ``remedy`` says what to return instead of a value that does not fit. An error's message begins with `expected`;
    whose value it is about is added here.
    """

    name: str
    remedy: str

    def fits(self, cls: type) -> bool:
        """Whether values of the class can be kept; told from the class alone, no library is imported."""

    def distributions(self, cls: type) -> tuple[str, ...]:
        """Distributions whose exact versions loading needs."""

    def save(self, value: Any, folder: Path, project_types: Sequence[str]) -> None:
        """Write the value's files into an empty folder."""

    def load(self, folder: Path, project_types: Sequence[str]) -> Any:
        """The value, from what ``save`` wrote; no code of the files' own runs."""


CODECS: tuple[Codec, ...] = (LightgbmModel(), XgboostModel(), PythonClass(), SkopsEstimator(), JsonValue())
"""In the order in which they are asked whether they fit; rows have no codec object, see ``snapshots``."""

ONNX: Codec = OnnxModel()
"""Never chosen by a class: a policy asks for it."""

_BY_NAME = {codec.name: codec for codec in (*CODECS, ONNX)}


def codec_for(annotation: object, *, place: str, what: str) -> str:
    """The name of the codec that keeps what an annotated function returns.

    Raises:
        DeclarationError: no annotation, one that is no class, or a class that no codec fits.
    """
    cls = _class_of(annotation, place=place, what=what)
    codec_name = next((codec.name for codec in CODECS if codec.fits(cls)), "")
    if codec_name:
        return codec_name
    name = f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")
    raise DeclarationError(
        f"{what} expected a result that can be kept, got {name}, which no codec fits",
        at=place,
        do="give the class save(self, dir) and a classmethod load(dir)",
    )


def converted(codec: str, *, place: str, what: str) -> str:
    """The codec that keeps, beside what ``codec`` keeps, its conversion to ONNX.

    Raises:
        DeclarationError: nothing that ``codec`` keeps is ever converted.
    """
    if codec not in OnnxModel.natives:
        raise DeclarationError(
            f"{what} expected, with fn.onnx(), a LightGBM model or a scikit-learn estimator, "
            f"got a class that codec `{codec}` keeps",
            at=place,
            do="take fn.onnx() away, or return such a model",
        )
    return ONNX.name


def original(artifact: Artifact) -> Artifact:
    """The artifact's model as it was before any conversion."""
    if artifact.codec != ONNX.name:
        return artifact
    files = {tuple(name.split("/", 1)): digest for name, digest in artifact.files.items() if "/" in name}
    folders = {folder for folder, _ in files}
    if len(folders) != 1:
        raise CodecError("artifact expected the bytes it was converted from, got none", do="run: funade fsck")
    return Artifact(codec=folders.pop(), files={name: digest for (_, name), digest in files.items()})


def _class_of(annotation: object, *, place: str, what: str) -> type:
    """The one class a return annotation names."""
    if annotation in (None, type(None), Any) or getattr(annotation, "__name__", "") == "_empty":
        got = "Any" if annotation is Any else "none"
        raise DeclarationError(
            f"{what} expected an annotated return type, got {got}", at=place, do="write e.g. `-> LGBMClassifier`"
        )
    if form_of(annotation) not in ("", "sql"):
        got = f"a frame ({getattr(annotation, '__name__', annotation)})"
        problem = f"{what} expected a model as return type, got {got}"
        raise DeclarationError(problem, at=place, do="declare it with @fn.dataset")
    cls = get_origin(annotation) or annotation
    if not isinstance(cls, type) or (get_args(annotation) and cls not in (dict, list, tuple)):
        raise DeclarationError(
            f"{what} expected one class as return type, got {annotation}", at=place, do="name one class"
        )
    return cls


def runtime(codec: str, cls: type) -> dict[str, str]:
    """The Python minor version and the exact installed versions that loading needs, e.g. ``{"python": "3.11"}``.

    Raises:
        CodecError: one is not installed.
    """
    return {name: _needed(name) for name in ("python", *_named(codec).distributions(cls))}


def installed(name: str) -> str:
    """The installed version of a distribution, or of ``python`` its minor; "" where there is none."""
    if name == "python":
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def encode(
    value: Any,
    codec: str,
    blobs: Blobs,
    *,
    place: str = "",
    title: str = "result",
    project_types: Sequence[str] = (),
) -> Artifact:
    """Keep a value: every file its codec writes is a blob.

    Raises:
        ResultRefused: the value is not of a class that the codec keeps.
        CodecError: something inside it cannot be kept.
    """
    if codec == FRAME:
        from funade.store.warehouse import snapshots  # Arrow, only for rows

        return snapshots.write(blobs, value)
    chosen = _named(codec)
    if not chosen.fits(type(value)):
        got = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise ResultRefused(
            f"{title} expected a result that codec `{codec}` keeps, got {got}",
            at=place,
            do=chosen.remedy,
        )
    with _folder(blobs.tmp) as folder, _named_errors(title, place):
        chosen.save(value, folder, project_types)
        return Artifact(codec=codec, files={name: _adopted(blobs, path) for name, path in _files(folder)})


def decode(artifact: Artifact, blobs: Blobs, *, project_types: Sequence[str] = (), title: str = "artifact") -> Any:
    """The value kept in an artifact, loaded from copies of its blobs whose bytes were compared with their digests.

    Raises:
        BlobDamaged: a file's bytes are not those that were kept.
        CodecError: a file is missing, or the codec cannot read it.
    """
    if artifact.codec == FRAME:
        from funade.store.warehouse import snapshots

        return snapshots.read([_sound(blobs, key) for key in artifact.files.values()])
    codec = _named(artifact.codec)
    with _folder(None) as folder, _named_errors(title, ""):
        for name, key in artifact.files.items():
            _restore(blobs, key, folder / _inside(name))
        return codec.load(folder, project_types)


def _named(name: str) -> Codec:
    codec = _BY_NAME.get(name)
    if codec is None:
        raise CodecError(f"artifact expected codec {', '.join(_BY_NAME)}, got `{name}`")
    return codec


@functools.cache
def _needed(name: str) -> str:
    version = installed(name)
    if not version:
        raise CodecError(f"codec expected distribution `{name}`, got none installed", do=f"run: pip install {name}")
    return version


@contextmanager
def _folder(below: Path | None) -> Iterator[Path]:
    """A private folder, removed at the end; below the store's ``tmp`` when its files become blobs by a link."""
    if below is not None:
        below.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="funade-", dir=below) as name:
        yield Path(name)


@contextmanager
def _named_errors(title: str, place: str) -> Iterator[None]:
    """One line, about this value, for whatever a codec, a library or the user's class raises."""
    try:
        yield
    except FunadeError as error:
        if not error.what.startswith("expected"):
            raise
        raise type(error)(f"{title} {error.what}", at=error.at or place, do=error.do) from error
    except FileNotFoundError as error:
        name = Path(str(error.filename)).name
        raise CodecError(f"{title} expected file `{name}`, got none", at=place, do="run: funade fsck") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(f"{title} expected room to write, got a full disk", at=place, do="make room") from error
        raise CodecError(f"{title} expected files its codec can use, got {error}", at=place) from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CodecError(f"{title} expected a value that its codec keeps and loads, got {text}", at=place) from error


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Every file below a folder by its relative name, in order of name."""
    files: list[tuple[str, Path]] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CodecError(f"expected save() to write plain files, got `{name}`, which is a link or a device")
        if path.is_file():
            files.append((name, path))
    if not 0 < len(files) <= MOST_FILES:
        raise CodecError(f"expected save() to write 1 to {MOST_FILES} files, got {len(files)}")
    return files


def _adopted(blobs: Blobs, path: Path) -> str:
    with blobs.writing() as making:
        path.rename(making)
        return blobs.adopt(making)


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or "\0" in name:
        raise CodecError(f"expected file names below its folder, got {name!r}", do="run: funade fsck")
    return path


def _restore(blobs: Blobs, key: str, target: Path) -> None:
    """A copy, and no link: what a user's ``load`` does to its files must not reach the store."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_sound(blobs, key), target)


def _sound(blobs: Blobs, key: str) -> Path:
    path = blobs.path(key)
    if digest.of_file(path) != key:
        problem = f"blob `{key[: digest.SHORT]}` expected the bytes it is named by, got others"
        raise BlobDamaged(problem, do="run: funade fsck")
    return path
