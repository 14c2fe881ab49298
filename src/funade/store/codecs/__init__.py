"""Codecs: how what a function returned becomes files, and what is loaded from them."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol, get_args, get_origin

from funade import digest
from funade.declare.form import form_of
from funade.errors import BlobDamaged, CodecError, DeclarationError, FunadeError, ResultRefused
from funade.store import snapshots
from funade.store.codecs.json_value import JsonValue
from funade.store.codecs.lightgbm_model import LightgbmModel
from funade.store.codecs.python_class import PythonClass
from funade.store.codecs.skops_estimator import SkopsEstimator
from funade.store.records import Artifact

if TYPE_CHECKING:
    from funade.store.blobs import Blobs

MOST_FILES = 10_000
FRAME = "frame"


class Codec(Protocol):
    """One way to keep a value as the files of a folder.

    ``project_types`` are the names of the project's own packages: their classes may be part of a value.
    """

    name: str

    def fits(self, cls: type) -> bool:
        """Whether values of the class can be kept; told from the class alone, no library is imported."""

    def distributions(self, cls: type) -> tuple[str, ...]:
        """Distributions whose exact versions loading needs."""

    def save(self, value: Any, folder: Path, project_types: Sequence[str]) -> None:
        """Write the value's files into an empty folder."""

    def load(self, folder: Path, project_types: Sequence[str]) -> Any:
        """The value, from what ``save`` wrote; no code of the files' own runs."""


CODECS: tuple[Codec, ...] = (LightgbmModel(), PythonClass(), SkopsEstimator(), JsonValue())
"""In the order in which they are asked whether they fit; rows have no codec object, see ``snapshots``."""


def codec_for(annotation: object, *, place: str, what: str = "model") -> str:
    """The name of the codec that keeps what an annotated function returns.

    Raises:
        DeclarationError: no annotation, one that is no class, or a class that no codec fits.
    """
    cls = class_of(annotation, place=place, what=what)
    found = next((codec.name for codec in CODECS if codec.fits(cls)), "")
    if found:
        return found
    name = f"{cls.__module__}.{cls.__qualname__}".removeprefix("builtins.")
    raise DeclarationError(
        f"{what} expected a result that can be kept, got {name}, which no codec fits",
        at=place,
        do="give the class save(self, dir) and a classmethod load(dir)",
    )


def class_of(annotation: object, *, place: str, what: str = "model") -> type:
    """The one class a return annotation names."""
    if annotation is None or annotation is Any or getattr(annotation, "__name__", "") == "_empty":
        got = "Any" if annotation is Any else "none"
        raise DeclarationError(
            f"{what} expected an annotated return type, got {got}", at=place, do="write e.g. `-> LGBMClassifier`"
        )
    if form_of(annotation) not in ("", "sql"):
        raise DeclarationError(
            f"{what} expected a model, got a frame: {annotation!r}", at=place, do="declare it with @fn.dataset"
        )
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
    needed = _named(codec).distributions(cls)
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}"} | {
        name: _installed(name) for name in needed
    }


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
        return snapshots.write(blobs, value)
    keeper = _named(codec)
    if not keeper.fits(type(value)):
        got = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        raise ResultRefused(
            f"{title} expected a result that codec `{codec}` keeps, got {got}",
            at=place,
            do="return what the annotation says",
        )
    with _folder() as folder, _named_errors(title, place):
        keeper.save(value, folder, project_types)
        return Artifact(codec=codec, files={name: blobs.put_file(path) for name, path in _files(folder)})


def decode(artifact: Artifact, blobs: Blobs, *, project_types: Sequence[str] = (), title: str = "artifact") -> Any:
    """The value kept in an artifact, loaded from copies of its blobs whose bytes were compared with their digests.

    Raises:
        BlobDamaged: a file's bytes are not those that were kept.
        CodecError: a file is missing, or the codec cannot read it.
    """
    if artifact.codec == FRAME:
        return snapshots.read([blobs.path(found) for found in artifact.files.values()])
    codec = _named(artifact.codec)
    with _folder() as folder, _named_errors(title, ""):
        for name, found in artifact.files.items():
            _restore(blobs, found, folder / _inside(name))
        return codec.load(folder, project_types)


def _named(name: str) -> Codec:
    for codec in CODECS:
        if codec.name == name:
            return codec
    raise CodecError(f"artifact expected codec {', '.join(c.name for c in CODECS)}, got `{name}`")


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise CodecError(
            f"codec expected distribution `{name}`, got none installed", do=f"run: pip install {name}"
        ) from None


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="funade-") as name:
        yield Path(name)


@contextmanager
def _named_errors(title: str, place: str) -> Iterator[None]:
    """One line for whatever a library raises while it writes or reads."""
    try:
        yield
    except FunadeError as error:
        error.at = error.at or place
        error.what = error.what if error.what.startswith(title) else f"{title}: {error.what}"
        raise
    except FileNotFoundError as error:
        name = Path(str(error.filename)).name
        raise CodecError(f"{title} expected file `{name}`, got none", at=place, do="run: funade fsck") from error
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise CodecError(
            f"{title} expected bytes its codec reads and writes, got {type(error).__name__}: {first}", at=place
        ) from error


def _files(folder: Path) -> list[tuple[str, Path]]:
    """Every file below a folder by its relative name, in order of name."""
    found: list[tuple[str, Path]] = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise CodecError(
                f"save() expected plain files, got `{path.relative_to(folder)}`, which is a link or a device"
            )
        if path.is_file():
            found.append((path.relative_to(folder).as_posix(), path))
    if not 0 < len(found) <= MOST_FILES:
        raise CodecError(f"save() expected 1 to {MOST_FILES} files, got {len(found)}")
    return found


def _inside(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in name or "\0" in name:
        raise CodecError(f"artifact expected file names below its folder, got {name!r}", do="run: funade fsck")
    return path


def _restore(blobs: Blobs, found: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(blobs.path(found), target)
    except FileNotFoundError as error:
        raise CodecError(f"expected blob `{found[: digest.SHORT]}`, got no file", do="run: funade fsck") from error
    if digest.of_file(target) != found:
        raise BlobDamaged(f"blob `{found[: digest.SHORT]}` expected its own bytes, got others", do="run: funade fsck")
