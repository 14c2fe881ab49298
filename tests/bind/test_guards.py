"""Guards: which answers leave, which are clamped, and which are held back."""

# ruff: noqa: E501 - a message stands whole on its line

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pytest

import funade as fn
from funade.bind.api import BoundApi
from funade.contract.outcome import ERROR, GUARD, NAN, REFUSED
from funade.declare.graph import spec_of
from funade.declare.guard import GuardFunction
from funade.declare.policy import Guard
from funade.errors import AnswerError, DeclarationError, FunadeError
from support import toy
from support.release import answers_of

Array = np.ndarray[Any, Any]
HERE = Path(__file__).parent


class Ride(msgspec.Struct):
    km: float
    zone: str = "A"


class Arrival(msgspec.Struct):
    eta: Annotated[float, msgspec.Meta(ge=0, le=180)]
    seats: Annotated[int, msgspec.Meta(ge=1)] = 4
    pickup: Literal["A", "B", "C"] | None = None
    spare: float | None = None


FORBIDDEN = {"C"}


def allowed(pickup: Array) -> Array:
    return ~np.isin(pickup, [*FORBIDDEN])


def api(*guards: Guard | GuardFunction, fallback: bool = True, **given: Any) -> BoundApi:
    """An api whose function answers the arrays given; ``eta`` is ``km`` unless given."""

    @fn.api(fn.takes(Ride), fn.gives(Arrival), *([fn.fallback(eta=15.0, pickup="A")] if fallback else []), *guards)
    def arrival(batch: fn.Columns, most: int = 4) -> fn.Columns:
        eta = batch["km"].copy()
        batch["zone"][:] = "?"  # what a function does to its batch is no guard's concern
        return {"eta": eta} | {name: np.array(values) for name, values in given.items()}

    return BoundApi(spec_of(arrival, HERE), arrival, {}, {"most": 4}, ZoneInfo("UTC"))


def given(found: BoundApi, *km: float, zones: str = "") -> Any:
    zone = np.array([*(zones or "A" * len(km))], object)
    return found.give({"km": np.array(km, float), "zone": zone}, len(km))


def masks(answer: Any) -> dict[str, list[int]]:
    return {label: np.flatnonzero(mask).tolist() for label, mask in (answer.guards or {}).items()}


def codes(answer: Any) -> dict[int, int]:
    return {row: fault.code for row, fault in sorted(answer.faults.items())}


def test_a_number_beyond_its_bounds_is_clamped_even_where_the_contract_says_the_same() -> None:
    answer = given(api(fn.guard(eta=(0, 180))), -3, 0, 90.5, 180, 400)

    assert answer.columns["eta"].tolist() == [0, 0, 90.5, 180, 180]
    assert masks(answer) == {"eta clamped": [0, 4]}
    assert answer.faults == {}


def test_nothing_is_marked_where_every_answer_may_leave() -> None:
    answer = given(api(fn.guard(eta=(0, 180)), fn.guard(allowed), fn.guard(seats=(1, 8))), 1, 2)

    assert (answer.guards, answer.faults) == (None, {})


@pytest.mark.parametrize(("otherwise", "code"), [("fallback", GUARD), ("reject", REFUSED)])
def test_a_number_beyond_its_bounds_falls_back_or_is_rejected(otherwise: Any, code: int) -> None:
    answer = given(api(fn.guard(eta=(0, 100), otherwise=otherwise)), 1, 101, 500)

    assert codes(answer) == {1: code, 2: code}
    assert answer.faults[1].text == "`eta` 101.0, expected >= 0 and <= 100 by its guard"
    assert masks(answer) == {f"eta {'rejected' if otherwise == 'reject' else otherwise}": [1, 2]}
    assert answer.columns["eta"][0] == 1


def test_infinity_and_nan_are_no_guards_to_clamp() -> None:
    answer = given(api(fn.guard(eta=(0, 180))), math.inf, math.nan, -math.inf, 181, 7)

    assert codes(answer) == {0: NAN, 1: NAN, 2: NAN}
    assert masks(answer) == {"eta clamped": [3]}
    assert answer.columns["eta"][3:].tolist() == [180, 7]


def test_a_missing_number_passes_and_an_open_side_holds_nothing_back() -> None:
    answer = given(
        api(fn.guard(spare=(0, math.inf)), fn.guard(seats=(None, 6)), spare=[None, -1.0, 1e300], seats=[9, 1, 6]),
        1,
        2,
        3,
    )

    assert answer.columns["spare"][1:].tolist() == [0, 1e300] and math.isnan(answer.columns["spare"][0])
    assert answer.columns["seats"].tolist() == [6, 1, 6]
    assert answer.columns["seats"].dtype == np.int64


