"""An ONNX file as a scorer: its inputs are fields by name and type, its outputs the answer's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np

from funade.contract.arrays import Columns
from funade.errors import ServeError
from funade.serve.bare.file import PROJECT, ModelColumn, ModelScorer, columns, needed, unread

NAMES = "feature_names"
"""Under it, in the file's own metadata, stand the names of a single matrix's columns: a JSON array, or with commas."""

_FLOATS = {"float": "float32", "double": "float64", "float16": "float16"}
_INTS = {f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_DTYPES = _FLOATS | _INTS | {"bool": "bool", "string": "object"}


class _TensorIn(NamedTuple):
    """One tensor of ``dtype``; ``width`` is None where it has a value a row without a second dimension."""

    name: str
    dtype: str
    width: int | None


class _TensorOut(NamedTuple):
    """One tensor or, with ``keys``, a list of dicts; ``number`` of values a row, one without a second dimension."""

    name: str
    type: Any
    number: int
    flat: bool
    keys: tuple[Any, ...] = ()


def read(path: Path) -> ModelScorer:
    """The model, run by onnxruntime on one thread.

    Raises:
        ServeError: onnxruntime is not installed or cannot read the file, or an input or output is no value or list of
            values a row.
    """
    needed("onnxruntime")
    from funade.store.codecs.onnx.codec import session_of

    try:
        session = session_of(str(path))
    except Exception as error:
        raise unread(path, error) from None
    inputs = [_input(put, path) for put in session.get_inputs()]
    takes = columns(_taken(inputs, session), path.name)
    fixed = _fixed(session, path)
    for count in (fixed,) if fixed else (2, 5):  # an output that only happens to be as long is none
        outputs = _outputs(session, _feed(inputs, _blank(inputs, takes, count), takes), count, path)
    gives = columns(_given(outputs), path.name)
    run = _Run(session, inputs, takes, outputs, gives, fixed)
    return ModelScorer(takes, gives, run)


class _Run:
    """Columns in, columns out; a graph of a fixed number of rows gets its rows in parts, the last filled up."""

    def __init__(
        self,
        session: Any,
        inputs: list[_TensorIn],
        takes: tuple[ModelColumn, ...],
        outputs: list[_TensorOut],
        gives: tuple[ModelColumn, ...],
        fixed: int,
    ) -> None:
        self._session, self._inputs, self._takes, self._fixed = session, inputs, takes, fixed
        self._outputs, self._gives = outputs, [column.name for column in gives]
        self._asked = [output.name for output in outputs]

    def __call__(self, rows: Columns) -> Columns:
        feed = _feed(self._inputs, rows, self._takes)
        count, most = len(next(iter(rows.values()))), self._fixed
        if not most:
            return self._answers(self._session.run(self._asked, feed), count)
        parts = []
        for start in range(0, count, most):
            part = {name: _filled(tensor[start : start + most], most) for name, tensor in feed.items()}
            parts.append(self._answers(self._session.run(self._asked, part), min(most, count - start)))
        return {name: np.concatenate([part[name] for part in parts]) for name in self._gives}

    def _answers(self, tensors: Sequence[Any], count: int) -> Columns:
        values: list[Any] = []
        for output, tensor in zip(self._outputs, tensors, strict=True):
            values += _split(output, tensor[:count])
        return dict(zip(self._gives, values, strict=True))


def _input(put: Any, path: Path) -> _TensorIn:
    dtype, shape = _DTYPES.get(put.type.removeprefix("tensor(").rstrip(")"), ""), list(put.shape)
    expected = f"`{path}` expected inputs of one value or one list of values a row, got `{put.name}`"
    if not dtype or not put.type.startswith("tensor("):
        raise ServeError(f"{expected} of type {put.type}", do=PROJECT)
    if not shape:
        raise ServeError(f"{expected} of unknown shape", do=PROJECT)
    if len(shape) > 2 or (len(shape) == 1 and isinstance(shape[0], int) and shape[0] > 1):
        raise ServeError(f"{expected} of shape {_shown(shape)}", do=PROJECT)
    if len(shape) == 2 and not (isinstance(shape[1], int) and shape[1] > 0):
        raise ServeError(f"{expected} of shape {_shown(shape)}", do="export it with a fixed number of features")
    return _TensorIn(put.name, dtype, shape[1] if len(shape) == 2 else None)


def _shown(shape: Sequence[Any]) -> str:
    return "×".join(str(side) if isinstance(side, int) else "?" for side in shape)


def _fixed(session: Any, path: Path) -> int:
    """How many rows the graph was exported for; 0 where any number will do."""
    counts = {put.shape[0] for put in session.get_inputs() if isinstance(put.shape[0], int) and put.shape[0] > 0}
    if len(counts) > 1:
        raise ServeError(f"`{path}` expected one number of rows for all inputs, got {sorted(counts)}", do=PROJECT)
    return int(next(iter(counts), 0))


def _taken(inputs: list[_TensorIn], session: Any) -> Iterator[tuple[str, Any]]:
    """Fields by the inputs' names; a single matrix's by the names of its columns."""
    for tensor in inputs:
        kind = _type(tensor.dtype)
        if tensor.width is None or (tensor.width == 1 and len(inputs) > 1):
            yield tensor.name, kind
        elif len(inputs) == 1:
            yield from ((name, kind) for name in _names(session, tensor.width))
        else:
            yield from ((f"{tensor.name}_{index}", kind) for index in range(tensor.width))


def _names(session: Any, width: int) -> list[str]:
    text = session.get_modelmeta().custom_metadata_map.get(NAMES, "")
    try:
        names = msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        names = [part.strip() for part in text.split(",") if part.strip()]
    return names if len(names) == width else [f"f{index}" for index in range(width)]


def _type(dtype: str) -> Any:
    """The type of a field whose values a tensor's elements hold."""
    if dtype in _INTS.values():
        span = np.iinfo(dtype)
        narrow = Annotated[int, msgspec.Meta(ge=int(span.min), le=min(int(span.max), 2**63 - 1))]
        return int if dtype == "int64" else narrow
    return {"bool": bool, "object": str}.get(dtype, float)


