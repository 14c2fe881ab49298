"""What everybody gets of a model with `fn.onnx()`: the original's `predict` and `predict_proba`, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from funade.contract.arrays import Array
from funade.errors import FeaturesRefused, NotServed, closest


class OutputLayout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a graph's outputs become answers.

    ``kind``: the first output's ``values``; ``labels`` (first output); ``classes`` (the same, and the second output
    as probabilities); ``argmax`` (the class of the greatest probability); ``second`` (the probability of the second
    class) or ``scores`` (all of them).
    ``names`` are the features' in their order, none where the original never learned them; ``width`` is their number.
    ``classes`` are the original's, of NumPy type ``dtype``. ``least``: rows that a run is filled up to.
    """

    kind: Literal["values", "labels", "classes", "argmax", "second", "scores"]
    width: int
    names: tuple[str, ...] = ()
    classes: tuple[str | int | float | bool, ...] = ()
    dtype: str = ""
    least: int = 1


class OnnxServed:
    """``predict`` of a converted model: numbers in as float32, answers as float32, classes as the original's.

    The same row gives the same bits at any batch size. Everything else that the original had is not here.
    """

    def __init__(self, session: Any, layout: OutputLayout) -> None:
        self._session = session
        self._layout = layout
        self._inputs = [put.name for put in session.get_inputs()]
        outputs = [put.name for put in session.get_outputs()]
        self._first, self._second = outputs[:1], outputs[1:2]
        self._plain = layout.kind in ("values", "labels", "classes")
        self._classes = np.array(layout.classes, dtype=layout.dtype) if layout.dtype else None

    def predict(self, rows: Any) -> Array:
        """One answer a row; rows are a pandas or polars frame, a dict of columns, or an array of (rows, features).

        Raises:
            FeaturesRefused: a feature is missing or is no number.
        """
        if self._plain:
            answers = self._run(matrix(rows, self._layout), self._first)
            answers = answers.reshape(len(answers)) if answers.ndim == 2 and answers.shape[1] == 1 else answers
            return answers if self._classes is None else answers.astype(self._classes.dtype)
        answers = self._run(matrix(rows, self._layout), self._second)
        if self._layout.kind == "argmax":
            assert self._classes is not None
            answer: Array = self._classes[answers.argmax(axis=1)]
            return answer
        return answers[:, 1] if self._layout.kind == "second" else answers

    def _run(self, rows: Array, output: list[str]) -> Array:
        count = len(rows)
        if count < self._layout.least:
            rows = _filled_up(rows, self._layout.least)
        if len(self._inputs) == 1:
            feed = {self._inputs[0]: rows}
        else:
            feed = {name: rows[:, [index]] for index, name in enumerate(self._inputs)}
        answers: Array = self._session.run(output, feed)[0]
        return answers if len(answers) == count else answers[:count]

    def __getattr__(self, name: str) -> Any:
        there = "predict and predict_proba" if hasattr(type(self), "predict_proba") else "predict"
        raise NotServed(
            f"model served as ONNX expected a call of {there}, got `{name}`",
            do="take fn.onnx() away where more of the original is needed",
        )


class OnnxClassifier(OnnxServed):
    """Also ``predict_proba``, for an original that gives probabilities."""

    def predict_proba(self, rows: Any) -> Array:
        """The probability of each class, float32 of (rows, classes)."""
        return self._run(matrix(rows, self._layout), self._second)


def served(session: Any, layout: OutputLayout) -> OnnxServed:
    """The served object for a graph and its layout."""
    return (OnnxClassifier if layout.kind in ("classes", "argmax") else OnnxServed)(session, layout)


def _filled_up(rows: Array, least: int) -> Array:
    """The rows and zeros below, ``least`` rows in all: one row alone takes a path that rounds differently."""
    return np.concatenate([rows, np.zeros((least - len(rows), rows.shape[1]), np.float32)])


