"""An evaluation's numbers, held against its bars."""

from __future__ import annotations

import math
from collections.abc import Iterator

import msgspec

from funade.declare.graph import Graph
from funade.declare.policies import allowance
from funade.declare.policy import AtLeast, AtMost, Inside, MayFall, MayRefuse, MayRise, RowCount, policy_name
from funade.declare.spec import Spec
from funade.errors import closest
from funade.store.records import Finding

LEAST_ROWS = 200
"""Fewer judged rows judge nothing, unless ``fn.rows(least=…)`` on the evaluation says otherwise."""

MOST_REFUSED = 0.01
"""The share of its rows that the contract may refuse, unless ``fn.may_refuse`` on the evaluation says otherwise."""

_BARS = (AtLeast, AtMost, Inside, MayRise, MayFall)


class Comparison(msgspec.Struct, frozen=True):
    """One evaluation's numbers: the candidate's, and the current release's on the same rows.

    ``rows`` is how many were judged, ``refused`` how many the contract refused. ``release`` is the current release,
    0 where there is none. ``why`` says why it cannot be compared; ``current`` is then None.
    """

    evaluation: str
    metrics: dict[str, float | None]
    rows: int | None
    refused: int = 0
    release: int = 0
    current: dict[str, float | None] | None = None
    why: str = ""


def findings(spec: Spec, compared: Comparison) -> Iterator[Finding]:
    """One finding for the number of rows, then one for each bar, in the order they are declared.

    One more where the contract refused rows, and for each number that is none and has no bar.
    """
    yield _rows(spec, compared)
    if compared.refused:
        yield _refused(spec, compared)
    for policy in spec.policies:
        if isinstance(policy, AtLeast):
            yield from (_absolute(spec, compared, name, bar, math.inf) for name, bar in policy.bars.items())
        elif isinstance(policy, AtMost):
            yield from (_absolute(spec, compared, name, -math.inf, bar) for name, bar in policy.bars.items())
        elif isinstance(policy, Inside):
            yield from (_absolute(spec, compared, name, *pair) for name, pair in policy.bars.items())
        elif isinstance(policy, MayRise | MayFall):
            rises = isinstance(policy, MayRise)
            yield from (_relative(spec, compared, name, bar, rises=rises) for name, bar in policy.bars.items())
    barred = {name for _, name in _bars_of(spec)}
    for name, value in compared.metrics.items():
        if value is None and name not in barred:
            yield _finding(spec, compared, name, f"{name} to be a number", _got(compared, name), holds=False)


def withdrawn(graph: Graph, current: Graph, release: int) -> Iterator[Finding]:
    """What judged the current release and does not judge the candidate: evaluations, and their bars."""
    for old in current.of_kind("evaluation"):
        new = graph.specs.get(old.name)
        if new is None or new.kind != "evaluation":
            yield _withdrawn(old, f"evaluation `{old.name}`", release)
            continue
        left = _bars_of(new)
        yield from (
            _withdrawn(old, f"{bar}({name}=…)", release) for bar, name in _bars_of(old) if (bar, name) not in left
        )


def _bars_of(spec: Spec) -> list[tuple[str, str]]:
    """Each bar of an evaluation: what users call it, and its number."""
    return [
        (policy_name(policy), name) for policy in spec.policies if isinstance(policy, _BARS) for name in policy.bars
    ]


def _withdrawn(spec: Spec, what: str, release: int) -> Finding:
    return Finding(
        check="bar",
        expected=f"{what} to judge it, as it judged release {release}",
        got="none",
        holds=False,
        at=_at(spec),
        do=f"put it back; {_BECAUSE}",
    )


def rises_too_far(value: float, current: float, bar: float | str) -> bool:
    """Whether a number lies further above the current one than a bar allows; rounding is forgiven to 12 digits.

    >>> rises_too_far(3.06, 3.0, "2%"), rises_too_far(3.07, 3.0, "2%")
    (False, True)
    """
    most = current + allowance(bar, current)
    return value > most and not math.isclose(value, most, rel_tol=1e-12, abs_tol=1e-12)


def shown(value: float, *beside: float) -> str:
    """A number with four digits, or as many more as tell it from those that stand beside it.

    >>> shown(3.4), shown(3.400001, 3.4)
    ('3.4', '3.400001')
    """
    for digits in (4, 7, 12):
        text = f"{value:.{digits}g}"
        if all(value == other or f"{other:.{digits}g}" != text for other in beside):
            return text
    return repr(value)


