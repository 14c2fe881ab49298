"""A LightGBM text file as a scorer: one number a feature, missing ones as null."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from funade.contract.arrays import Columns
from funade.errors import ServeError
from funade.serve.bare.file import PROJECT, ModelScorer, columns, needed, unread

_NOT_NEEDED = ("pandas", "pyarrow", "sklearn", "polars")


def read(path: Path) -> ModelScorer:
    """The model, run by LightGBM on one thread.

    Raises:
        ServeError: LightGBM is not installed or cannot read the file, or a feature is a category of pandas.
    """
    lightgbm = _lightgbm()
    try:
        text = path.read_text(encoding="utf-8")
        if "\nend of trees" not in text:  # LightGBM would end the process
            raise ValueError("it breaks off")
        booster = lightgbm.Booster(model_str=text)
    except (lightgbm.basic.LightGBMError, ValueError) as error:
        raise unread(path, error) from None
    if booster.pandas_categorical:
        what = f"`{path}` expected features that are numbers, got categories of a pandas frame"
        raise ServeError(what, do=PROJECT)
    width, many = booster.num_feature(), booster.num_model_per_iteration()
    learned = booster.feature_name()
    plain = learned == [f"Column_{i}" for i in range(width)]
    takes = columns(((f"f{i}" if plain else n, float | None) for i, n in enumerate(learned)), path.name)
    outputs = ["prediction"] if many == 1 else [f"prediction_{i}" for i in range(many)]
    gives = columns(((name, float) for name in outputs), path.name)

    def run(rows: Columns) -> Columns:
        x = np.column_stack([rows[column.name] for column in takes])
        scores = booster.predict(x, num_threads=1)
        return {outputs[0]: scores} if many == 1 else dict(zip(outputs, scores.T, strict=True))

    return ModelScorer(takes, gives, run)


def _lightgbm() -> Any:
    """LightGBM without what it imports where it is there and a file never needs: 0.7 s and 130 MB a worker."""
    absent = [name for name in _NOT_NEEDED if "lightgbm" not in sys.modules and name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        return needed("lightgbm")
    finally:
        for name in absent:
            del sys.modules[name]