def test_whole_numbers_beyond_what_a_float_holds_are_kept() -> None:
    answer = given(api(fn.guard(seats=(2, None)), seats=[2**60 + 1, 1]), 1, 2)

    assert answer.columns["seats"].tolist() == [2**60 + 1, 2]


def test_a_function_says_which_answers_leave_by_columns_of_both_sides_inputs_and_settings() -> None:
    seen: list[Any] = []

    def near(pickup: Array, zone: Array, most: int, margin: int = 2) -> Array:
        seen.append((pickup.tolist(), zone.tolist(), most, margin))
        return np.array(pickup == zone)

    answer = given(api(fn.guard(near), pickup=["A", "A", "A"]), 1, 2, 3, zones="ABA")

    assert seen == [(["A", "A", "A"], ["A", "B", "A"], 4, 2)]
    assert codes(answer) == {1: GUARD}
    assert masks(answer) == {"near fallback": [1]}


def test_guards_are_applied_in_order_each_to_what_the_others_let_pass() -> None:
    seen: list[list[float]] = []

    def short(eta: Array) -> Array:
        seen.append(eta.tolist())
        return eta < 100

    guards = fn.guard(seats=(1, 8), otherwise="reject"), fn.guard(short), fn.guard(eta=(5, 50)), fn.guard(allowed)
    one = api(*guards, seats=[4, 4, 99, 4, 4, 4], pickup=["A", "A", "A", "A", "C", None])
    answer = given(one, 1, 400, 60, math.nan, 70, 6)

    assert seen == [[1, 400, 70, 6]]
    assert codes(answer) == {1: GUARD, 2: REFUSED, 3: NAN, 4: GUARD}
    assert masks(answer) == {
        "seats rejected": [2],
        "short fallback": [1],
        "eta clamped": [0, 4],
        "allowed fallback": [4],
    }
    assert answer.columns["eta"][[0, 5]].tolist() == [5, 6]


def test_what_no_guard_holds_back_must_still_keep_the_contract() -> None:
    answer = given(api(fn.guard(allowed), pickup=["A", "C", "Z"]), 1, 400, 2)

    assert codes(answer) == {1: GUARD, 2: ERROR}


def test_a_guard_cannot_change_the_answers_it_sees() -> None:
    def meddling(eta: Array) -> Array:
        eta[:] = 0
        return np.equal(eta, 0)

    with pytest.raises(ValueError, match="read-only"):
        given(api(fn.guard(meddling)), 1, 2)


@pytest.mark.parametrize(
    ("gave", "told"),
    [
        (lambda n: True, "gave bool of shape ()"),
        (lambda n: np.ones(n + 1, bool), "gave bool of shape (3,)"),
        (lambda n: np.ones(n), "gave float64 of shape (2,)"),
        (lambda n: None, "gave object of shape ()"),
    ],
)
def test_a_guard_that_gives_no_bool_for_each_row_fails_loudly(gave: Any, told: str) -> None:
    def wrong(eta: Array) -> Any:
        return gave(len(eta))

    with pytest.raises(AnswerError) as error:
        given(api(fn.guard(wrong)), 1, 2)
    assert str(error.value) == (
        f"guard `wrong` of api `arrival` {told}, expected a bool for each of 2 rows; "
        "return true where the answer may leave"
    )


def test_a_guards_own_exception_is_the_batchs() -> None:
    def broken(eta: Array) -> Array:
        raise KeyError("zone")

    with pytest.raises(KeyError, match="zone"):
        given(api(fn.guard(broken)), 1)


def test_outside_the_server_a_row_held_back_has_the_fallback_and_a_faulty_one_is_an_error() -> None:
    guarded, alone = (
        api(fn.guard(allowed), pickup=["A", "C"]),
        api(fn.guard(allowed), fallback=False, pickup=["A", "C"]),
    )

    answers = answers_of(guarded, [Ride(1.0), Ride(2.0)])

    assert (answers["eta"].tolist(), answers["pickup"].tolist()) == ([1.0, 15.0], ["A", "A"])
    with pytest.raises(AnswerError, match="api `arrival` answered row 1 with values that guard `allowed` does not let"):
        answers_of(alone, [Ride(1.0), Ride(2.0)])
    with pytest.raises(AnswerError, match="answered row 0 with what a guard rejects"):
        answers_of(api(fn.guard(eta=(0, 9), otherwise="reject")), [Ride(10.0)])
    with pytest.raises(AnswerError, match="answered row 1 with `eta` nan, expected a finite number >= 0 and <= 180"):
        answers_of(guarded, [Ride(1.0), Ride(math.nan)])


def refused(*guards: Any) -> str:
    try:
        api(*[guard() if callable(guard) else guard for guard in guards])
    except FunadeError as error:
        return error.what
    return ""


