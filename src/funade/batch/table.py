"""Tables of answers: which files hold a table's rows, replaced by one rename."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from funade import points
from funade.digest import of_bytes
from funade.errors import DiskFull, Misuse, StoreError, headline
from funade.store import disk

FOLDER = "batch"
REFUSED = "_refused"
"""What is added to a table's name to name the table of its refused rows."""

_MANIFEST = "manifest.json"


class Manifest(msgspec.Struct, frozen=True):
    """A whole table: the files of its rows and of the refused ones, in order, below its own folder."""

    id: str
    api: str
    release: int
    made_at: datetime
    rows: int
    refused: int
    fallback: int
    files: tuple[str, ...]
    refused_files: tuple[str, ...]
    previous: str = ""


class Table:
    """Where a table of answers lies: ``<store>/batch/<name>``, and for a file of its own below ``<store>/batch/.file``.

    ``into`` is the table's name, or the path of a Parquet file.

    Raises:
        Misuse: it is neither.
    """

    def __init__(self, store: Path, into: str) -> None:
        self.file = Path(into).absolute() if is_path(into) else None
        name = Path(".file", of_bytes(str(self.file).encode())[:16]) if self.file else Path(_named(into))
        self.name = into
        if self.file is not None and self.file.suffix != ".parquet":
            raise Misuse(f"batch expected a path to a .parquet file, got `{into}`", do=f"write {into}.parquet")
        if self.file is not None and (not self.file.parent.is_dir() or self.file.is_dir()):
            raise Misuse(f"batch expected a file in a folder that exists, got `{into}`", do="make the folder")
        self.folder = store / FOLDER / name

    @property
    def refused_file(self) -> Path | None:
        """The file of refused rows beside a table that is a file."""
        return self.file.with_name(f"{self.file.stem}{REFUSED}{self.file.suffix}") if self.file else None

    def manifest(self) -> Manifest | None:
        """The whole table that stands now."""
        return _read(self.folder / _MANIFEST)

    def replace(self, manifest: Manifest) -> None:
        """Make the table consist of these files; the state before is kept for readers, older ones are removed."""
        points.passing("batch.before")
        put(self.folder / _MANIFEST, msgspec.json.encode(manifest))
        points.passing("batch.after")
        self.sweep({manifest.id, manifest.previous})

    def sweep(self, shown: set[str]) -> None:
        """Remove the folders of rows that are not kept."""
        for folder in self.folder.glob("rows-*"):
            if folder.name.removeprefix("rows-") not in shown:
                shutil.rmtree(folder, ignore_errors=True)


def is_path(into: str) -> bool:
    """Whether rows are to go into a file rather than into a table of the store."""
    return into.endswith(".parquet") or "/" in into


def files(store: Path, besides: Iterable[str] = ()) -> dict[str, list[Path]]:
    """Every table of answers by name, that of refused rows beside it → the Parquet files of its rows, in order.

    Those with a name among ``besides``, whatever its capitals, are left out.
    """
    sources = {}
    for path in sorted((store / FOLDER).glob(f"*/{_MANIFEST}")):
        manifest, folder = _read(path), path.parent
        if manifest is not None:
            sources[folder.name] = [folder / name for name in manifest.files]
            sources[folder.name + REFUSED] = [folder / name for name in manifest.refused_files]
    hidden = {name.lower() for name in besides}
    return {name: paths for name, paths in sources.items() if name.lower() not in hidden}


def refuse_clash(into: str, kinds: Mapping[str, str], tables: Collection[str]) -> None:
    """Refuse a name that another table or node (in ``kinds``) has; capitals do not count, as SQL sees none.

    Raises:
        Misuse: a node bears the name, or that of the table of refused rows; a table does but for capitals.
    """
    names = {name.lower(): f"`{name}` is a table" for name in tables if name != into and name != into + REFUSED}
    names |= {name.lower(): f"`{name}` is a {kind}" for name, kind in kinds.items()}
    for name in (into, into + REFUSED):
        if name.lower() in names:
            raise Misuse(
                f"batch expected a table's name that is free, got `{into}`: {names[name.lower()]}",
                do="choose another name: --into NAME",
            )


@contextmanager
def locked(table: Table) -> Iterator[None]:
    """A block in which no other run writes to the table.

    Raises:
        StoreError: somebody else does.
    """
    table.folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as lock:
        try:
            lock.enter_context(disk.alone(table.folder / "lock", wait=False))
        except BlockingIOError:
            raise StoreError(
                f"batch expected to be alone in writing `{table.name}`, got another run at work",
                do="wait for it to end",
            ) from None
        yield


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """A block in which a full disk or a folder that cannot be written becomes an error of one line."""
    try:
        yield
    except OSError as error:
        problem, place = error.strerror or str(error).splitlines()[0], str(error.filename or folder)
        if disk.is_full(error):
            what = f"batch expected room for its rows, got: {problem}"
            raise DiskFull(what, at=place, do="free some room; the same command continues") from error
        what = f"batch expected a folder it can write, got: {problem}"
        raise StoreError(what, at=place, do="make it writable") from error


@contextmanager
def room_for(what: str) -> Iterator[None]:
    """A block in which a full disk becomes ``DiskFull``: no room for the run's ``what``."""
    try:
        yield
    except OSError as error:
        if not disk.is_full(error):
            raise
        text = f"batch expected room for its {what}, got {headline(error)}"
        raise DiskFull(text, do="free some; the same command continues") from error


def put(path: Path, data: bytes) -> None:
    """Write a file so that it holds these bytes, or after a crash what it held before."""
    disk.write(path, data, fresh=path.with_name(f".{path.name}.{os.getpid()}.tmp"))


def _read(path: Path) -> Manifest | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise StoreError(f"table expected its manifest, got: {error}", at=str(path), do="run the batch again") from None


def _named(into: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*", into) or into.lower().endswith(REFUSED) or into.lower() == "predictions":
        raise Misuse(
            f"batch expected a table's name of letters, digits and _, or a path to a .parquet file, got `{into}`",
            do=f"names that end in {REFUSED} and `predictions` are taken" if re.fullmatch(r"\w+", into) else "",
        )
    return into
