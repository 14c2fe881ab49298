"""The model that every peer serves: SERVE_MODEL is a LightGBM text file or an ONNX file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

NAMES = [f"x{i}" for i in range(20)]


class Model:
    """Rows × 20 numbers in, one number a row out; on one thread."""

    def __init__(self) -> None:
        path = Path(os.environ["SERVE_MODEL"])
        if path.suffix == ".onnx":
            from onnxruntime import InferenceSession, SessionOptions

            options = SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            self._session = InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
            self.predict = self._by_onnx
        else:
            from lightgbm import Booster

            self._booster = Booster(model_file=path)
            self.predict = self._by_lightgbm

    def _by_onnx(self, x: np.ndarray) -> np.ndarray:
        return self._session.run(None, {"x": x.astype(np.float32)})[0][:, 0]

    def _by_lightgbm(self, x: np.ndarray) -> np.ndarray:
        return self._booster.predict(x, num_threads=1)
