"""How people name versions: ``node@`` and the first digits of an id, or the digits alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from funade.digest import SHORT
from funade.errors import Misuse, UnknownVersion, closest

LEAST = 4
"""Hex digits that may name a version."""


def short(node: str, id: str) -> str:
    """``eta@3f9c2e``, or ``eta@nothing``."""
    return f"{node}@{id[:SHORT] or 'nothing'}"


def parse(text: str) -> tuple[str, str]:
    """The node, "" where none is named, and the id's first digits.

    Raises:
        Misuse: the text names no version.

    >>> parse("eta@3F9C2E")
    ('eta', '3f9c2e')
    """
    node, _, digits = text.rpartition("@")
    digits = digits.lower()
    if len(digits) < LEAST or digits.strip("0123456789abcdef"):
        expected = f"node@ and at least {LEAST} hex digits"
        raise Misuse(f"version expected {expected}, got `{text}`", do="see them: funade compare NODE")
    return node, digits


def unknown(text: str, node: str, nodes: Iterable[str], newest: Iterable[tuple[str, str]]) -> UnknownVersion:
    """The error that no version is named so: a node's name may be misspelt, else the newest versions are shown."""
    known = list(nodes)
    if node and node not in known:
        what = f"version `{text}` expected a node that has versions, got none named `{node}`"
        return UnknownVersion(what, do=closest(node, known) or "see them: funade status")
    names = ", ".join(short(name, id) for name, id in newest)
    what = f"version `{text}` expected an id that exists, got none"
    return UnknownVersion(what, do=f"the newest are {names}" if names else "run: funade build")


def ambiguous(text: str, fits: Sequence[tuple[str, str]]) -> Misuse:
    """The error that a text fits several versions, naming two by as many digits as tell them apart."""
    (node, id), (other_node, other) = fits[:2]
    alike = next((place for place, (a, b) in enumerate(zip(id, other, strict=True)) if a != b), len(id))
    digits = max(alike + 1, SHORT)
    names = f"`{node}@{id[:digits]}`, `{other_node}@{other[:digits]}`"
    more = f" and {len(fits) - 2} more" if len(fits) > 2 else ""
    return Misuse(f"version `{text}` expected to fit one version, got {names}{more}", do="write more of its digits")
