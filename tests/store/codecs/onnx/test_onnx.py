"""Models as ONNX: what they answer, at which batch size, and which conversions are refused."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler

from funade.errors import CodecError, DeclarationError, FeaturesRefused, NotServed
from funade.store import codecs
from funade.store.blobs import BlobFolder
from funade.store.codecs.onnx import parity
from funade.store.codecs.onnx.served import matrix

ROWS, WITHIN = 1000, 1e-4
DRAWN = np.random.default_rng(5).normal(size=(ROWS, 4))
FRAME = pd.DataFrame(DRAWN, columns=["fare", "km", "way out", "wait"]).assign(zone=np.arange(ROWS) % 4)
NUMBERS = DRAWN[:, 0] * 3 + DRAWN[:, 1] ** 2
LATE = NUMBERS > 1
SECONDS = DRAWN.copy()
SECONDS[:, 0] = 1.7e9 + 10 * DRAWN[:, 0]
GAPS = np.where(np.random.default_rng(6).random(DRAWN.shape) < 0.1, np.nan, DRAWN)
HOLES = np.where(GAPS != GAPS, 0, np.abs(DRAWN) + 10)
GROUPS = np.column_stack([DRAWN, np.arange(ROWS) % 7])


def trees(face: Any, **settings: Any) -> Any:
    return face(n_estimators=20, verbose=-1, **settings)


def scaled(last: Any, *steps: Any) -> Any:
    return make_pipeline(StandardScaler(), *steps, last)


def columns() -> Any:
    chosen = make_column_transformer((StandardScaler(), ["fare", "km", "wait"]), (OneHotEncoder(), ["zone"]))
    return make_pipeline(chosen, LogisticRegression()).fit(FRAME, LATE)


def trained(objective: str, y: Any, **settings: Any) -> Any:
    return lgb.train({"objective": objective, "verbose": -1, **settings}, lgb.Dataset(DRAWN, y), 10)


CONVERT: dict[str, Any] = {
    "regressor": lambda: trees(lgb.LGBMRegressor).fit(DRAWN, NUMBERS * 1000),
    "classifier of bools": lambda: trees(lgb.LGBMClassifier).fit(FRAME, LATE),
    "classifier of text": lambda: trees(lgb.LGBMClassifier).fit(DRAWN, np.where(LATE, "late", "on time")),
    "classifier of three": lambda: trees(lgb.LGBMClassifier).fit(DRAWN, np.digitize(NUMBERS, [0, 2]) + 5),
    "gaps": lambda: trees(lgb.LGBMClassifier).fit(GAPS, LATE),
    "groups": lambda: trees(lgb.LGBMRegressor).fit(GROUPS, GROUPS[:, 4] % 3, categorical_feature=[4]),
    "dart": lambda: trees(lgb.LGBMRegressor, boosting_type="dart").fit(np.round(DRAWN * 3), NUMBERS),
    "ranker": lambda: trees(lgb.LGBMRanker).fit(DRAWN, LATE.astype(int), group=[100] * 10),
    "booster": lambda: trained("quantile", NUMBERS),
    "booster of two": lambda: trained("binary", LATE),
    "booster of three": lambda: trained("multiclass", np.digitize(NUMBERS, [0, 2]), num_class=3),
    "logistic": lambda: scaled(LogisticRegression()).fit(FRAME, LATE),
    "polynomial": lambda: scaled(Ridge(), PolynomialFeatures(2)).fit(DRAWN, NUMBERS),
    "no probabilities": lambda: RidgeClassifier().fit(DRAWN, LATE),
    "chosen columns": columns,
    "forest": lambda: RandomForestClassifier(10, random_state=0).fit(DRAWN, np.where(LATE, "late", "on time")),
    "scaled boosting": lambda: scaled(GradientBoostingClassifier(n_estimators=10, random_state=0)).fit(DRAWN, LATE),
    "scaled LightGBM": lambda: scaled(trees(lgb.LGBMClassifier)).fit(DRAWN, LATE),
}

each = pytest.mark.parametrize("name", list(CONVERT))


@pytest.fixture
def blobs(tmp_path: Path) -> BlobFolder:
    return BlobFolder(tmp_path / "store")


def both(blobs: BlobFolder, model: Any) -> tuple[Any, Any]:
    """The original and the served object, both as loaded from what was kept."""
    artifact = codecs.encode(model, "onnx", blobs, title="model `m`", place="m.py:1")
    return codecs.decode(codecs.original(artifact), blobs), codecs.decode(artifact, blobs)


def probed(blobs: BlobFolder, model: Any, within: float = WITHIN) -> Any:
    native, served = both(blobs, model)
    parity.probe(native, served, within, title="model `m`", place="m.py:1")
    return served


def rows_of(served: Any) -> Any:
    names, width = served._layout.names, served._layout.width
    wide = FRAME if width == 5 and names else GROUPS if width == 5 else FRAME[FRAME.columns[:4]]
    return wide if names else np.asarray(wide)


@each
def test_it_answers_as_its_original_on_the_probe_and_on_its_rows(blobs: BlobFolder, name: str) -> None:
    native, served = both(blobs, CONVERT[name]())
    parity.probe(native, served, WITHIN, title="model `m`", place="m.py:1")
    rows = np.asarray(rows_of(served), np.float64)
    worst, differs = parity.judged(native, served, rows, WITHIN)
    assert not differs
    assert worst < 1e-2
    assert served.predict(rows).dtype in (
        np.float32,
        np.asarray(parity._ask(native, "predict", rows, served._layout)).dtype,
    )


@each
def test_drill_w3_a_row_has_the_same_bits_at_any_batch_size(blobs: BlobFolder, name: str) -> None:
    _, served = both(blobs, CONVERT[name]())
    rows = np.asarray(rows_of(served), np.float32)
    method = served.predict_proba if hasattr(served, "predict_proba") else served.predict
    whole = method(rows)
    for size in (1, 2, 5, 64, 999):
        assert (
            np.concatenate([method(rows[at : at + size]) for at in range(0, ROWS, size)]).tobytes() == whole.tobytes()
        )
    assert len(method(rows[:0])) == 0


def test_frames_dicts_and_arrays_give_the_same_whatever_the_order_of_their_columns(blobs: BlobFolder) -> None:
    _, served = both(blobs, CONVERT["classifier of bools"]())
    known = FRAME[["zone", "wait", "km", "way out", "fare"]]
    forms = [
        FRAME, known, known.convert_dtypes(), pl.from_pandas(known), FRAME.to_numpy(),
        {name: known[name].to_numpy() for name in known},
    ]  # fmt: skip
    answers = [served.predict_proba(form) for form in forms]
    assert all(np.array_equal(answer, answers[0]) for answer in answers)
    assert served.predict(FRAME).dtype == bool
    missing = {"fare": np.array([1.0, None], object)} | {n: np.zeros(2) for n in known if n != "fare"}
    assert served.predict_proba(missing).shape == (2, 2)


def test_rows_that_fit_are_run_as_they_are(blobs: BlobFolder) -> None:
    _, served = both(blobs, CONVERT["classifier of bools"]())
    rows = np.ascontiguousarray(FRAME, np.float32)
    assert matrix(rows, served._layout) is rows
    assert matrix(np.asfortranarray(rows), served._layout).flags.c_contiguous


def test_columns_of_any_kind_of_number_give_what_they_give_one_by_one(blobs: BlobFolder) -> None:
    _, served = both(blobs, CONVERT["classifier of bools"]())
    whole = FRAME.round().assign(km=1e300, zone=FRAME.zone % 2 == 1)
    known = {name: whole[name].to_numpy() for name in whole}
    columns = known | {"fare": known["fare"].astype(np.int16), "wait": known["wait"].astype(np.float16)}
    mixed: dict[str, Any] = known | {"fare": known["fare"].astype(object)}
    asked = [whole, whole.astype({"fare": "Int64"}), pl.from_pandas(whole), columns, mixed, whole[whole.columns[::-1]]]
    assert np.isinf(matrix(whole, served._layout)[:, 1]).all()
    for rows in asked:
        assert np.array_equal(matrix(rows, served._layout), matrix(known, served._layout))
    with pytest.raises(FeaturesRefused, match="expected numbers in `km`"):
        served.predict(pl.from_pandas(FRAME.assign(km=pd.Timestamp("2024-01-01"))))


def test_what_is_no_number_or_missing_is_refused(blobs: BlobFolder) -> None:
    _, served = both(blobs, CONVERT["classifier of bools"]())
    for rows, message in (
        (
            FRAME.rename(columns={"fare": "fares"}),
            "expected feature `fare`, got fares, km, way out, wait, zone; did you",
        ),
        (FRAME.assign(km="far"), "expected numbers in `km`, got 'far'; turn it into numbers first"),
        (FRAME.assign(km=pd.Timestamp("2024-01-01")), "expected numbers in `km`, got datetime64"),
        (np.zeros((3, 4)), "expected 5 features, got 4"),
        (np.zeros(3), "expected an array of (rows, 5), got shape (3,)"),
        ([[1, 2]], "expected a frame, a dict of columns or an array, got list without columns"),
    ):
        with pytest.raises(FeaturesRefused) as caught:
            served.predict(rows)
        assert message in str(caught.value)


def test_other_attributes_are_one_clear_error(blobs: BlobFolder) -> None:
    _, served = both(blobs, CONVERT["regressor"]())
    assert not hasattr(served, "predict_proba")
    with pytest.raises(NotServed) as caught:
        served.feature_importances_
    assert str(caught.value) == (
        "model served as ONNX expected a call of predict, got `feature_importances_`; "
        "take fn.onnx() away where more of the original is needed"
    )


def test_rows_that_stand_on_a_split_answer_as_the_original_does(blobs: BlobFolder) -> None:
    """Prices and distances have few decimals, and splits fall on them: float32 rounds both alike."""
    rows = np.round(np.random.default_rng(1).normal(size=(20_000, 4)), 3)
    model = lgb.train({"verbose": -1, "objective": "regression"}, lgb.Dataset(rows, rows[:, 0] * 3 + rows[:, 1]), 100)
    native, served = both(blobs, model)
    thresholds = re.findall(r"^threshold=(.+)$", model.model_to_string(), re.MULTILINE)
    splits = np.array([float(number) for line in thresholds for number in line.split()])
    assert (np.abs(splits - np.round(splits, 3)) < 1e-12).mean() > 0.01
    worst, differs = parity.judged(native, served, rows, WITHIN)
    assert not differs
    assert np.abs(served.predict(rows) - native.predict(rows)).max() == pytest.approx(worst)


# What is refused

WRONG: dict[str, tuple[Any, str]] = {
    "linear trees": (lambda: trees(lgb.LGBMRegressor, linear_tree=True).fit(DRAWN, NUMBERS), "rows differ"),
    "averaged trees": (
        lambda: trees(lgb.LGBMClassifier, boosting_type="rf", bagging_freq=1, bagging_fraction=0.5).fit(DRAWN, LATE),
        "rows differ",
    ),
    "zero as missing": (
        lambda: trees(lgb.LGBMRegressor, zero_as_missing=True).fit(np.round(DRAWN * 3), NUMBERS), "rows differ",
    ),
    "zeros that stand for missing": (
        lambda: trees(lgb.LGBMRegressor, zero_as_missing=True).fit(HOLES, HOLES.sum(axis=1)), "rows differ",
    ),
    "a root": (lambda: trees(lgb.LGBMRegressor, reg_sqrt=True).fit(DRAWN, NUMBERS), "rows differ"),
    "a slope": (lambda: trees(lgb.LGBMClassifier, sigmoid=2.5).fit(DRAWN, LATE), "rows differ"),
    "seconds": (
        lambda: trees(lgb.LGBMRegressor).fit(SECONDS, NUMBERS), "rows differ; float32 does not hold these features"
    ),
    "scaled seconds": (
        lambda: scaled(GradientBoostingClassifier(n_estimators=10, random_state=0)).fit(SECONDS, LATE), "rows differ"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(WRONG))
def test_drill_w22_a_conversion_that_is_silently_wrong_is_refused_naming_the_worst_row(
    blobs: BlobFolder, name: str
) -> None:
    make, why = WRONG[name]
    with pytest.raises(CodecError) as caught:
        probed(blobs, make())
    told = str(caught.value)
    assert told.startswith("model `m` expected to answer as ONNX as it does itself within 0.0001, got ")
    for part in (
        " by itself and ",
        " as ONNX (",
        " apart) from predict",
        " at row ",
        "feature 0 ",
        why,
        " - at m.py:1; ",
    ):
        assert part in told
    assert told.endswith("take fn.onnx() away, return another model, or allow more: fn.onnx(within=…)")


def test_a_wider_bound_lets_a_small_difference_pass(blobs: BlobFolder) -> None:
    model = CONVERT["polynomial"]()
    with pytest.raises(CodecError, match="1e-08"):
        probed(blobs, model, within=1e-8)
    probed(blobs, model, within=1e-3)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: HistGradientBoostingRegressor(max_iter=5).fit(GAPS, NUMBERS),
            "ONNX, got HistGradientBoostingRegressor: ",
        ),
        (
            lambda: trained("cross_entropy", LATE * 0.7),
            "got Booster: NotImplementedError: Unsupported LightGbm objective",
        ),
        (lambda: trees(lgb.LGBMRegressor).fit(FRAME.astype({"zone": "category"}), NUMBERS), "numbers, got categories"),
        (lambda: StandardScaler().fit(DRAWN), "expected, with fn.onnx(), a model with predict, got StandardScaler"),
    ],
)
def test_drill_w22_what_does_not_convert_says_so_and_what_to_do(blobs: BlobFolder, make: Any, why: str) -> None:
    with pytest.raises(CodecError) as caught:
        both(blobs, make())
    assert why in str(caught.value)
    assert str(caught.value).endswith("take fn.onnx() away, or return a model that its converter knows")
    assert "\n" not in str(caught.value)


FOREIGN = """
from sklearn.base import BaseEstimator, ClassifierMixin

