"""A declared function stays a function: callable, typed, documented; what stands above it is read, frozen and kept."""

# ruff: noqa: E501 - a message stands whole on its line

from __future__ import annotations

import functools
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

import funade as fn
from funade.declare import policy as policies
from funade.declare.node import Node
from funade.declare.policy import policy_name
from funade.errors import DeclarationError

if TYPE_CHECKING:
    from typing import assert_type


class Ride(msgspec.Struct):
    metres: float


class Verdict(msgspec.Struct):
    minutes: float


@fn.source(fn.every("1 day", since="2022-01-01"), fn.time("at"), fn.key("ride"))
def rides(day: str, folder: Path = fn.place("tlc"), token: fn.Secret = fn.secret("RIDES_TOKEN")) -> fn.Columns:
    """One day's rides."""
    return {"day": np.array([day])}


@fn.dataset(rides=rides)
def slow(rides: fn.Columns) -> fn.Columns:
    return {name: values[values > 3] for name, values in rides.items()}


@fn.model(rides=slow.last(days=7))
def speed(rides: fn.Columns, least: float = 1.0, names: tuple[str, ...] = ("a", "b")) -> dict[str, float]:
    """Metres a minute."""
    return {"speed": max(least, float(rides["x"].mean()))}


@fn.api(fn.takes(Ride), fn.gives(Verdict), model=speed)
def arrival(batch: fn.Columns, model: dict[str, float], *, extra: float = 0.0) -> fn.Columns:
    return {"minutes": batch["metres"] / model["speed"] + extra}


@fn.evaluation(fn.at_most(mae=3.4), answers=arrival.on(slow.last(days=1)))
def quality(answers: fn.Columns) -> dict[str, float]:
    return {"mae": 0.0}


def typed() -> None:
    """Read by mypy, which keeps each function's signature, and never run."""
    if TYPE_CHECKING:
        assert_type(speed({}, least=2.0), dict[str, float])
        assert_type(quality({}), dict[str, float])
        speed({}, least="two")  # type: ignore[arg-type]
        speed({}, lest=2.0)  # type: ignore[call-arg]
        rides()  # type: ignore[call-arg]
        fn.model(rows=5)  # type: ignore[arg-type]
        fn.source(slow)  # type: ignore[arg-type]
        slow.last(weeks=1)  # type: ignore[call-arg]


def test_a_declared_function_is_called_as_it_was_written() -> None:
    assert slow({"x": np.array([1, 5])})["x"].tolist() == [5]
    assert speed({"x": np.array([2.0, 4.0])}) == {"speed": 3.0}
    assert speed(rides={"x": np.array([2.0])}, least=5.0) == {"speed": 5.0}
    assert arrival({"metres": np.array([30.0])}, {"speed": 10.0}, extra=1.0)["minutes"].tolist() == [4.0]


def test_name_docstring_module_and_signature_stay_the_functions() -> None:
    assert (speed.__name__, speed.__qualname__, speed.__module__) == ("speed", "speed", __name__)
    assert speed.__doc__ == "Metres a minute."
    assert list(inspect.signature(speed).parameters) == ["rides", "least", "names"]
    assert inspect.unwrap(speed) is speed.function
    assert repr(speed).startswith("<model `speed` at declare/test_decorators.py:") or "test_decorators.py:" in repr(
        speed
    )


def test_an_exception_of_the_function_is_its_own() -> None:
    with pytest.raises(KeyError, match="'x'"):
        speed({})


def test_parameters_are_read_as_period_batch_input_setting_place_and_secret() -> None:
    assert (rides.batch, rides.places, rides.secrets) == ("day", {"folder": "tlc"}, {"token": "RIDES_TOKEN"})
    assert (arrival.batch, arrival.settings, list(arrival.inputs)) == ("batch", {"extra": 0.0}, ["model"])
    assert speed.settings == {"least": 1.0, "names": ["a", "b"]}
    assert (speed.forms["rides"], arrival.result_form) == ("columns", "columns")


def test_a_settings_value_is_a_copy_that_later_changes_do_not_reach() -> None:
    bands = [1, 2]

    @fn.model()
    def banded(bands: list[int] = bands) -> dict[str, int]:
        return {}

    bands.append(3)

    assert banded.settings == {"bands": [1, 2]}


def test_a_secret_is_neither_shown_nor_given_before_it_is_there() -> None:
    from funade.errors import PlaceMissing

    secret = fn.Secret("TOKEN", "hush")

    assert (repr(secret), f"{secret}", secret.reveal()) == ("Secret('TOKEN')", "Secret('TOKEN')", "hush")
    with pytest.raises(PlaceMissing) as missing:
        fn.secret("TOKEN").reveal()
    assert str(missing.value) == "secret `TOKEN` expected a value, got none; set TOKEN or TOKEN_FILE"


