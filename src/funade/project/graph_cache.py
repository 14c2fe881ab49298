"""The graph cached under the digest of the files it was read from, so that nothing of the user's is imported."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path

import msgspec

from funade.declare.spec import Spec
from funade.digest import of_bytes, of_parts
from funade.fingerprint.importing import project_files
from funade.store import disk

_KEPT = 8


class _CachedGraph(msgspec.Struct):
    files: dict[str, str]
    specs: list[Spec]


def key(root: Path) -> str:
    """What the graph depends on: the project's Python files, funade.toml, the interpreter, what is installed."""
    parts = [sys.version]
    for path in [*project_files(root), root / "funade.toml"]:
        parts += [path.relative_to(root).as_posix(), of_bytes(path.read_bytes())]
    for entry in sys.path:
        with contextlib.suppress(OSError):
            # Libraries put folders of their own below it on the path: whether they did says nothing of the graph.
            if Path(entry).name in ("site-packages", "dist-packages"):
                parts.append(f"{entry} {Path(entry).stat().st_mtime_ns}")
    return of_parts(parts)


def read(folder: Path, key: str, root: Path) -> list[Spec] | None:
    """The specs cached under ``key``, if the files that functions read are unchanged too."""
    try:
        graph = msgspec.json.decode((folder / f"graph-{key}.json").read_bytes(), type=_CachedGraph)
    except (OSError, msgspec.DecodeError):
        return None
    same = all(_digest(root / name) == digest for name, digest in graph.files.items())
    return graph.specs if same and _patterns(graph.specs, root) == set(graph.files) else None


def write(folder: Path, key: str, root: Path, specs: Iterable[Spec]) -> None:
    """Keep the specs; a folder that cannot be written only costs time."""
    specs = list(specs)
    files = {name: _digest(root / name) for name in _patterns(specs, root)}
    data = msgspec.json.encode(_CachedGraph(files, specs))
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        disk.write_unsynced(folder / f"graph-{key}.json", data, fresh=folder / f".{uuid.uuid4().hex}")
        for old in sorted(folder.glob("graph-*.json"), key=lambda p: p.stat().st_mtime_ns)[:-_KEPT]:
            old.unlink(missing_ok=True)


def extra_files(specs: Iterable[Spec], root: Path) -> list[Path]:
    """The files beside Python modules that the nodes need: ``fn.files`` and ``fn.golden``."""
    return sorted(root / name for name in _patterns(specs, root))


def _patterns(specs: Iterable[Spec], root: Path) -> set[str]:
    from funade.declare.policy import Files, Golden

    names: set[str] = set()
    for spec in specs:
        for policy in spec.policies:
            if isinstance(policy, Files):
                names |= {
                    p.relative_to(root).as_posix()
                    for pattern in policy.patterns
                    for p in root.glob(pattern)
                    if p.is_file()
                }
            elif isinstance(policy, Golden):
                names.add(policy.file)
    return names


def _digest(path: Path) -> str:
    try:
        return of_bytes(path.read_bytes())
    except OSError:
        return ""