class Boosting(ClassifierMixin, BaseEstimator):
    def fit(self, x, y):
        self.classes_ = [False, True]
        return self
"""


def test_drill_w22_a_pipeline_that_ends_in_another_library_is_refused_by_name(
    blobs: BlobFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As XGBoost's, which converters change by a half on one row in fifty without a word."""
    (tmp_path / "foreign_boost.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(str(tmp_path))
    boosting = importlib.import_module("foreign_boost").Boosting()
    with pytest.raises(CodecError) as caught:
        both(blobs, scaled(boosting).fit(DRAWN, LATE))
    assert str(caught.value) == (
        "model `m` expected types of scikit-learn or of the project, got foreign_boost.Boosting - at m.py:1; "
        "wrap it in a class with save(self, dir) and load(dir)"
    )


def test_what_converted_it_is_no_part_of_what_loading_needs() -> None:
    assert set(codecs.runtime("onnx", lgb.Booster)) == {"python", "lightgbm", "numpy", "onnxruntime"}


def test_a_class_that_never_converts_is_refused_where_it_is_declared() -> None:
    with pytest.raises(DeclarationError) as caught:
        codecs.converted("json", place="m.py:1", what="model `m`")
    assert str(caught.value) == (
        "model `m` expected, with fn.onnx(), a LightGBM model or a scikit-learn estimator, got a class that "
        "codec `json` keeps - at m.py:1; take fn.onnx() away, or return such a model"
    )