def test_a_wrapped_function_keeps_the_name_it_was_given() -> None:
    def loud(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @fn.threshold(model=speed)
    @loud
    def limit(model: dict[str, float], share: float = 0.9) -> float:
        return model["speed"] * share

    assert (limit.name, limit.settings, limit({"speed": 10.0})) == ("limit", {"share": 0.9}, 9.0)


EVERY_POLICY = [
    fn.every("1 day", since="2022-01-01"),
    fn.time("at"),
    fn.key("ride"),
    fn.revised("45 days"),
    fn.within("x", 0, 1),
    fn.not_null("x"),
    fn.one_of("x", "a", "b"),
    fn.unique("x"),
    fn.rows(10),
    fn.fresh("2 days"),
    fn.split(by="user", test=0.2),
    fn.files("sql/*.sql"),
    fn.owner("team"),
    fn.log(durable=True, without=("phone",)),
    fn.deprecated("use b", until="2027-03-31"),
    fn.private(),
    fn.only_for("b"),
    fn.was("old"),
    fn.fallback(minutes=1.0),
    fn.guard(minutes=(0, 180)),
    fn.golden("rows.jsonl"),
    fn.answers_within(p99_ms=50),
    fn.used_by("dispatch"),
    fn.onnx(within=1e-3),
    fn.at_least(precision=0.3),
    fn.at_most(mae=3.4),
    fn.inside(kept=(0.88, 0.92)),
    fn.may_rise(mae="2%"),
    fn.may_fall(recall=0.01),
    fn.may_refuse("5%"),
]


@pytest.mark.parametrize("policy", EVERY_POLICY, ids=policy_name)
def test_a_policy_is_frozen_and_bears_the_name_that_users_write(policy: Any) -> None:
    with pytest.raises(AttributeError):
        setattr(policy, policy.__struct_fields__[0] if policy.__struct_fields__ else "x", "other")

    assert callable(getattr(fn, policy_name(policy)))
    assert msgspec.convert(msgspec.to_builtins(policy), policies.Policy) == policy


def test_every_policy_is_listed_above() -> None:
    import typing

    assert {type(policy) for policy in EVERY_POLICY} == set(typing.get_args(policies.Policy))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: fn.key(), "policy `key` expected one or more names, got ()"),
        (lambda: fn.key(""), "policy `key` expected one or more names, got ('',)"),
        (lambda: fn.time(""), "policy `time` expected a name, got ''"),
        (lambda: fn.owner(None), "policy `owner` expected a name, got None"),  # type: ignore[arg-type]
        (lambda: fn.revised("soon"), "length of time expected like '45 days' or '1 hour', got 'soon'"),
        (lambda: fn.fresh(2), "length of time expected like '45 days' or '1 hour', got 2"),  # type: ignore[arg-type]
        (lambda: fn.within("x"), "policy `within` on `x` expected a bound, got none"),
        (lambda: fn.within("x", 2, 1), "policy `within` on `x` expected least <= greatest, got 2, 1"),
        (lambda: fn.one_of("x"), "policy `one_of` on `x` expected values, got none"),
        (lambda: fn.rows(10, 5), "policy `rows` expected 0 <= least <= most, got 10, 5"),
        (lambda: fn.rows(-1), "policy `rows` expected 0 <= least <= most, got -1, None"),
        (lambda: fn.split(by="x", test=1), "policy `split` expected 0 < test < 1, got 1; give the share to judge on: test=0.2"),
        (lambda: fn.deprecated("b", until="soon"), "policy `deprecated` expected until= an ISO date like '2027-03-31', got 'soon'"),
        (lambda: fn.deprecated("b", until=2027), "policy `deprecated` expected until= an ISO date like '2027-03-31', got 2027"),  # type: ignore[arg-type]
        (lambda: fn.only_for(5), "policy `only_for` expected one or more names, got (5,)"),
        (lambda: fn.fallback(x=float("nan")), "policy `fallback` expected JSON values, got nan"),
        (lambda: fn.answers_within(p99_ms=0), "policy `answers_within` expected milliseconds above 0, got 0"),
        (lambda: fn.at_least(), "gate `at_least` expected a metric, got none; write fn.at_least(mae=3.4)"),
        (lambda: fn.at_most(mae=float("nan")), "gate `at_most` expected a number for mae, got nan"),
        (lambda: fn.at_most(mae=True), "gate `at_most` expected a number for mae, got True"),
        (lambda: fn.inside(kept=(2, 1)), "gate `inside` expected kept=(least, greatest), got (2, 1)"),
        (lambda: fn.inside(kept=0.9), "gate `inside` expected kept=(least, greatest), got 0.9"),  # type: ignore[arg-type]
        (lambda: fn.inside(kept=("a", "b")), "gate `inside` expected kept=(least, greatest), got ('a', 'b')"),  # type: ignore[arg-type]
        (lambda: fn.inside(), "gate `inside` expected a metric, got none; write fn.inside(mae=(.88, .92))"),
        (lambda: fn.may_rise(mae=-1), "gate `may_rise` expected a number or a share like '2%' for mae, got -1"),
        (lambda: fn.may_fall(mae="2"), "gate `may_fall` expected a number or a share like '2%' for mae, got '2'"),
        (lambda: fn.may_refuse("101%"), "gate `may_refuse` expected a share like '5%', got '101%'"),
        (lambda: fn.may_refuse("5"), "gate `may_refuse` expected a share like '5%', got '5'"),
        (lambda: fn.may_fall(mae=float("inf")), "gate `may_fall` expected a number or a share like '2%' for mae, got inf"),
        (lambda: slow.trust(" "), "trust expected a reason, got none"),
    ],
)  # fmt: skip
def test_a_policy_that_means_nothing_is_refused(make: Callable[[], object], told: str) -> None:
    with pytest.raises(DeclarationError) as refusal:
        make()

    assert str(refusal.value) == told


