"""Named commit points: the places where a crash must leave the store as before or as after.

Each is passed right *before* and right *after* bytes or rows become visible. A test sets ``watch`` to stop the
process there; in ordinary use nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable

NAMES = (
    "blob.written",
    "blob.linked",
    "load.before",
    "load.after",
    "build.before",
    "build.after",
    "check.before",
    "check.after",
    "hold.before",
    "hold.after",
    "code.written",
    "stage.before",
    "stage.after",
    "gate.done",
    "release.before",
    "release.inside",
    "release.after",
    "swap.spawned",
    "swap.ready",
    "swap.handing",
    "swap.handed",
    "swap.done",
    "batch.planned",
    "batch.part",
    "batch.before",
    "batch.after",
    "log.before",
    "log.after",
    "log.planned",
    "log.placing",
    "log.placed",
    "log.made",
    "log.removing",
    "log.joining",
    "log.joined",
)

watch: Callable[[str], None] | None = None


def passing(name: str) -> None:
    """Say that the commit point ``name`` is being passed."""
    if watch is not None:
        watch(name)
