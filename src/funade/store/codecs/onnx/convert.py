"""Conversion of fitted models to ONNX graphs over float32."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

from funade.errors import CodecError
from funade.store.codecs.onnx.served import OutputLayout

DO = "take fn.onnx() away, or return a model that its converter knows"
NAME = "model"
INPUT = "rows"
NAMES = "feature_names"
_MOST = 200
_OPSETS = {"": 17, "ai.onnx.ml": 3}  # the newest that LightGBM's converter knows
_SUMS = frozenset({"Gemm", "MatMul", "LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"})


def convert(value: Any) -> tuple[bytes, OutputLayout]:
    """The graph and its layout.

    Raises:
        CodecError: the model does not convert; says why.
    """
    lightgbm = type(value).__module__.partition(".")[0] == "lightgbm"
    if not hasattr(value, "predict"):
        raise CodecError(f"expected, with fn.onnx(), a model with predict, got {type(value).__name__}", do=DO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _of_lightgbm(value) if lightgbm else _of_sklearn(value)
    except CodecError:
        raise
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        text = f"expected, with fn.onnx(), `{name}` to convert with, got none installed"
        raise CodecError(text, do=f"run: pip install {name}") from error
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        text = text if len(text) <= _MOST else f"{text[:_MOST]}…"
        raise CodecError(
            f"expected a model that converts to ONNX, got {type(value).__name__}: {text}", do=DO
        ) from error


def _of_lightgbm(value: Any) -> tuple[bytes, OutputLayout]:
    import lightgbm
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    bare = isinstance(value, lightgbm.Booster)
    booster = value if bare else value.booster_
    if booster.pandas_categorical:
        raise CodecError("expected, with fn.onnx(), features that are numbers, got categories", do=DO)
    width = booster.num_feature()
    graph = convert_lightgbm(booster, name=NAME, initial_types=[(INPUT, FloatTensorType([None, width]))], zipmap=False)
    names = tuple(booster.feature_name())
    names = () if names == tuple(f"Column_{index}" for index in range(width)) else names
    if len(graph.graph.output) == 1:
        return _bytes(graph, names), OutputLayout("values", width, names)
    if bare or not hasattr(value, "classes_"):
        binary = booster.num_model_per_iteration() == 1
        return _bytes(graph, names), OutputLayout("second" if binary else "scores", width, names)
    return _bytes(graph, names), OutputLayout("argmax", width, names, *_classes(value))


def _of_sklearn(value: Any) -> tuple[bytes, OutputLayout]:
    width = int(value.n_features_in_)
    names = tuple(map(str, getattr(value, "feature_names_in_", ())))
    classifier = hasattr(value, "classes_")
    options = {id(value): {"zipmap": False}} if classifier else None
    graph = _graph(value, width, names, options)
    least = 2 if _SUMS & {node.op_type for node in graph.graph.node} else 1
    if not classifier:
        return _bytes(graph, names), OutputLayout("values", width, names, least=least)
    kind = "classes" if hasattr(value, "predict_proba") else "labels"
    return _bytes(graph, names), OutputLayout(kind, width, names, *_classes(value), least=least)  # type: ignore[arg-type]


def _graph(value: Any, width: int, names: tuple[str, ...], options: Any) -> Any:
    """The graph over one matrix; over one input a feature where steps choose their features by name."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    _register()
    each = [(name, FloatTensorType([None, 1])) for name in names]
    types = each if names and _by_name(value) else [(INPUT, FloatTensorType([None, width]))]
    return convert_sklearn(value, name=NAME, initial_types=types, options=options, target_opset=_OPSETS)


def _by_name(value: Any) -> bool:
    from sklearn.compose import ColumnTransformer

    steps = [step for _, step in getattr(value, "steps", ())]
    return isinstance(value, ColumnTransformer) or any(_by_name(step) for step in steps)


def _register() -> None:
    """LightGBM's estimators inside a scikit-learn pipeline."""
    try:
        import lightgbm
    except ImportError:
        return
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    from skl2onnx import update_registered_converter
    from skl2onnx.common import shape_calculator as shapes

    classes = shapes.calculate_linear_classifier_output_shapes
    options = {"nocl": [True, False], "zipmap": [True, False, "columns"]}
    update_registered_converter(
        lightgbm.LGBMClassifier, "LightGbmLGBMClassifier", classes, convert_lightgbm, options=options
    )
    numbers = shapes.calculate_linear_regressor_output_shapes
    update_registered_converter(lightgbm.LGBMRegressor, "LightGbmLGBMRegressor", numbers, convert_lightgbm)


def _classes(value: Any) -> tuple[tuple[Any, ...], str]:
    classes = np.asarray(value.classes_)
    return tuple(classes.tolist()), classes.dtype.str if classes.dtype.kind in "biufU" else "object"


def _bytes(graph: Any, names: tuple[str, ...]) -> bytes:
    """The graph's bytes, its outputs said to have any number of rows, the features' names in its own metadata."""
    if names:
        graph.metadata_props.add(key=NAMES, value=json.dumps(names))
    for output in graph.graph.output:
        shape = output.type.tensor_type.shape
        if shape.dim:
            shape.dim[0].ClearField("dim_value")
    data: bytes = graph.SerializeToString(deterministic=True)
    return data
