"""Parity: a model as ONNX beside its original, row by row.

No answer may differ, but where float32 cannot tell a row from one on the other side of a tree's split: of such rows one
in ``LOST`` may.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from funade.contract.arrays import Array
from funade.errors import CodecError
from funade.store.codecs.onnx.served import OutputLayout, matrix

LOST = 1000
"""One row of so many (and one in any case) may differ because float32 rounds its features."""

SIZES = (1, 2, 3, 7, 64)
"""Batch sizes at which the same rows must give the same bits."""

STEADY_ROWS = 256

MOST = 100_000
"""Rows of an api's that the gate compares on at most, spread evenly over them."""

DO = "take fn.onnx() away, return another model, or allow more: fn.onnx(within=…)"
_TOLD = 6


class _Distances(msgspec.Struct, frozen=True):
    """Answers of (rows, …) and how far they lie apart, flattened to (rows, values); ``over`` says where too far."""

    method: str
    ours: Any
    theirs: Any
    apart: Any
    over: Any

    def worst(self, rows: Array, where: Array, layout: OutputLayout) -> str:
        """The row with the greatest excess among ``where``, described in one line."""
        excess = np.where(self.over[where], self.apart[where], -1.0)
        index, column = divmod(int(excess.argmax()), excess.shape[1])
        row = int(where[index])
        native, converted = (_flat(answers)[row, column] for answers in (self.theirs, self.ours))
        text = f"{_short(native)} by itself and {_short(converted)} as ONNX ({self.apart[row, column]:.2g} apart)"
        return f"{text} from {self.method} at row {row} ({_named(rows[row], layout)})"


def probe(native: Any, served: Any, within: float, *, title: str, place: str) -> None:
    """Compare on rows made for it: on both sides of every split, and drawn over the features' ranges.

    Raises:
        CodecError: an answer differs by more than ``within * max(1, |answer|)``, or changes with the batch's size;
            names the worst row.
    """
    from funade.store.codecs.onnx import probes

    layout: OutputLayout = served._layout
    exact, loose = probes.rows(native, layout)
    _, differs = judged(native, served, exact, within)
    if not differs:
        _, differs = judged(native, served, loose, within)
    differs = differs or unsteady(served, exact[:STEADY_ROWS])
    if differs:
        raise CodecError(
            f"{title} expected to answer as ONNX as it does itself within {within:g}, got {differs}", at=place, do=DO
        )