def test_trusted_rows_carry_their_reason() -> None:
    @fn.threshold(rows=slow.last(days=7).trust("other riders"))
    def limit(rows: fn.Columns) -> float:
        return 1.0

    assert limit.inputs["rows"].trusted == "other riders"  # type: ignore[union-attr]


def test_a_time_column_is_inherited_from_exactly_one_input() -> None:
    @fn.dataset(one=rides, other=slow)
    def joined(one: fn.Columns, other: fn.Columns) -> fn.Columns:
        return one

    assert (rides.time_column(), slow.time_column(), joined.time_column()) == ("at", "at", "")


def test_drill_W25_a_random_split_of_time_ordered_rows_is_refused_and_the_leak_explained() -> None:
    @fn.source(fn.every("1 day", since="2022-01-01"), fn.time("at"))
    def visits(day: str) -> dict[str, Any]:
        return {"at": [day]}

    with pytest.raises(DeclarationError, match="what is judged on the past would have been fitted on its future"):

        @fn.dataset(fn.split(by="user", test=0.2), visits=visits)
        def parted(visits: dict[str, Any]) -> dict[str, Any]:
            return visits


def test_a_random_split_of_dated_rows_stands_when_its_reason_is_said() -> None:
    @fn.dataset(fn.split(by="rider", test=0.2, despite_time="riders do not change"), rides=rides)
    def parted(rides: fn.Columns) -> fn.Columns:
        return rides

    assert [parted.train.part, parted.test.part] == ["train", "test"]


def test_no_module_of_funade_takes_the_name_of_something_that_users_call() -> None:
    # Importing `funade.x` sets `fn.x`: a module of that name would replace the function.
    modules = {module.name for module in pkgutil.iter_modules(fn.__path__)}

    assert not modules & set(fn.__all__)


@pytest.mark.parametrize("name", fn.__all__)
def test_every_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(fn, name) is not None
    assert name in dir(fn)


def test_a_name_that_funade_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'funade' has no attribute 'modle'$"):
        fn.modle  # type: ignore[attr-defined]


def test_declaring_imports_neither_duckdb_pyarrow_numpy_nor_pandas() -> None:
    script = (
        "import sys, funade as fn\n"
        "@fn.model()\ndef rule(least: float = 1.0) -> dict: return {}\n"
        "print(sorted({'duckdb', 'pyarrow', 'numpy', 'pandas', 'polars', 'sklearn', 'lightgbm'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


def test_a_node_declared_in_a_cell_can_be_called() -> None:
    cell = (
        "import funade as fn\n"
        "@fn.model()\ndef rule(least: float = 1.0) -> dict:\n    return {'least': least}\n"
        "@fn.dataset(rule=rule)\ndef table(rule: dict) -> dict:\n    return rule\n"
    )
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(cell, "<ipython-input-1>", "exec"), names)

    assert isinstance(names["rule"], Node)
    assert names["table"](names["rule"](least=2.0)) == {"least": 2.0}
    assert names["rule"].place == "<ipython-input-1>:2"
