"""Codec `xgboost`: boosters and their scikit-learn faces, in XGBoost's own JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from funade.errors import CodecError
from funade.store.codecs.parameters import from_pairs, pairs, to_text

MODEL = "model.json"
STATE = "state.json"
FACES = ("XGBClassifier", "XGBRegressor", "XGBRanker", "XGBRFClassifier", "XGBRFRegressor")


class XgboostModel:
    """Booster, XGBClassifier, XGBRegressor, XGBRanker and the two random forests; predictions come back bit for bit.

    All trees are kept, and which was the best. Training data is not.
    """

    name = "xgboost"
    remedy = "return a Booster, XGBClassifier, XGBRegressor or XGBRanker"

    def fits(self, cls: type) -> bool:
        """Whether the class is one of these itself; a class derived from them is not."""
        return cls.__module__.partition(".")[0] == "xgboost" and cls.__name__ in (*FACES, "Booster")

    def distributions(self, cls: type) -> tuple[str, ...]:
        """XGBoost, and scikit-learn for its faces."""
        needed = (_installed(), "numpy", "scipy")
        return needed if cls.__name__ == "Booster" else (*needed, "scikit-learn")

    def save(self, value: Any, folder: Path, project_types: Sequence[str] = ()) -> None:
        """Write the trees as XGBoost does, and the parameters as JSON."""
        face = type(value).__name__
        state: dict[str, Any] = {"face": face}
        if face != "Booster":
            if not value.__sklearn_is_fitted__():
                raise CodecError(f"expected a fitted {face}, got one that was never fitted", do="call fit")
            state |= {"parameters": pairs(_parameters(value)), "evals": getattr(value, "evals_result_", None)}
        (folder / STATE).write_text(to_text(state), encoding="utf-8")
        value.save_model(folder / MODEL)

    def load(self, folder: Path, project_types: Sequence[str] = ()) -> Any:
        """The booster, or a fitted estimator around it."""
        import xgboost

        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        data = (folder / MODEL).read_bytes()
        if state["face"] not in (*FACES, "Booster"):
            raise CodecError(f"expected one of {', '.join(FACES)}, got {state['face']!r}")
        face = getattr(xgboost, state["face"])
        parameters = from_pairs(state.get("parameters", []))
        value = face(**parameters)
        try:
            if not data.startswith(b'{"'):
                raise ValueError("another format")
            msgspec.json.decode(data, type=msgspec.Raw)  # of text that is no JSON XGBoost may end the process
            value.load_model(bytearray(data))
        except (ValueError, msgspec.DecodeError) as error:  # XGBoost's own first line names a file of its source
            raise CodecError(f"expected a model of XGBoost in `{MODEL}`, got others", do="run: funade fsck") from error
        if state["face"] != "Booster":
            vars(value).update(vars(face(**parameters)))  # loading sets parameters that were left to XGBoost
            if state["evals"] is not None:
                value.evals_result_ = state["evals"]
        return value


def _installed() -> str:
    """The distribution that has XGBoost here: one of the two names under which the same release is published."""
    try:
        metadata.distribution("xgboost-cpu")
    except metadata.PackageNotFoundError:
        return "xgboost"
    return "xgboost-cpu"


def _parameters(value: Any) -> dict[str, Any]:
    """The parameters that are not the class's own defaults."""
    defaults = type(value)().get_params()
    parameters = value.get_params(deep=False)
    changed = {name: value for name, value in parameters.items() if not _same(value, defaults.get(name))}
    if functions := [name for name, parameter in changed.items() if callable(parameter)]:
        raise CodecError(
            f"expected `{functions[0]}` by name, got a function", do="wrap it in a class with save and load"
        )
    return changed


def _same(value: Any, default: Any) -> bool:
    return value is default or bool(value == default)  # the default of `missing` is NaN