def judged(native: Any, served: Any, rows: Array, within: float) -> tuple[float, str]:
    """The worst difference between answers to float64 rows in the order of training, and what breaks a rule, or ""."""
    worst, allowed = 0.0, max(1, len(rows) // LOST)
    for method in _methods(served) if len(rows) else ():
        theirs = np.asarray(_ask(native, method, rows, served._layout))
        ours = getattr(served, method)(rows)
        if ours.shape != theirs.shape:
            return np.inf, f"{method} of shape {ours.shape}, not {theirs.shape}"
        distances = _compared(method, native, ours, theirs, rows, within, served._layout)
        differ = np.flatnonzero(distances.over.any(axis=1))
        lost = _lost(distances, native, rows[differ], differ, within, served._layout)
        for where, most, why in (
            (differ[~lost], 0, ""),
            (differ[lost], allowed, "; float32 does not hold these features"),
        ):
            if len(where) > most:
                text = distances.worst(rows, where, served._layout)
                return float(distances.apart[where].max()), f"{text}; {len(where)} of {len(rows)} rows differ{why}"
        worst = max(worst, float(np.where(distances.over, 0.0, distances.apart).max()))
    return worst, ""


def _lost(distances: _Distances, native: Any, rows: Array, differ: Array, within: float, layout: OutputLayout) -> Array:
    """Which of the rows that differ the original answers so too once float32 has rounded them, or one step below."""
    lost = np.zeros(len(rows), bool)
    if not len(rows):
        return lost
    with np.errstate(over="ignore"):
        near = rows.astype(np.float32)
    for rounded in (near, np.nextafter(near, np.float32(-np.inf))):
        asked = rounded.astype(np.float64)
        theirs = np.asarray(_ask(native, distances.method, asked, layout))
        again = _compared(distances.method, native, distances.ours[differ], theirs, asked, within, layout)
        lost |= ~again.over.any(axis=1)
    return lost


def unsteady(served: Any, rows: Array) -> str:
    """How answers change with the size of a batch; "" when they are the same bits at every size."""
    for method in _methods(served):
        whole = getattr(served, method)(rows)
        for size in SIZES:
            parts = [getattr(served, method)(rows[at : at + size]) for at in range(0, len(rows), size)]
            there = np.concatenate(parts) if parts else whole
            if there.tobytes() != whole.tobytes() and whole.dtype.kind == "f":
                return f"other bits of {method} in batches of {size} than of {len(rows)} rows"
    return ""


class ParityWatch:
    """A served model that also asks its original, and remembers the worst it saw."""

    def __init__(self, served: Any, native: Any, within: float) -> None:
        self._served, self._native = served, native
        self.within = within
        self.rows = 0
        self.worst = 0.0
        self.differs = ""

    def predict(self, rows: Any) -> Any:
        """What the served model answers."""
        return self._seen("predict", rows)

    def _seen(self, method: str, rows: Any) -> Any:
        answer = getattr(self._served, method)(rows)
        asked = matrix(rows, self._served._layout, "float64")
        worst, differs = judged(self._native, self._served, asked, self.within)
        self.rows = max(self.rows, len(asked))
        self.worst = max(self.worst, worst)
        self.differs = self.differs or differs
        return answer

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._served, name)
        return partial(self._seen, name) if name == "predict_proba" else attribute


def _methods(served: Any) -> Sequence[str]:
    return ("predict_proba", "predict") if hasattr(served, "predict_proba") else ("predict",)


def _compared(
    method: str, native: Any, ours: Array, theirs: Array, rows: Array, within: float, layout: OutputLayout
) -> _Distances:
    if theirs.dtype.kind == "f":
        apart, bound = _distance(ours, theirs), within * np.maximum(1, np.nan_to_num(np.abs(theirs)))
    else:
        apart, bound = (ours != theirs).astype(float), np.full(theirs.shape, within)
        if method == "predict" and hasattr(native, "predict_proba") and apart.any():
            # Which of two equally probable classes is named is nobody's fault.
            apart[_tied(_ask(native, "predict_proba", rows, layout), within)] = 0.0
    return _Distances(method, ours, theirs, _flat(apart), _flat(apart > bound))


def _flat(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _distance(ours: Array, theirs: Array) -> Array:
    """How far answers lie apart; 0 where both are NaN or the same infinity."""
    with np.errstate(invalid="ignore"):
        apart: Array = np.abs(ours.astype(np.float64) - theirs)
    apart[(np.isnan(ours) & np.isnan(theirs)) | (ours == theirs)] = 0.0
    return np.nan_to_num(apart, nan=np.inf)


def _tied(probabilities: Any, within: float) -> Array:
    ordered = np.sort(np.asarray(probabilities), axis=1)
    tied: Array = (
        ordered[:, -1] - ordered[:, -2] <= 2 * within if ordered.shape[1] > 1 else np.zeros(len(ordered), bool)
    )
    return tied


def _ask(native: Any, method: str, rows: Array, layout: OutputLayout) -> Any:
    """The original's answer; named columns go to what learned names from a frame."""
    asked: Any = rows
    if layout.names and type(native).__module__.partition(".")[0] != "lightgbm":
        import pandas as pd

        asked = pd.DataFrame(rows, columns=list(layout.names))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(native, method)(asked)


def _named(row: Array, layout: OutputLayout) -> str:
    names = layout.names or tuple(f"feature {index}" for index in range(layout.width))
    shown = ", ".join(f"{name} {value:.9g}" for name, value in zip(names[:_TOLD], row[:_TOLD], strict=False))
    return f"{shown}, …" if len(names) > _TOLD else shown


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) or getattr(value.dtype, "kind", "") == "f" else str(value)
