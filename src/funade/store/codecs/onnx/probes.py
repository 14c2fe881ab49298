"""Rows on which a conversion goes wrong if it goes wrong anywhere, made from the fitted model alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np

from funade.contract.arrays import Array
from funade.store.codecs.onnx.served import OutputLayout

LEAST, MOST = 2048, 20_000
"""Rows of one probe; a model with more splits on one feature has that many drawn from them."""

SEED = 20_000_101
_ZERO = 1e-30  # LightGBM parts zero from the rest at 1e-35, where no row ever is
_MISSING = _ZEROS = 0.02


class _Feature(msgspec.Struct):
    """What is known of one feature: where it is split, the values it takes, where it lies.

    ``wide``: the model compares it with its splits in float64; otherwise the model itself rounds it to float32.
    """

    splits: list[float] = []
    values: list[float] = []
    middle: float = 0.0
    scale: float = 1.0
    wide: bool = False


def rows(native: Any, layout: OutputLayout) -> tuple[Array, Array]:
    """Float64 rows of (rows, features): on both sides of every split, and drawn over the features' ranges.

    Some of the second are missing or exactly zero where the model is LightGBM's, which may part them from the rest.
    """
    features = [_Feature() for _ in range(layout.width)]
    for index, known in _known(native, {name: i for i, name in enumerate(layout.names)}, list(range(layout.width))):
        features[index] = _merged(features[index], known)
    rng = np.random.default_rng(SEED)
    count = min(MOST, max(LEAST, *(2 * len(set(f.splits)) for f in features)))
    edges = np.column_stack([_edges(feature, count, rng) for feature in features])
    drawn = np.column_stack([_drawn(feature, LEAST, rng) for feature in features])
    if type(native).__module__.partition(".")[0] == "lightgbm":
        drawn[rng.random(drawn.shape) < _MISSING] = np.nan
        drawn[rng.random(drawn.shape) < _ZEROS] = 0.0
    return edges, drawn


def _merged(first: _Feature, other: _Feature) -> _Feature:
    """One feature's facts from two steps; its centre and scale are those of the step nearer to the input."""
    placed = first if (first.middle, first.scale) != (0.0, 1.0) else other
    wide = first.wide or other.wide
    return _Feature(first.splits + other.splits, first.values or other.values, placed.middle, placed.scale, wide)


def _edges(feature: _Feature, count: int, rng: np.random.Generator) -> Array:
    if not feature.splits:
        return _drawn(feature, count, rng).astype(np.float32).astype(np.float64)
    splits = np.unique(np.array(feature.splits))
    there = _beside(splits) if feature.wide else _neighbours(splits)
    there[np.abs(there) < _ZERO] = 0.0
    repeated = np.resize(rng.permutation(there), count)
    shuffled: Array = rng.permutation(repeated).astype(np.float64)
    return shuffled


def _neighbours(splits: Array) -> Array:
    """The float32 numbers next to each split."""
    near = splits.astype(np.float32)
    below = np.where(near > splits, np.nextafter(near, np.float32(-np.inf)), near)
    return np.concatenate([below, np.nextafter(below, np.float32(np.inf))]).astype(np.float64)


def _beside(splits: Array) -> Array:
    """Each split itself, and the float32 numbers on both sides of the one nearest to it.

    Left out is what lies above a split and is rounded to the same float32: it cannot be told from the split.
    """
    near = splits.astype(np.float32)
    sides = [np.nextafter(near, np.float32(side)).astype(np.float64) for side in (-np.inf, np.inf)]
    there = np.concatenate([splits, *sides])
    rounded = there.astype(np.float32)
    at = np.minimum(np.searchsorted(near, rounded), len(near) - 1)
    told_apart: Array = there[~((near[at] == rounded) & (splits[at] < there))]
    return told_apart


def _drawn(feature: _Feature, count: int, rng: np.random.Generator) -> Array:
    if feature.values:
        return rng.choice(np.array(feature.values), count)
    if feature.splits:
        least, most = min(feature.splits), max(feature.splits)
        wide = (most - least) or max(1.0, abs(most))
        return rng.uniform(least - 0.1 * wide, most + 0.1 * wide, count)
    half = count // 2
    normal, even = rng.normal(size=half), rng.uniform(-3, 3, count - half)
    drawn: Array = feature.middle + feature.scale * rng.permutation(np.concatenate([normal, even]))
    return drawn


