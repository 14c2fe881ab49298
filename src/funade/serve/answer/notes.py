"""What an answer says besides its rows: who spoke, what a guard changed, which defaults stood in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from funade.contract import outcome
from funade.contract.arrays import Codes, Masks
from funade.serve.answer.request import PLAIN, Notes

_SHOWN = 16


def notes(
    spoke: Codes | None, guards: Masks | None, defaults: Masks | None, start: int, stop: int, *, single: bool
) -> Notes:
    """What is to be said of rows [start, stop) of a batch; rows are counted from the request's first.

    Args:
        spoke: a code of ``contract.outcome`` a row; None where the function spoke for all.
        guards: label → where that guard changed the answer.
        defaults: field → where its default stood in.
        start: the request's first row in the batch.
        stop: its last, exclusive.
        single: whether the request was one object, whose answer names no rows.
    """
    fallbacks: dict[str, list[int]] = {}
    if spoke is not None:
        for row, code in enumerate(spoke[start:stop].tolist()):
            if code not in (outcome.OWN, outcome.REFUSED):
                fallbacks.setdefault(outcome.NAMES[code], []).append(row)
    texts = Notes(
        _text(fallbacks, single),
        _text(_rows(guards, start, stop), single),
        _text(_rows(defaults, start, stop), single),
    )
    return texts if any(texts) else PLAIN


def _rows(masks: Masks | None, start: int, stop: int) -> dict[str, list[int]]:
    """Label → the rows that its mask marks; only labels that mark any."""
    if masks is None:
        return {}
    marked = {label: mask[start:stop].nonzero()[0].tolist() for label, mask in masks.items()}
    return {label: rows for label, rows in marked.items() if rows}


def _text(labels: Mapping[str, Sequence[int]], single: bool) -> str:
    return ", ".join(label if single else f"{label}; rows={listed(rows)}" for label, rows in labels.items())


def listed(rows: Sequence[int]) -> str:
    """Row numbers for a header: the first few, then how many more.

    >>> listed(range(3))
    '0 1 2'
    """
    more = f" +{len(rows) - _SHOWN}" if len(rows) > _SHOWN else ""
    return " ".join(str(r) for r in rows[:_SHOWN]) + more
