"""funade carries a data scientist's plain functions to production, as ``import funade as fn``.

A name is imported from its module when it is first read, so that ``funade --help`` loads no declaration.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from funade.contract.arrays import Columns
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
        may_refuse,
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
    from funade.project.project import Project

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
    "may_refuse",
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

_POLICIES = "funade.declare.policies"
_MODULES = {
    "Columns": "funade.contract.arrays",
    "FunadeError": "funade.errors",
    **dict.fromkeys(("default", "unit"), "funade.contract.contract"),
    **dict.fromkeys(("Node", "Secret", "place", "secret"), "funade.declare.node"),
    **dict.fromkeys(
        ("api", "dataset", "evaluation", "gives", "model", "source", "takes", "threshold"), "funade.declare.decorators"
    ),
    "guard": "funade.declare.guard",
}
"""Name → the module that has it; every other name is a policy's."""


def open(folder: str = ".") -> Project:
    """The project in ``folder``, or in the nearest folder above that has a ``funade.toml``."""
    from funade.project.project import Project

    return Project.find(folder)


if not TYPE_CHECKING:  # a checker would let every name pass

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'funade' has no attribute {name!r}")
        value = getattr(import_module(_MODULES.get(name, _POLICIES)), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
