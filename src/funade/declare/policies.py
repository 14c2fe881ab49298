"""The functions that make policies, as users call them: ``fn.within("fare", 0, 100)``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import msgspec

from funade.declare import policy as p
from funade.declare.period import span
from funade.declare.setting import is_json
from funade.errors import DeclarationError


def every(period: str, *, since: str, at: str = "00:00") -> p.Every:
    """A source's periods: ``1 hour``, ``1 day``, ``1 week`` or ``1 month`` from the ISO date ``since``.

    A period is due once the time of day ``at`` has passed after its end.
    """
    return p.Every(period, since, at)


def time(column: str) -> p.Time:
    """The column that dates a row; naive times are taken in the project's time zone."""
    return p.Time(_name("time", column))


def key(*columns: str) -> p.Key:
    """The columns that name a row."""
    return p.Key(_some("key", columns))


def revised(within: str) -> p.Revised:
    """For how long after its end a period may still change at its origin, like ``45 days``."""
    span(within)
    return p.Revised(within)


def within(column: str, least: float | None = None, greatest: float | None = None) -> p.Within:
    """Every value of ``column`` lies in [least, greatest]; None, or infinity, leaves a side open."""
    least, greatest = (None if bound in (-math.inf, math.inf) else bound for bound in (least, greatest))
    if least is None and greatest is None:
        raise DeclarationError(f"policy `within` on `{column}` expected a bound, got none")
    if least is not None and greatest is not None and least > greatest:
        raise DeclarationError(f"policy `within` on `{column}` expected least <= greatest, got {least}, {greatest}")
    return p.Within(column, least, greatest)


def not_null(*columns: str) -> p.NotNull:
    """No value of these columns is missing or NaN."""
    return p.NotNull(_some("not_null", columns))


def one_of(column: str, *values: Any) -> p.OneOf:
    """Every value of ``column`` is one of ``values``."""
    if not values:
        raise DeclarationError(f"policy `one_of` on `{column}` expected values, got none")
    return p.OneOf(column, tuple(_json("one_of", value) for value in values))


def unique(*columns: str) -> p.Unique:
    """No two rows agree in all these columns."""
    return p.Unique(_some("unique", columns))


def rows(least: int = 0, most: int | None = None) -> p.RowCount:
    """How many rows a dataset has, or an evaluation judges at least (200 unless said)."""
    if least < 0 or (most is not None and most < least):
        raise DeclarationError(f"policy `rows` expected 0 <= least <= most, got {least}, {most}")
    return p.RowCount(least, most)


def fresh(within: str) -> p.Fresh:
    """The data's end is at most this old when the gate judges, like ``2 days``."""
    span(within)
    return p.Fresh(within)


def split(*, by: str, test: float, despite_time: str = "") -> p.Split:
    """Part rows into ``.train`` and ``.test`` by a stable hash of ``by``; ``test`` is the latter's share."""
    if not 0 < test < 1:
        raise DeclarationError(
            f"policy `split` expected 0 < test < 1, got {test}", do="give the share to judge on: test=0.2"
        )
    return p.Split(by, float(test), despite_time)


def files(*patterns: str) -> p.Files:
    """Project files the function reads, as glob patterns below the project's folder; they count as its code."""
    return p.Files(_some("files", patterns))


def owner(name: str) -> p.Owner:
    """Who answers for the node."""
    return p.Owner(_name("owner", name))


def log(*, durable: bool = False, without: Sequence[str] = ()) -> p.Logged:
    """How an api's answers are logged; without this policy each is, soon after it was sent.

    Args:
        durable: an answer is sent only once it is on the disk, and refused where it cannot be.
        without: fields of requests and answers that are never written; such an answer cannot be given again.
    """
    if isinstance(without, str):
        raise DeclarationError(
            f"policy `log` expected without= a list of fields, got {without!r}", do=f"write without=[{without!r}]"
        )
    return p.Logged(durable, _some("log", tuple(without)) if without else ())


def deprecated(use: str, *, until: str) -> p.Deprecated:
    """Say what to use instead; using the node after the ISO date ``until`` fails."""
    try:
        date.fromisoformat(until)
    except (TypeError, ValueError):
        raise DeclarationError(
            f"policy `deprecated` expected until= an ISO date like '2027-03-31', got {until!r}"
        ) from None
    return p.Deprecated(use, until)


def private() -> p.Private:
    """Only nodes of the same module may use this one."""
    return p.Private()


def only_for(*nodes: Any) -> p.Private:
    """Only these nodes (or names) may use this one."""
    return p.Private(_some("only_for", tuple(getattr(n, "name", n) for n in nodes)))


def was(name: str) -> p.Was:
    """A former name of the node, whose history goes on here."""
    return p.Was(_name("was", name))


def onnx(*, within: float = 1e-4) -> p.Onnx:
    """Serve the model converted to ONNX, refused when an answer differs from the original's by more than ``within``.

    The difference is absolute for answers up to 1 and relative above.
    """
    if not _finite(within) or not 0 < within < 1:
        raise DeclarationError(
            f"policy `onnx` expected 0 < within < 1, got {within!r}", do="write fn.onnx(), or fn.onnx(within=1e-3)"
        )
    return p.Onnx(float(within))


