"""The Parquet segments of logged predictions: which files a reader reads, while others add and join them.

``<folder>/api=<api>/day=<day>`` holds the segments of one api and UTC day. ``joined.json`` names the files that were
made of others, and of which; it is replaced whole. A reader reads it first, then lists the folder: what it names as
joined stands for its parts, whether or not they are still there, and a joined file it does not name does not count.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from funade import points
from funade.store import disk

if TYPE_CHECKING:
    import pyarrow as pa

_NAMES = "joined.json"
_PREFIX = "joined-"
_SHAPE = re.compile(r"\.([0-9a-f]{8})\.parquet$")


class Segment(msgspec.Struct, frozen=True):
    """One live file of an api's day; files of one ``shape`` have the same columns of the same types."""

    api: str
    day: str
    path: Path
    marks: frozenset[str]
    shape: str


def shape_of(schema: pa.Schema) -> str:
    """Stands for columns and types: 8 hexadecimal characters, part of a segment's name."""
    return f"{zlib.crc32(str(schema.remove_metadata()).encode()):08x}"


def folder_of(root: Path, api: str, day: str) -> Path:
    """Where the segments of an api's day lie."""
    return root / f"api={api}" / f"day={day}"


class SegmentOrigin(msgspec.Struct, frozen=True):
    """What a file was made of, and when (seconds since 1970): those of its parts that may still be there, and the
    workers whose rows it has.
    """

    parts: tuple[str, ...]
    marks: frozenset[str]
    at: float = 0.0


def joined(folder: Path) -> dict[str, SegmentOrigin]:
    """File made of others → those."""
    try:
        return msgspec.json.decode((folder / _NAMES).read_bytes(), type=dict[str, SegmentOrigin])
    except FileNotFoundError:
        return {}


def live(root: Path) -> Iterator[Segment]:
    """Every file that a reader reads, by api, day and name."""
    for folder in sorted(root.glob("api=*/day=*")):
        yield from of_folder(folder)


def of_folder(folder: Path) -> Iterator[Segment]:
    """Those of one api's day."""
    names = joined(folder)
    replaced = {part for origin in names.values() for part in origin.parts}
    for path in sorted(folder.glob("*.parquet")):
        if path.name not in replaced and (path.name in names or not path.name.startswith(_PREFIX)):
            shape = _SHAPE.search(path.name)
            origin = names.get(path.name)
            marks = origin.marks if origin is not None else frozenset([path.name.partition(".")[0]])
            yield Segment(folder.parent.name[4:], folder.name[4:], path, marks, shape[1] if shape else path.name)


def is_joined(segment: Segment) -> bool:
    """Whether it was made of others."""
    return segment.path.name.startswith(_PREFIX)


def put(folder: Path, name: str, made: Path) -> None:
    """Give a whole file its place; one that has the name already is the same file, made before a crash."""
    disk.make_folder(folder)
    points.passing("log.placing")
    disk.replace(made, folder / name)
    points.passing("log.placed")


def join(folder: Path, parts: Sequence[Segment], made: Path, now: float) -> None:
    """Let one file stand for several of one shape, at once for every reader; ``swept`` removes the parts."""
    names = joined(folder)
    number = 1 + max([int(existing[len(_PREFIX) :].partition(".")[0]) for existing in names], default=0)
    shape = _SHAPE.search(parts[0].path.name)
    name = f"{_PREFIX}{number:06}{shape[0] if shape else '.parquet'}"
    put(folder, name, made)
    marks = frozenset[str]().union(*[part.marks for part in parts])
    _name(folder, names | {name: SegmentOrigin(tuple(part.path.name for part in parts), marks, now)})


def _name(folder: Path, names: dict[str, SegmentOrigin]) -> None:
    points.passing("log.joining")
    disk.write(folder / _NAMES, msgspec.json.encode(names))
    points.passing("log.joined")


def swept(folder: Path, before: float) -> None:
    """Remove what a joined file has stood for since before that time (seconds since 1970), and what nobody names."""
    names = joined(folder)
    for path in folder.glob(f"{_PREFIX}*.parquet"):
        if path.name not in names:  # whoever made it died over it; nobody has read it
            path.unlink(missing_ok=True)
    replaced = {part for origin in names.values() if origin.at < before for part in origin.parts}
    for part in replaced:
        (folder / part).unlink(missing_ok=True)
    if replaced:  # the names of what is gone would grow without end
        disk.sync(folder)
        left = {name: origin for name, origin in names.items() if name not in replaced}
        _name(
            folder,
            {
                n: msgspec.structs.replace(origin, parts=()) if origin.at < before else origin
                for n, origin in left.items()
            },
        )