def over(pickup: Array, speed: Array) -> Array:
    return np.equal(pickup, speed)


def both(*pickup: Array) -> Any:
    return pickup


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (lambda: fn.guard(), "policy `guard` expected bounds or a function, got none"),
        (lambda: fn.guard(eta=(180, 0)), "policy `guard` expected eta=(least, greatest), got (180, 0)"),
        (lambda: fn.guard(eta=(None, None)), "policy `guard` expected eta=(least, greatest), got (None, None)"),
        (lambda: fn.guard(eta=(math.nan, 1)), "policy `guard` expected eta=(least, greatest), got (nan, 1)"),
        (lambda: fn.guard(eta=180), "policy `guard` expected eta=(least, greatest), got 180"),  # type: ignore[arg-type]
        (lambda: fn.guard(allowed, eta=(0, 1)), "policy `guard` expected bounds or a function, got both (`eta`)"),
        (lambda: fn.guard(lambda eta: eta > 0), "policy `guard` expected a function with a name, got a lambda"),
        (lambda: fn.guard(allowed, otherwise="clamp"), "policy `guard` expected bounds to clamp to, got the function `allowed`"),
        (lambda: fn.guard(eta=(0, 1), otherwise="drop"), "policy `guard` expected otherwise= one of clamp, fallback, reject, got 'drop'"),  # type: ignore[arg-type]
        (lambda: fn.guard(etaa=(0, 1)), "api `arrival` expected a field of its answer under `guard`, got `etaa`"),
        (lambda: fn.guard(pickup=(0, 1)), "api `arrival` expected a number under `guard`, got `pickup`, which is str"),
        (lambda: fn.guard(eta=(0, 200)), "api `arrival` expected `eta` clamped to values of its contract, got 200"),
        (lambda: fn.guard(seats=(1.5, 4)), "api `arrival` expected `seats` clamped to values of its contract, got 1.5"),
        (lambda: fn.guard(over), "guard `over` of api `arrival` expected parameters named as columns, inputs or settings of its api, got `speed`"),
        (lambda: fn.guard(both), "guard `both` of api `arrival` expected parameters that can be given by name, got `*pickup`"),
    ],
)  # fmt: skip
def test_a_guard_that_cannot_be_kept_is_refused_at_import(policy: Any, told: str) -> None:
    assert refused(policy) == told


def test_bounds_that_hold_back_may_lie_outside_the_contract() -> None:
    assert refused(fn.guard(eta=(-10, 200), otherwise="fallback")) == ""


def test_a_name_on_both_sides_is_refused() -> None:
    class Same(msgspec.Struct):
        eta: float

    def fine(eta: Array) -> Array:
        return eta > 0

    @fn.api(fn.takes(Same), fn.gives(Same), fn.guard(fine))
    def same(batch: fn.Columns) -> fn.Columns:
        return batch

    with pytest.raises(DeclarationError, match="guard `fine` of api `same` expected one meaning of `eta`, got 2"):
        spec_of(same, HERE)


GUARDED = """fn.fallback(score=0.0, high=False),
        fn.guard(score=(0, 50)), fn.guard(calm),"""
CALM = """
def calm(score, x):
    return score < limit(x)

def limit(x):
    return 6 * x + 40

@fn.api("""


def with_guards(root: Path) -> None:
    toy.edit(root, "nodes", "fn.fallback(score=0.0, high=False),", GUARDED)
    toy.edit(root, "nodes", "@fn.api(", CALM.lstrip("\n"))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("score=(0, 50)", "score=(0, 40)", "toy.nodes:judge guards"),
        ("guard(score=(0, 50))", 'guard(score=(0, 50), otherwise="reject")', "toy.nodes:judge guards"),
        ("return score < limit(x)", "return score <= limit(x)", "toy.nodes:calm"),
        ("return 6 * x + 40", "return 6 * x + 41", "toy.nodes:limit"),
        (", fn.guard(calm),", ",", "toy.nodes:calm, toy.nodes:judge guards, toy.nodes:limit"),
        ("return score < limit(x)", "return (score < limit(x))  # calm", ""),
    ],
)
def test_a_changed_guard_is_another_api_and_its_release_another_release(
    root: Path, old: str, new: str, why: str
) -> None:
    with_guards(root)
    here = toy.project(root)
    toy.load(here)
    first = toy.ship(here)
    before = here.plan()["judge"].version

    toy.edit(root, "nodes", old, new)
    here = toy.project(root)
    said = {s.node: s.why for s in here.status()}

    assert (here.plan()["judge"].version == before) is (why == "")
    if why:
        assert any(f"code changed: {why}" in line for line in said["judge"])
        assert toy.ship(here) == first + 1