def _rows(spec: Spec, compared: Comparison) -> Finding:
    policy = spec.policy(RowCount)
    least = policy.least if policy else LEAST_ROWS
    most = policy.most if policy and policy.most is not None else None
    rows = compared.rows or 0
    got = f"{rows}" if rows >= least else f"{rows}: not judged"
    return Finding(
        check="rows",
        expected=f">= {least} judged rows" if most is None else f"{least} to {most} judged rows",
        got=got + (f" ({compared.refused} refused by the contract)" if compared.refused else ""),
        holds=rows >= least and (most is None or rows <= most),
        at=_at(spec),
        do="load more periods, widen its window, or set fn.rows(least=…)" if rows < least else "set fn.rows(most=…)",
    )


def _refused(spec: Spec, compared: Comparison) -> Finding:
    policy = spec.policy(MayRefuse)
    most, asked = policy.share if policy else MOST_REFUSED, (compared.rows or 0) + compared.refused
    return Finding(
        check="refused",
        expected=f"at most {100 * most:g}% of its rows refused by the contract",
        got=f"{compared.refused} of {asked}",
        holds=compared.refused <= most * asked,
        at=_at(spec),
        do='judge rows that the contract takes, or set fn.may_refuse("…%")',
    )


def _absolute(spec: Spec, compared: Comparison, name: str, least: float, greatest: float) -> Finding:
    value = compared.metrics.get(name)
    sides = [bound for bound in (least, greatest) if math.isfinite(bound)]
    text = [shown(bound, *([] if value is None else [value])) for bound in sides]
    if len(sides) == 2:
        expected = f"{text[0]} <= {name} <= {text[1]}"
    else:
        expected = f"{name} {'>=' if math.isfinite(least) else '<='} {text[0]}"
    return _finding(
        spec,
        compared,
        name,
        expected,
        _got(compared, name, *sides),
        holds=value is not None and least <= value <= greatest,
    )


def _relative(spec: Spec, compared: Comparison, name: str, bar: float | str, *, rises: bool) -> Finding:
    value, verb = compared.metrics.get(name), "rise" if rises else "fall"
    may = f"may {verb} {_bar(bar)}"
    if value is None or not compared.release:
        got = _got(compared, name) + ("" if value is None else ", no release to compare with yet")
        return _finding(spec, compared, name, f"{name} to {verb} at most {_bar(bar)}", got, holds=value is not None)
    current = (compared.current or {}).get(name)
    if current is None:
        why = compared.why or f"release {compared.release} has no number {name}"
        got = f"{_got(compared, name)}, not comparable: {why}"
        expected = f"{name} to {verb} at most {_bar(bar)} against release {compared.release}"
        return _finding(spec, compared, name, expected, got, holds=False, do=_BECAUSE)
    sign = 1.0 if rises else -1.0
    bound = current + sign * allowance(bar, current)
    return _finding(
        spec,
        compared,
        name,
        f"{name} {'<=' if rises else '>='} {shown(bound, value)} ({may})",
        _got(compared, name, bound),
        holds=not rises_too_far(sign * value, sign * current, bar),
    )


_BECAUSE = 'if it is good all the same: funade release --because "reason"'


def _finding(
    spec: Spec, compared: Comparison, name: str, expected: str, got: str, *, holds: bool, do: str = ""
) -> Finding:
    rows = f" on {compared.rows} rows" if compared.rows is not None else ""
    if name not in compared.metrics:
        do = closest(name, compared.metrics) or f"return it from {spec.function}"
    return Finding(
        check="bar",
        expected=expected,
        got=got,
        holds=holds,
        at=_at(spec) + rows,
        do=do or f"look at its builds: funade compare {spec.name}",
    )


def _got(compared: Comparison, name: str, *beside: float) -> str:
    """The candidate's number, and the current release's where there is one."""
    if name not in compared.metrics:
        return f"no {name} (its numbers: {', '.join(compared.metrics) or 'none'})"
    value = compared.metrics[name]
    text = "nan" if value is None else shown(value, *beside)
    if compared.current is None or name not in compared.current:
        return text
    current = compared.current[name]
    return f"{text} (release {compared.release}: {'nan' if current is None else shown(current)})"


def _bar(bar: float | str) -> str:
    return bar if isinstance(bar, str) else shown(bar)


def _at(spec: Spec) -> str:
    return f"evaluation `{spec.name}`"