def _blank(inputs: list[_TensorIn], takes: tuple[ModelColumn, ...], count: int) -> Columns:
    """Rows of nothing: zeros, no text."""
    dtypes = [tensor.dtype for tensor in inputs for _ in range(tensor.width or 1)]
    return {
        column.name: np.full(count, "", object) if dtype == "object" else np.zeros(count, dtype)
        for column, dtype in zip(takes, dtypes, strict=True)
    }


def _feed(inputs: list[_TensorIn], rows: Columns, takes: tuple[ModelColumn, ...]) -> dict[str, Any]:
    feed, at = {}, 0
    for tensor in inputs:
        values = [rows[column.name] for column in takes[at : at + (tensor.width or 1)]]
        at += len(values)
        with np.errstate(over="ignore"):
            if tensor.width is None:
                feed[tensor.name] = values[0].astype(tensor.dtype, copy=False)
            else:
                flat = np.concatenate(values, dtype=tensor.dtype, casting="unsafe")
                feed[tensor.name] = np.ascontiguousarray(flat.reshape(len(values), -1).T)
    return feed


def _filled(tensor: Any, count: int) -> Any:
    """The rows, their last repeated up to so many."""
    return tensor if len(tensor) == count else np.concatenate([tensor, tensor[-1:].repeat(count - len(tensor), 0)])


def _outputs(session: Any, feed: dict[str, Any], count: int, path: Path) -> list[_TensorOut]:
    """What the graph's outputs are, seen on blank rows: shapes are often not said."""
    try:
        tensors = session.run(None, feed)
    except Exception as error:
        raise unread(path, error) from None
    return [_output(put, tensor, count, path) for put, tensor in zip(session.get_outputs(), tensors, strict=True)]


def _output(put: Any, tensor: Any, count: int, path: Path) -> _TensorOut:
    expected = f"`{path}` expected outputs of one value or one list of values a row, got `{put.name}`"
    if isinstance(tensor, list) and tensor and isinstance(tensor[0], dict) and len(tensor) == count:
        keys = tuple(tensor[0])
        return _TensorOut(put.name, float, len(keys), flat=False, keys=keys)
    shape = getattr(tensor, "shape", None)
    if shape is None:
        raise ServeError(f"{expected} of type {put.type}", do=PROJECT)
    if shape[:1] != (count,) or len(shape) > 2 or 0 in shape:
        raise ServeError(f"{expected} of shape {_shown(shape)} for {count} rows", do=PROJECT)
    kinds = {"b": bool, "i": int, "u": int, "f": float, "O": str, "U": str}
    if tensor.dtype.kind not in kinds:
        raise ServeError(f"{expected} of type {put.type}", do=PROJECT)
    return _TensorOut(put.name, kinds[tensor.dtype.kind], shape[1] if len(shape) == 2 else 1, flat=len(shape) == 1)


def _given(outputs: list[_TensorOut]) -> Iterator[tuple[str, Any]]:
    for output in outputs:
        if output.number == 1 and not output.keys:
            yield output.name, output.type
        else:
            yield from ((f"{output.name}_{key}", output.type) for key in output.keys or range(output.number))


def _split(output: _TensorOut, tensor: Any) -> list[Any]:
    """One array a field."""
    if output.keys:
        return [np.array([row[key] for row in tensor], np.float64) for key in output.keys]
    return [tensor] if output.flat else list(tensor.T)
