"""The model as ONNX, run by onnxruntime on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import funade as fn
from scoring.data import NAMES, fitted, known

if TYPE_CHECKING:
    from lightgbm import Booster


def converted(booster: Booster) -> bytes:
    """The booster as ONNX, its input ``x`` of any number of rows."""
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    onnx = convert_lightgbm(
        booster, initial_types=[("x", FloatTensorType([None, len(NAMES)]))], target_opset=15, zipmap=False
    )
    return bytes(onnx.SerializeToString())


class Session:
    """An ONNX model, ready to answer."""

    def __init__(self, data: bytes) -> None:
        from onnxruntime import InferenceSession, SessionOptions

        options = SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._data = data
        self._session = InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self._session.run(None, {"x": x})[0])[:, 0]

    def save(self, folder: Path) -> None:
        (folder / "model.onnx").write_bytes(self._data)

    @classmethod
    def load(cls, folder: Path) -> Session:
        return cls((folder / "model.onnx").read_bytes())


@fn.model(known=known.trust("a benchmark"))
def model(known: fn.Columns) -> Session:
    return Session(converted(fitted(np.column_stack([known[name] for name in NAMES]))))


def predicted(model: Session, x: np.ndarray) -> np.ndarray:
    return model.predict(x.astype(np.float32)).astype(np.float64)
