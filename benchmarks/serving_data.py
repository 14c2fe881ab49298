"""The model files, and the requests with their expected answers, that all contestants of bench-serve share."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightgbm import Booster

from measure import REPOSITORY
from scoring import data

ROWS = (1, 8, 64, 512)
POOL = 4096
SCORING = REPOSITORY / "benchmarks" / "scoring"
FORMS = {"lightgbm": "txt", "onnx": "onnx"}

Lists = Sequence[Sequence[float]]


def records(x: Lists) -> Any:
    """One object, or an array of them."""
    rows = [dict(zip((f"x{i}" for i in range(20)), row, strict=True)) for row in x]
    return rows[0] if len(rows) == 1 else rows


def lists(x: Lists) -> Any:
    """``{"rows": [[…], …]}``."""
    return {"rows": x}


def tensor(x: Lists) -> Any:
    """A request of the Open Inference Protocol."""
    flat = [value for row in x for value in row]
    return {"inputs": [{"name": "x", "shape": [len(x), 20], "datatype": "FP64", "data": flat}]}


SHAPES: dict[str, Callable[[Lists], Any]] = {"records": records, "lists": lists, "tensor": tensor}


def project(folder: Path, form: str, frame: str) -> None:
    """A funade project with one api on one kind of frame."""
    package = folder / "scoring"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("data", f"model_{form}", f"by_{frame}"):
        (package / f"{name}.py").write_text((SCORING / f"{name}.py").read_text())
    (package / "model.py").write_text((SCORING / "model.py").read_text().replace("model_onnx", f"model_{form}"))
    (folder / "funade.toml").write_text((SCORING / "funade.toml").read_text())


def prepare(folder: Path, form: str) -> Path:
    """Write requests, expected answers and the model's file, whose path is given."""
    booster = data.fitted(data.columns(20_000, seed=1))
    pool = data.table(POOL, seed=2)
    answers = np.asarray(booster.predict(pool, num_threads=1))
    for rows in ROWS:
        starts = range(0, POOL, rows)
        (folder / f"expected-{rows}").write_text(
            "".join(" ".join(map(repr, map(float, answers[s : s + rows]))) + "\n" for s in starts)
        )
        for shape, made in SHAPES.items():
            with (folder / f"{shape}-{rows}").open("w") as file:
                file.writelines(json.dumps(made(pool[s : s + rows].tolist())) + "\n" for s in starts)
    path = folder / f"model.{FORMS[form]}"
    if form == "onnx":
        path.write_bytes(converted(booster))
        _agree(path, pool, answers)
    else:
        booster.save_model(path)
    return path


def converted(booster: Booster) -> bytes:
    """The booster as ONNX as its converter makes it, its input ``x`` of any number of rows: what the peers run."""
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    onnx = convert_lightgbm(
        booster, initial_types=[("x", FloatTensorType([None, len(data.NAMES)]))], target_opset=15, zipmap=False
    )
    return bytes(onnx.SerializeToString())


def _agree(path: Path, pool: np.ndarray[Any, Any], answers: np.ndarray[Any, Any]) -> None:
    from onnxruntime import InferenceSession

    session = InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    worst = float(np.abs(session.run(None, {"x": pool.astype(np.float32)})[0][:, 0] - answers).max())
    if worst > 1e-4:
        raise SystemExit(f"the ONNX model differs from LightGBM by {worst}")
