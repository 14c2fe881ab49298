"""Named commit points: the places where a crash must leave the store as before or as after.

Each is passed right *before* and right *after* bytes or rows become visible. A test sets ``watch`` to stop the
process there; in ordinary use nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable

watch: Callable[[str], None] | None = None


def passing(name: str) -> None:
    """Say that the commit point ``name`` is being passed."""
    if watch is not None:
        watch(name)
