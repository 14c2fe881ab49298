"""funade carries a data scientist's plain functions to production, as ``import funade as fn``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from funade.contract.contract import default, unit
from funade.declare.decorators import api, dataset, evaluation, gives, model, source, takes, threshold
from funade.declare.guard import guard
from funade.declare.node import Node, Secret, place, secret
from funade.declare.policies import (
    answers_within,
    at_least,
    at_most,
    deprecated,
    every,
    fallback,
    files,
    fresh,
    golden,
    inside,
    key,
    log,
    may_fall,
    may_rise,
    not_null,
    one_of,
    only_for,
    onnx,
    owner,
    private,
    revised,
    rows,
    split,
    time,
    unique,
    used_by,
    was,
    within,
)
from funade.errors import FunadeError

if TYPE_CHECKING:
    import numpy as np

    from funade.project.project import Project

    Columns = dict[str, np.ndarray[Any, Any]]
    """A batch as a dict of equally long arrays: the fastest form online."""

__version__ = "0.1.0"

__all__ = [
    "Columns",
    "FunadeError",
    "Node",
    "Secret",
    "answers_within",
    "api",
    "at_least",
    "at_most",
    "dataset",
    "default",
    "deprecated",
    "evaluation",
    "every",
    "fallback",
    "files",
    "fresh",
    "gives",
    "golden",
    "guard",
    "inside",
    "key",
    "log",
    "may_fall",
    "may_rise",
    "model",
    "not_null",
    "one_of",
    "only_for",
    "onnx",
    "open",
    "owner",
    "place",
    "private",
    "revised",
    "rows",
    "secret",
    "source",
    "split",
    "takes",
    "threshold",
    "time",
    "unique",
    "unit",
    "used_by",
    "was",
    "within",
]


def open(folder: str = ".") -> Project:
    """The project in ``folder``, or in the nearest folder above that has a ``funade.toml``."""
    from funade.project.project import Project

    return Project.find(folder)


def __getattr__(name: str) -> Any:
    # `fn.Columns` needs NumPy, which declaring and planning do not.
    if name == "Columns":
        import numpy as np

        return dict[str, np.ndarray]
    raise AttributeError(f"module 'funade' has no attribute {name!r}")