def matrix(rows: Any, layout: OutputLayout, dtype: str = "float32") -> Array:
    """Rows as a (rows, features) array in the order of training; a fitting array is given back as it is.

    Raises:
        FeaturesRefused: a feature is missing or is no number.
    """
    if isinstance(rows, np.ndarray):
        if rows.ndim != 2:
            raise FeaturesRefused(f"model expected an array of (rows, {layout.width}), got shape {rows.shape}")
        if rows.shape[1] != layout.width:
            raise _other_width(rows.shape[1], layout)
        return np.ascontiguousarray(rows if rows.dtype == dtype else _numbers("rows", rows, dtype))
    there = list(rows) if isinstance(rows, Mapping) else list(getattr(rows, "columns", ()))
    if not there:
        got = type(rows).__name__
        raise FeaturesRefused(f"model expected a frame, a dict of columns or an array, got {got} without columns")
    names = there if tuple(there) == layout.names else _order(there, layout)
    if not names:
        return np.empty((len(rows), 0), dtype)
    at_once = _of_columns if isinstance(rows, Mapping) else _of_frame
    made = at_once(rows, names, dtype)
    return np.column_stack([_numbers(name, rows[name], dtype) for name in names]) if made is None else made


def _of_columns(rows: Mapping[Any, Any], names: list[Any], dtype: str) -> Array | None:
    """Arrays of numbers side by side in one copy; None where one must be looked at."""
    columns = [rows[name] for name in names]
    for column in columns:
        if type(column) is not np.ndarray or column.dtype.char not in _NUMBERS or column.ndim != 1:
            return None
    if len(set(map(len, columns))) != 1:
        return None
    with np.errstate(over="ignore"):
        flat = np.concatenate(columns, dtype=dtype, casting="unsafe")
    return np.ascontiguousarray(flat.reshape(len(columns), -1).T)


def _of_frame(rows: Any, names: list[Any], dtype: str) -> Array | None:
    """A frame of plain numbers in one step, two hundred times as fast as by column; None where it holds others."""
    if not hasattr(rows, "to_numpy"):
        return None
    chosen = rows if list(rows.columns) == names else rows[names]
    if not hasattr(chosen, "index") and not all(d.is_float() or d.is_integer() for d in chosen.dtypes):
        return None  # polars would make numbers of dates
    array = chosen.to_numpy()
    if array.dtype.kind not in "biuf" or array.shape[1] != len(names):
        return None
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=dtype)


def _order(there: Sequence[Any], layout: OutputLayout) -> list[Any]:
    if not layout.names:
        if len(there) != layout.width:
            raise _other_width(len(there), layout)
        return list(there)
    known = {str(name): name for name in there}
    # LightGBM knows `a b` as `a_b`.
    spaced = {str(name).replace(" ", "_"): name for name in there} | known
    missing = [name for name in layout.names if name not in spaced]
    if missing:
        raise FeaturesRefused(
            f"model expected feature `{missing[0]}`, got {', '.join(known)}", do=closest(missing[0], known)
        )
    return [spaced[name] for name in layout.names]


def _other_width(got: int, layout: OutputLayout) -> FeaturesRefused:
    return FeaturesRefused(f"model expected {layout.width} features, got {got}")


def _numbers(name: object, values: Any, dtype: str) -> Array:
    if hasattr(values, "array") and str(values.dtype) in _NULLABLE:  # pandas marks a missing value in its own way
        values = values.to_numpy(dtype=dtype, na_value=np.nan)
    array = np.asarray(values)
    if array.dtype.kind in "biuf":
        with np.errstate(over="ignore"):
            return array.astype(dtype, copy=False)
    wrong = next((v for v in array.flat if isinstance(v, str)), None) if array.dtype.kind == "O" else array.dtype
    try:
        if wrong is not None:
            raise TypeError
        with np.errstate(over="ignore"):
            return array.astype(dtype)
    except (TypeError, ValueError):
        got = repr(wrong) if isinstance(wrong, str) else str(array.dtype)
        raise FeaturesRefused(
            f"model served as ONNX expected numbers in `{name}`, got {got}", do="turn it into numbers first"
        ) from None


_NUMBERS = frozenset("?bBhHiIlLqQefdg")
_NULLABLE = frozenset(
    {"boolean", "Float32", "Float64", *(f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))}
)