def fallback(**answer: Any) -> p.Fallback:
    """The answer given when the api itself gives none: a value for each field of its contract."""
    return p.Fallback({field: _json("fallback", value) for field, value in answer.items()})


def golden(file: str) -> p.Golden:
    """A JSON-lines file of requests, below the project's folder, that every release must answer."""
    return p.Golden(_name("golden", file))


def answers_within(*, p99_ms: float) -> p.AnswersWithin:
    """The 99th percentile of a one-row call stays below ``p99_ms`` milliseconds at the gate."""
    if not p99_ms > 0:
        raise DeclarationError(f"policy `answers_within` expected milliseconds above 0, got {p99_ms}")
    return p.AnswersWithin(float(p99_ms))


def used_by(name: str) -> p.UsedBy:
    """Somebody outside the project who calls the api."""
    return p.UsedBy(_name("used_by", name))


def at_least(**bars: float) -> p.AtLeast:
    """Metrics that may not be smaller: ``at_least(precision=0.3)``."""
    return p.AtLeast(_numbers("at_least", bars))


def at_most(**bars: float) -> p.AtMost:
    """Metrics that may not be greater: ``at_most(mae=3.4)``."""
    return p.AtMost(_numbers("at_most", bars))


def inside(**bars: tuple[float, float]) -> p.Inside:
    """Metrics that lie between two numbers, both included: ``inside(kept=(.88, .92))``."""
    for name, bar in bars.items():
        pair = isinstance(bar, tuple | list) and len(bar) == 2 and all(map(_finite, bar))
        if not pair or bar[0] > bar[1]:
            raise DeclarationError(f"gate `inside` expected {name}=(least, greatest), got {bar!r}")
    return p.Inside(_bars("inside", {name: (float(bar[0]), float(bar[1])) for name, bar in bars.items()}, "(.88, .92)"))


def may_rise(**bars: float | str) -> p.MayRise:
    """How much a metric may rise over the current release's: ``may_rise(mae="2%")``."""
    return p.MayRise(_changes("may_rise", bars))


def may_refuse(share: str) -> p.MayRefuse:
    """How many of an evaluation's rows the contract may refuse, like ``5%``; one of a hundred unless said."""
    try:
        number = allowance(share, 1.0) if share.endswith("%") else math.nan
    except (AttributeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise DeclarationError(f"gate `may_refuse` expected a share like '5%', got {share!r}")
    return p.MayRefuse(number)


def may_fall(**bars: float | str) -> p.MayFall:
    """How much a metric may fall below the current release's: ``may_fall(recall=0.01)``."""
    return p.MayFall(_changes("may_fall", bars))


def allowance(bar: float | str, current: float) -> float:
    """What a change bar allows in absolute terms: ``"2%"`` is 2 % of ``abs(current)``.

    >>> round(allowance("2%", 4.0), 3)
    0.08
    """
    if isinstance(bar, str):
        return float(bar.removesuffix("%")) / 100 * abs(current)
    return float(bar)


def _name(policy: str, value: str) -> str:
    if not isinstance(value, str) or not value:
        raise DeclarationError(f"policy `{policy}` expected a name, got {value!r}")
    return value


def _some(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    if not values or not all(isinstance(v, str) and v for v in values):
        raise DeclarationError(f"policy `{name}` expected one or more names, got {values!r}")
    return values


def _numbers(name: str, bars: dict[str, float]) -> dict[str, float]:
    for metric, bar in bars.items():
        if not _finite(bar):
            raise DeclarationError(f"gate `{name}` expected a number for {metric}, got {bar!r}")
    return _bars(name, {metric: float(bar) for metric, bar in bars.items()})


def _changes(name: str, bars: dict[str, float | str]) -> dict[str, float | str]:
    for metric, bar in bars.items():
        try:
            good = 0 <= allowance(bar, 1.0) < math.inf and (not isinstance(bar, str) or bar.endswith("%"))
        except (TypeError, ValueError):
            good = False
        if not good:
            raise DeclarationError(f"gate `{name}` expected a number or a share like '2%' for {metric}, got {bar!r}")
    return _bars(name, bars)


def _bars(name: str, bars: dict[str, Any], example: str = "3.4") -> dict[str, Any]:
    if not bars:
        raise DeclarationError(f"gate `{name}` expected a metric, got none", do=f"write fn.{name}(mae={example})")
    return bars


def _finite(bar: object) -> bool:
    return isinstance(bar, int | float) and not isinstance(bar, bool) and math.isfinite(bar)


def _json(name: str, value: object) -> Any:
    try:
        plain = msgspec.to_builtins(value)
    except TypeError:
        plain = math.nan
    if not is_json(plain):
        raise DeclarationError(f"policy `{name}` expected JSON values, got {value!r}")
    return plain
