"""Policies: small frozen values above a function that say what must hold of its node.

Each class names the kinds of node it may stand on (``on``) and what changing it does (``effect``):
``remakes`` the version, ``rechecks`` it, or ``nothing``. A new rule is a new small class here.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

import msgspec

TABLES = frozenset({"source", "dataset"})
Otherwise = Literal["clamp", "fallback", "reject"]
"""What becomes of an answer that a guard does not let pass."""

EVERY_KIND = frozenset({"source", "dataset", "model", "threshold", "api", "evaluation"})


class _Policy(msgspec.Struct, frozen=True, tag=str.lower, tag_field="policy"):
    on: ClassVar[frozenset[str]] = EVERY_KIND
    effect: ClassVar[str] = "nothing"
    many: ClassVar[bool] = False  # whether one node may carry several


class _RowCheck(_Policy, frozen=True):
    on = frozenset({"dataset"})
    effect = "rechecks"
    many = True


class _Gate(_Policy, frozen=True):
    on = frozenset({"evaluation"})
    effect = "rechecks"
    many = True


class Every(_Policy, frozen=True):
    """A source's periods (``1 hour``, ``day``, ``week``, ``month``) from ``since``, due at ``at`` after their end."""

    on = frozenset({"source"})
    period: str
    since: str
    at: str = "00:00"


class Time(_Policy, frozen=True):
    """The column that dates a row."""

    on = TABLES
    effect = "remakes"
    column: str


class Key(_Policy, frozen=True):
    """The columns that name a row."""

    on = TABLES
    effect = "remakes"
    columns: tuple[str, ...]


class Revised(_Policy, frozen=True):
    """For how long a period may still be revised at its origin: it is loaded again until then."""

    on = frozenset({"source"})
    within: str


class Within(_RowCheck, frozen=True):
    """Every value of a column lies in [least, greatest]; missing values are left to ``not_null``."""

    column: str
    least: float | None
    greatest: float | None


class NotNull(_RowCheck, frozen=True):
    """No value of these columns is missing or NaN."""

    columns: tuple[str, ...]


class OneOf(_RowCheck, frozen=True):
    """Every value of a column is one of these; missing values are left to ``not_null``."""

    column: str
    values: tuple[Any, ...]


class Unique(_RowCheck, frozen=True):
    """No two rows agree in all these columns."""

    columns: tuple[str, ...]


class RowCount(_Policy, frozen=True):
    """A dataset has, or an evaluation judges, at least (and at most) so many rows."""

    on = frozenset({"dataset", "evaluation"})
    effect = "rechecks"
    least: int = 0
    most: int | None = None


class Fresh(_Policy, frozen=True):
    """The data's end is no older than this when the gate judges."""

    on = frozenset({"dataset"})
    effect = "rechecks"
    within: str


class Split(_Policy, frozen=True):
    """Rows parted into ``train`` and ``test`` by a stable hash of a group; ``test`` is the latter's share, 0…1."""

    on = frozenset({"dataset"})
    effect = "remakes"
    by: str
    test: float
    despite_time: str = ""


class Files(_Policy, frozen=True):
    """Project files the function reads; glob patterns below the project's folder."""

    many = True
    patterns: tuple[str, ...]


class Owner(_Policy, frozen=True):
    """Who answers for the node."""

    name: str


class Logged(_Policy, frozen=True):
    """How answers are logged: before they are sent if ``durable``; never the fields in ``without``."""

    on = frozenset({"api"})
    durable: bool = False
    without: tuple[str, ...] = ()


class Deprecated(_Policy, frozen=True):
    """What to use instead, and the date after which using this fails."""

    use: str
    until: str


class Private(_Policy, frozen=True):
    """Only these nodes may use it; none named: only nodes of its own module."""

    nodes: tuple[str, ...] = ()


class Was(_Policy, frozen=True):
    """A former name, whose history this node carries on."""

    many = True
    name: str


class Fallback(_Policy, frozen=True):
    """The answer given when the api itself gives none."""

    on = frozenset({"api"})
    effect = "rechecks"
    answer: dict[str, Any]


class Guard(_Policy, frozen=True):
    """What of an api's answers may leave: fields within bounds (both included), or what a function allows.

    ``function`` is ``module:qualname``; its code is part of the api's fingerprint.
    """

    on = frozenset({"api"})
    effect = "remakes"
    many = True
    bounds: dict[str, tuple[float | None, float | None]]
    otherwise: Otherwise
    function: str = ""


class Golden(_Policy, frozen=True):
    """A JSON-lines file of requests that every release must answer."""

    on = frozenset({"api"})
    effect = "rechecks"
    file: str


class AnswersWithin(_Policy, frozen=True):
    """The 99th percentile of a one-row call, in milliseconds."""

    on = frozenset({"api"})
    effect = "rechecks"
    p99_ms: float


class UsedBy(_Policy, frozen=True):
    """Who outside the project calls the api."""

    on = frozenset({"api"})
    many = True
    name: str


class Onnx(_Policy, frozen=True):
    """The model is served as ONNX, which answers as the original does within ``within * max(1, |answer|)``."""

    on = frozenset({"model"})
    effect = "remakes"
    within: float = 1e-4


class AtLeast(_Gate, frozen=True):
    """Metrics that may not be smaller."""

    bars: dict[str, float]


class AtMost(_Gate, frozen=True):
    """Metrics that may not be greater."""

    bars: dict[str, float]


class Inside(_Gate, frozen=True):
    """Metrics that lie in [least, greatest]."""

    bars: dict[str, tuple[float, float]]


class MayRise(_Gate, frozen=True):
    """How much a metric may rise over the current release's: a number, or text like ``2%``."""

    bars: dict[str, float | str]


class MayFall(_Gate, frozen=True):
    """How much a metric may fall below the current release's: a number, or text like ``2%``."""

    bars: dict[str, float | str]


class MayRefuse(_Gate, frozen=True):
    """The share of its rows that the contract may refuse, 0 to 1."""

    share: float


Policy = (
    Every | Time | Key | Revised | Within | NotNull | OneOf | Unique | RowCount | Fresh | Split | Files | Owner | Logged
    | Deprecated | Private | Was | Onnx | Fallback | Guard | Golden | AnswersWithin | UsedBy
    | AtLeast | AtMost | Inside | MayRise | MayFall | MayRefuse
)  # fmt: skip

CHECKS = (Within, NotNull, OneOf, Unique, RowCount)
"""Policies that a snapshot's rows are held against."""


def policy_name(policy: _Policy) -> str:
    """A policy as users write it: ``not_null``, ``rows``."""
    name = type(policy).__name__
    return {
        "RowCount": "rows",
        "GuardFunction": "guard",
        "Logged": "log",
        "Private": "only_for" if getattr(policy, "nodes", ()) else "private",
    }.get(name, re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower())
