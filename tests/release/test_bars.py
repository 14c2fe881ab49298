"""Bars: what an evaluation's numbers must be, alone and beside the current release's."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from funade.declare import policies as fn
from funade.declare.graph import Graph
from funade.declare.policy import Policy
from funade.declare.spec import Spec
from funade.release import bars
from funade.release.bars import Comparison
from funade.store.records import Finding

numbers = st.floats(-1e6, 1e6, allow_nan=False)
shares = st.integers(0, 300).map(lambda n: f"{n}%")


def judged(
    *policies: Policy,
    metrics: dict[str, float | None] | None = None,
    current: dict[str, float | None] | None = None,
    release: int = 0,
    rows: int | None = 12480,
    refused: int = 0,
    why: str = "",
) -> list[Finding]:
    spec = Spec("evaluation", "quality", "toy/nodes.py:9", "toy.nodes", "quality", policies=policies)
    compared = Comparison("quality", metrics or {}, rows, refused, release, current, why)
    return list(bars.findings(spec, compared))


def bar(*policies: Policy, **told: object) -> Finding:
    (_, found) = judged(*policies, **told)  # type: ignore[arg-type]
    return found


def test_a_number_below_its_bar_is_told_beside_the_current_releases() -> None:
    found = bar(fn.at_least(precision=0.9), metrics={"precision": 0.86}, current={"precision": 0.93}, release=40)
    assert found == Finding(
        check="bar",
        expected="precision >= 0.9",
        got="0.86 (release 40: 0.93)",
        holds=False,
        at="evaluation `quality` on 12480 rows",
        do="look at its builds: funade compare quality",
    )


def test_each_kind_of_bar_says_what_it_expects() -> None:
    metrics: dict[str, float | None] = {"mae": 3.5, "kept": 0.87, "recall": 0.5}
    found = judged(
        fn.at_most(mae=3.4),
        fn.inside(kept=(0.88, 0.92)),
        fn.may_rise(mae="2%"),
        fn.may_fall(recall=0.01),
        metrics=metrics,
        current={"mae": 3.4, "kept": 0.9, "recall": 0.52},
        release=7,
    )
    assert [(f.expected, f.got, f.holds) for f in found[1:]] == [
        ("mae <= 3.4", "3.5 (release 7: 3.4)", False),
        ("0.88 <= kept <= 0.92", "0.87 (release 7: 0.9)", False),
        ("mae <= 3.468 (may rise 2%)", "3.5 (release 7: 3.4)", False),
        ("recall >= 0.51 (may fall 0.01)", "0.5 (release 7: 0.52)", False),
    ]


def test_a_number_that_is_not_one_fails_every_bar() -> None:
    found = judged(
        fn.at_least(a=0), fn.at_most(a=0), fn.inside(a=(0, 1)), fn.may_rise(a=1), fn.may_fall(a=1), metrics={"a": None}
    )
    assert [(f.got, f.holds) for f in found[1:]] == [("nan", False)] * 5


def test_a_bar_on_a_number_that_was_not_returned_names_those_that_were() -> None:
    found = bar(fn.at_most(mea=3.4), metrics={"mae": 3.0, "bias": 0.1})
    assert (found.expected, found.got, found.holds, found.do) == (
        "mea <= 3.4",
        "no mea (its numbers: mae, bias)",
        False,
        "did you mean `mae`?",
    )
    found = bar(fn.may_rise(rmse="2%"), metrics={}, current={}, release=3)
    assert (found.expected, found.got, found.holds, found.do) == (
        "rmse to rise at most 2%",
        "no rmse (its numbers: none)",
        False,
        "return it from quality",
    )


def test_before_the_first_release_relative_bars_hold_and_say_so() -> None:
    found = bar(fn.may_rise(mae="2%"), metrics={"mae": 3.0})
    assert (found.expected, found.got, found.holds) == (
        "mae to rise at most 2%",
        "3, no release to compare with yet",
        True,
    )


def test_what_cannot_be_compared_does_not_hold_and_asks_for_a_reason() -> None:
    found = bar(fn.may_fall(recall=0.01), metrics={"recall": 0.9}, release=40, why="its `screen` fails on the rows")
    assert (found.expected, found.got, found.holds, found.do) == (
        "recall to fall at most 0.01 against release 40",
        "0.9, not comparable: its `screen` fails on the rows",
        False,
        'if it is good all the same: funade release --because "reason"',
    )


@pytest.mark.parametrize("current", [{}, {"recall": None}])
def test_a_current_number_that_is_none_cannot_be_compared(current: dict[str, float | None]) -> None:
    found = bar(fn.may_fall(recall=0.01), metrics={"recall": 0.9}, release=40, current=current)
    assert not found.holds
    assert found.got.endswith("not comparable: release 40 has no number recall")


def test_fewer_than_200_rows_judge_nothing_unless_the_evaluation_says_so() -> None:
    (found,) = judged(rows=199)
    assert found == Finding(
        check="rows",
        expected=">= 200 judged rows",
        got="199: not judged",
        holds=False,
        at="evaluation `quality`",
        do="load more periods, widen its window, or set fn.rows(least=…)",
    )
    assert judged(rows=200)[0].holds
    assert judged(fn.rows(least=50), rows=50)[0].holds
    assert not judged(rows=None)[0].holds
    (found, _) = judged(fn.rows(least=1, most=10), rows=11, refused=3)
    assert (found.expected, found.got, found.holds) == (
        "1 to 10 judged rows",
        "11 (3 refused by the contract)",
        False,
    )


def test_a_number_is_never_shown_equal_to_a_bar_it_misses() -> None:
    found = bar(fn.at_most(mae=3.4), metrics={"mae": 3.4000001})
    assert (found.expected, found.got, found.holds) == ("mae <= 3.4", "3.4000001", False)


@given(current=numbers, bar_=numbers.map(abs), rise=numbers)
def test_an_absolute_allowance_is_added_as_it_is(current: float, bar_: float, rise: float) -> None:
    assume(abs(rise - bar_) > 1e-6)
    assert bars.rises_too_far(current + rise, current, bar_) == (rise > bar_)


@given(current=numbers, share=shares, moved=st.floats(-3, 3))
def test_a_relative_allowance_is_a_share_of_the_current_numbers_size(current: float, share: str, moved: float) -> None:
    part = float(share[:-1]) / 100
    assume(abs(current) > 1e-3 and abs(moved - part) > 1e-6)
    assert bars.rises_too_far(current + moved * abs(current), current, share) == (moved > part)


@given(value=numbers, current=numbers, share=shares)
def test_what_may_rise_and_what_may_fall_mirror_each_other(value: float, current: float, share: str) -> None:
    rises = bar(fn.may_rise(m=share), metrics={"m": value}, current={"m": current}, release=1)
    falls = bar(fn.may_fall(m=share), metrics={"m": -value}, current={"m": -current}, release=1)
    assert rises.holds == falls.holds


@given(current=numbers, share=shares)
def test_the_same_number_and_the_very_bound_hold(current: float, share: str) -> None:
    bound = current + float(share[:-1]) / 100 * abs(current)
    assert not bars.rises_too_far(current, current, share)
    assert not bars.rises_too_far(bound, current, share)


@given(value=numbers, bound=numbers)
def test_one_of_at_least_and_at_most_holds_and_both_only_at_the_bar(value: float, bound: float) -> None:
    least = bar(fn.at_least(m=bound), metrics={"m": value})
    most = bar(fn.at_most(m=bound), metrics={"m": value})
    assert least.holds or most.holds
    assert (least.holds and most.holds) == (value == bound)
    for found in (least, most):
        if not found.holds:
            assert found.got != found.expected.split()[-1]
            assert math.isfinite(float(found.got))


@pytest.mark.parametrize(
    ("policies", "rows", "refused", "holds"),
    [
        ((), 9900, 100, True),
        ((), 9899, 101, False),
        ((), 222, 378, False),
        ((), 0, 1, False),
        ((fn.may_refuse("63%"),), 222, 378, True),
        ((fn.may_refuse("0%"),), 9999, 1, False),
    ],
)
def test_no_more_of_the_rows_are_refused_than_may_be(
    policies: tuple[Policy, ...], rows: int, refused: int, holds: bool
) -> None:
    (_, found) = judged(fn.rows(least=0), *policies, rows=rows, refused=refused)
    assert (found.check, found.got, found.holds) == ("refused", f"{refused} of {rows + refused}", holds)


def test_a_number_that_is_none_is_told_without_a_bar_too() -> None:
    (_, barred, found) = judged(fn.at_least(precision=0.9), metrics={"precision": 0.95, "recall": None})
    assert barred.holds and (found.expected, found.got, found.holds) == ("recall to be a number", "nan", False)
    (_, barred) = judged(fn.at_least(precision=0.9), metrics={"precision": None})
    assert (barred.got, barred.holds) == ("nan", False)


def graph(**evaluations: tuple[Policy, ...]) -> Graph:
    return Graph(
        [Spec("evaluation", name, f"toy.py:{name}", "toy", name, policies=bars) for name, bars in evaluations.items()]
    )


def test_what_judged_the_current_release_judges_the_candidate_too() -> None:
    current = graph(quality=(fn.at_most(mae=3, bias=1), fn.may_rise(mae="2%")), speed=(fn.rows(least=5),))
    same = graph(quality=(fn.may_rise(mae="9%"), fn.at_most(bias=2), fn.at_most(mae=4)), speed=(), more=())
    assert list(bars.withdrawn(same, current, 4)) == []
    narrowed = graph(quality=(fn.at_most(mae=3), fn.inside(bias=(0, 1))))
    assert [(found.expected, found.got, found.holds, found.at) for found in bars.withdrawn(narrowed, current, 4)] == [
        ("at_most(bias=…) to judge it, as it judged release 4", "none", False, "evaluation `quality`"),
        ("may_rise(mae=…) to judge it, as it judged release 4", "none", False, "evaluation `quality`"),
        ("evaluation `speed` to judge it, as it judged release 4", "none", False, "evaluation `speed`"),
    ]
