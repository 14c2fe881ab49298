"""Parity: a model as ONNX beside its original, row by row.

Two rules. On rows that float32 holds exactly, no answer may differ: one that does means a wrong conversion. On rows as
they come, which float32 rounds, one in ``LOST`` may: a row that stood on the other side of a tree's split.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from funade.errors import CodecError
from funade.store.codecs.onnx_served import Face, matrix

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

LOST = 1000
"""One row of so many (and one in any case) may differ because float32 rounds its features."""

SIZES = (1, 2, 3, 7, 64)
"""Batch sizes at which the same rows must give the same bits."""

STEADY_ROWS = 256
DO = "take fn.onnx() away, return another model, or allow more: fn.onnx(within=…)"
_TOLD = 6


class Apart(msgspec.Struct, frozen=True):
    """How far answers lie apart: the worst row, and how many of ``rows`` lie beyond the bound."""

    rows: int
    beyond: int = 0
    worst: float = 0.0
    row: int = 0
    told: str = ""


def probe(native: Any, served: Any, within: float, *, title: str, place: str) -> None:
    """Compare on rows made for it: on both sides of every split, and drawn over the features' ranges.

    Raises:
        CodecError: an answer differs by more than ``within * max(1, |answer|)``, or changes with the batch's size;
            names the worst row.
    """
    from funade.store import probes

    face: Face = served._face
    exact, loose = probes.rows(native, face)
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
    import numpy as np

    with np.errstate(over="ignore"):
        rounded = rows.astype(np.float32).astype(np.float64)
    worst = 0.0
    for asked, allowed, why in (
        (rounded, 0, ""),
        (rows, max(1, len(rows) // LOST), "; float32 does not hold these features"),
    ):
        for method in _methods(served):
            apart = _apart(method, native, served, asked, within)
            if apart.beyond > allowed:
                return apart.worst, f"{apart.told}; {apart.beyond} of {apart.rows} rows differ{why}"
            worst = apart.worst if not why and apart.worst > worst else worst
    return worst, ""


def unsteady(served: Any, rows: Array) -> str:
    """How answers change with the size of a batch; "" when they are the same bits at every size."""
    import numpy as np

    for method in _methods(served):
        whole = getattr(served, method)(rows)
        for size in SIZES:
            parts = [getattr(served, method)(rows[at : at + size]) for at in range(0, len(rows), size)]
            there = np.concatenate(parts) if parts else whole
            if there.tobytes() != whole.tobytes() and whole.dtype.kind == "f":
                return f"other bits of {method} in batches of {size} than of {len(rows)} rows"
    return ""


class Watched:
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
        asked = matrix(rows, self._served._face, "float64")
        worst, differs = judged(self._native, self._served, asked, self.within)
        self.rows = max(self.rows, len(asked))
        self.worst = max(self.worst, worst)
        self.differs = self.differs or differs
        return answer

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._served, name)
        return partial(self._seen, name) if name == "predict_proba" else found


def _methods(served: Any) -> Sequence[str]:
    return ("predict_proba", "predict") if hasattr(served, "predict_proba") else ("predict",)


def _apart(method: str, native: Any, served: Any, rows: Array, within: float) -> Apart:
    import numpy as np

    if not len(rows):
        return Apart(0)
    ours, theirs = getattr(served, method)(rows), np.asarray(_ask(native, method, rows, served._face))
    if ours.shape != theirs.shape:
        return Apart(len(rows), len(rows), np.inf, 0, f"{method} of shape {ours.shape}, not {theirs.shape}")
    if theirs.dtype.kind == "f":
        apart, bound = _distance(ours, theirs), within * np.maximum(1, np.nan_to_num(np.abs(theirs)))
    else:
        apart, bound = (ours != theirs).astype(float), np.full(theirs.shape, within)
        if method == "predict" and hasattr(served, "predict_proba"):
            # Which of two equally probable classes is named is nobody's fault.
            apart[_tied(_ask(native, "predict_proba", rows, served._face), within)] = 0.0
    flat, over = apart.reshape(len(rows), -1), (apart > bound).reshape(len(rows), -1)
    excess = np.where(over, flat, -1.0) if over.any() else flat
    row, column = divmod(int(excess.argmax()), flat.shape[1])
    one, other = theirs.reshape(len(rows), -1)[row, column], ours.reshape(len(rows), -1)[row, column]
    told = f"{_short(one)} by itself and {_short(other)} as ONNX ({flat[row, column]:.2g} apart) from {method}"
    told += f" at row {row} ({_named(rows[row], served._face)})"
    return Apart(len(rows), int(over.any(axis=1).sum()), float(flat[row, column]), row, told)


def _distance(ours: Array, theirs: Array) -> Array:
    """Where both say NaN, or the same infinity, nothing lies between them."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        apart: Array = np.abs(ours.astype(np.float64) - theirs)
    apart[(np.isnan(ours) & np.isnan(theirs)) | (ours == theirs)] = 0.0
    return np.nan_to_num(apart, nan=np.inf)


def _tied(probabilities: Any, within: float) -> Array:
    import numpy as np

    ordered = np.sort(np.asarray(probabilities), axis=1)
    tied: Array = (
        ordered[:, -1] - ordered[:, -2] <= 2 * within if ordered.shape[1] > 1 else np.zeros(len(ordered), bool)
    )
    return tied


def _ask(native: Any, method: str, rows: Array, face: Face) -> Any:
    """The original's answer; named columns go to what learned names from a frame."""
    asked: Any = rows
    if face.names and type(native).__module__.partition(".")[0] != "lightgbm":
        import pandas as pd

        asked = pd.DataFrame(rows, columns=list(face.names))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(native, method)(asked)


def _named(row: Array, face: Face) -> str:
    names = face.names or tuple(f"feature {index}" for index in range(face.width))
    told = ", ".join(f"{name} {value:.9g}" for name, value in zip(names[:_TOLD], row[:_TOLD], strict=False))
    return f"{told}, …" if len(names) > _TOLD else told


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) or getattr(value.dtype, "kind", "") == "f" else str(value)