def _known(native: Any, names: dict[str, int], columns: list[int]) -> Iterator[tuple[int, _Feature]]:
    """(feature, what is known of it) from a model whose inputs are those features, in that order."""
    if type(native).__module__.partition(".")[0] == "lightgbm":
        yield from _of_lightgbm(getattr(native, "booster_", native), columns)
    elif hasattr(native, "steps"):
        for _, step in native.steps:
            yield from _known(step, names, columns)
            if hasattr(step, "transform") and type(step).__name__ != "SimpleImputer":
                return  # what follows sees other numbers
    elif hasattr(native, "transformers_"):
        for _, step, chosen in native.transformers_:
            if not isinstance(step, str):
                yield from _known(step, names, _columns(chosen, names, columns))
    else:
        yield from _of_scaler(native, columns)
        yield from _of_trees(_sklearn_splits(native), columns)


def _columns(chosen: Any, names: dict[str, int], columns: list[int]) -> list[int]:
    if isinstance(chosen, slice):
        return columns[chosen]
    picked = [chosen] if isinstance(chosen, str | int) else list(chosen)
    if picked and isinstance(picked[0], bool | np.bool_):
        return [column for column, wanted in zip(columns, picked, strict=False) if wanted]
    return [names[pick] if isinstance(pick, str) else columns[int(pick)] for pick in picked]


def _of_scaler(step: Any, columns: list[int]) -> Iterator[tuple[int, _Feature]]:
    if hasattr(step, "categories_"):
        for column, values in zip(columns, step.categories_, strict=False):
            if np.asarray(values).dtype.kind in "biuf":
                yield column, _Feature(values=[float(value) for value in values])
        return
    if hasattr(step, "data_min_"):
        middle, scale = (step.data_min_ + step.data_max_) / 2, (step.data_max_ - step.data_min_) / 4
    else:
        middle = next(
            (centre for name in ("mean_", "center_") if (centre := getattr(step, name, None)) is not None), None
        )
        scale = getattr(step, "scale_", None)
    for index, column in enumerate(columns):
        at = 0.0 if middle is None or np.ndim(middle) != 1 or len(middle) <= index else float(middle[index])
        by = 1.0 if scale is None or np.ndim(scale) != 1 or len(scale) <= index else float(scale[index])
        if (at, by) != (0.0, 1.0):
            yield column, _Feature(middle=at, scale=by)


def _of_trees(
    splits: Iterator[tuple[int, float]], columns: list[int], *, wide: bool = False
) -> Iterator[tuple[int, _Feature]]:
    limits: dict[int, list[float]] = {}
    for feature, threshold in splits:
        limits.setdefault(columns[feature], []).append(threshold)
    for column, thresholds in limits.items():
        yield column, _Feature(splits=thresholds, wide=wide)


def _of_lightgbm(booster: Any, columns: list[int]) -> Iterator[tuple[int, _Feature]]:
    splits: list[tuple[int, float]] = []
    categories: dict[int, set[float]] = {}
    waiting = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    while waiting:
        node = waiting.pop()
        if "split_feature" not in node:
            continue
        waiting += [node["left_child"], node["right_child"]]
        if node["decision_type"] == "==":  # lists its categories: "1||4"
            bounds = categories.setdefault(node["split_feature"], {-1.0})
            bounds |= {float(part) + other for part in str(node["threshold"]).split("||") for other in (0, 1)}
        else:
            splits.append((node["split_feature"], float(node["threshold"])))
    yield from _of_trees(iter(splits), columns, wide=True)
    yield from ((columns[feature], _Feature(values=sorted(values))) for feature, values in categories.items())


def _sklearn_splits(native: Any) -> Iterator[tuple[int, float]]:
    trees = [native] if hasattr(native, "tree_") else list(np.ravel(getattr(native, "estimators_", ())))
    for tree in trees:
        if hasattr(tree, "tree_"):
            inner = tree.tree_.feature >= 0
            yield from zip(tree.tree_.feature[inner].tolist(), tree.tree_.threshold[inner].tolist(), strict=True)
