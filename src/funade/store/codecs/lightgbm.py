"""Codec `lightgbm`: boosters and their scikit-learn faces, in LightGBM's own text format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from funade.errors import CodecError
from funade.store.codecs.parameters import from_pairs, pairs, tagged, to_text, untagged

MODEL = "model.txt"
STATE = "state.json"
FACES = frozenset({"LGBMModel", "LGBMClassifier", "LGBMRegressor", "LGBMRanker"})

_PLAIN = (
    "_best_iteration",
    "_n_features",
    "_n_features_in",
    "_fitted_with_feature_names",
    "_n_classes",
    "_objective",
    "_eval_at",
)
_DICTS = ("_best_score", "_evals_result", "_other_params", "_class_weight")


class LightgbmModel:
    """Booster, LGBMClassifier, LGBMRegressor, LGBMRanker, LGBMModel; predictions come back bit for bit.

    All trees are kept, and which was the best. Training data and callbacks are not.
    """

    name = "lightgbm"
    remedy = "return a Booster, LGBMClassifier, LGBMRegressor or LGBMRanker"

    def fits(self, cls: type) -> bool:
        """Whether the class is one of these itself; a class derived from them is not."""
        return cls.__module__.partition(".")[0] == "lightgbm" and cls.__name__ in FACES | {"Booster"}

    def distributions(self, cls: type) -> tuple[str, ...]:
        """LightGBM, and scikit-learn for its faces."""
        return ("lightgbm", "numpy") if cls.__name__ == "Booster" else ("lightgbm", "numpy", "scikit-learn")

    def save(self, value: Any, folder: Path, project_types: Sequence[str] = ()) -> None:
        """Write the trees as text and the rest as JSON."""
        face = type(value).__name__
        booster = value if face == "Booster" else _booster(value, face)
        (folder / MODEL).write_text(booster.model_to_string(num_iteration=-1), encoding="utf-8", newline="\n")
        state: dict[str, Any] = {
            "face": face,
            "best_iteration": booster.best_iteration,
            "best_score": booster.best_score,
        }
        if face != "Booster":
            state |= _state(value)
        (folder / STATE).write_text(to_text(state), encoding="utf-8")

    def load(self, folder: Path, project_types: Sequence[str] = ()) -> Any:
        """The booster, or a fitted estimator around it."""
        import lightgbm

        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        booster = lightgbm.Booster(model_str=(folder / MODEL).read_text(encoding="utf-8"))
        booster.best_iteration = state["best_iteration"]
        booster.best_score = state["best_score"]
        if state["face"] == "Booster":
            return booster
        if state["face"] not in FACES:
            raise CodecError(f"expected one of {', '.join(sorted(FACES))}, got {state['face']!r}")
        return _dressed(getattr(lightgbm, state["face"]), booster, state)


def _booster(value: Any, face: str) -> Any:
    if not value.__sklearn_is_fitted__():
        raise CodecError(f"expected a fitted {face}, got one that was never fitted", do="call fit")
    if callable(value._objective):
        raise CodecError("expected an objective by name, got a function", do="wrap it in a class with save and load")
    return value.booster_


def _state(value: Any) -> dict[str, Any]:
    """What the estimator knows beside its trees."""
    state: dict[str, Any] = {"params": pairs(value.get_params(deep=False))}
    state["plain"] = {name: getattr(value, name) for name in _PLAIN if hasattr(value, name)}
    state["dicts"] = {name: tagged(getattr(value, name)) for name in _DICTS}
    if getattr(value, "_classes", None) is not None:
        kind = value._classes.dtype
        state["classes"] = {"dtype": kind.str if kind.kind in "biufUM" else "object", "values": value._classes.tolist()}
    return state


def _dressed(face: Any, booster: Any, state: dict[str, Any]) -> Any:
    """A fitted estimator of that class around a booster."""
    estimator = face(**from_pairs(state["params"]))
    for name, value in state["plain"].items():
        setattr(estimator, name, value)
    for name, value in state["dicts"].items():
        setattr(estimator, name, untagged(value))
    estimator._Booster = booster
    estimator.fitted_ = True
    if "classes" in state:
        _dress_classes(estimator, state["classes"])
    return estimator


def _dress_classes(estimator: Any, classes: dict[str, Any]) -> None:
    from sklearn.preprocessing import LabelEncoder

    estimator._classes = np.array(classes["values"], dtype=classes["dtype"])
    estimator._le = LabelEncoder()
    estimator._le.classes_ = estimator._classes
    estimator._class_map = {label: index for index, label in enumerate(estimator._classes)}
