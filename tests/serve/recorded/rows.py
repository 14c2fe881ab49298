"""Rows that are asked for by every door, good ones and bad ones, each under a name."""

# ruff: noqa: E501  (a case a line)

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

EVERYTHING: Row = {
    "fare_yen": 1200.5, "riders": 2, "paid": True, "code": "AB", "at": "2022-03-01T12:00:00.123456+09:00",
    "day": "2022-03-01", "level": "low", "kind": "a", "stars": 1, "note": "hé", "km": 3.25, "seats": 4, "wet": False,
    "until": "2022-03-01T12:00:00Z", "known": 1.25, "often": 9, "tip": 0.5, "spare": "x", "距離": 0.1,
}  # fmt: skip
ORDER: Row = {"dishes": 2, "spice": 0.5, "table": "A1", "kind": "eat in"}
NULLS: Row = dict.fromkeys(("note", "km", "seats", "wet", "until"))


def everything(**changed: Any) -> Row:
    return EVERYTHING | changed


def order(**changed: Any) -> Row:
    return ORDER | changed


def ride(number: int = 1, **changed: Any) -> Row:
    return {"ride": number, "km": 5.0, "demand": 1.0, "rides_30d": 2} | changed


def without(row: Row, *names: str) -> Row:
    return {name: value for name, value in row.items() if name not in names}


def zoned(*zones: str) -> list[Row]:
    return [ride(number, zone=zone) for number, zone in enumerate(zones)]


# Name → (api, one row or an array of them): what every door can say.
SAID: dict[str, tuple[str, Row | list[Row]]] = {
    "one of every type": ("everything", EVERYTHING),
    "an array of every type": ("everything", [EVERYTHING, everything(fare_yen=0.0, level="", kind="", stars=0, note="")]),
    "all that may be missing": ("everything", without(EVERYTHING, "known", "often", "tip", "spare", "距離") | NULLS),
    "missing in one row alone": ("everything", [EVERYTHING, EVERYTHING | NULLS, without(EVERYTHING, "known")]),
    "zeros": ("everything", everything(fare_yen=0.0, riders=0, paid=False, code="", km=0.0, seats=0, known=0.0, often=0)),
    "a moment with its zone": ("everything", everything(at="2022-03-01T12:00:00-05:30")),
    "a moment without a zone": ("everything", everything(at="2022-03-01T12:00:00")),
    "a whole number that loses no digit": ("everything", everything(seats=2**53)),
    "a whole number that would lose digits": ("everything", everything(seats=2**53 + 1)),
    "a long text": ("everything", everything(note="語" * 300)),
    "above a bound": ("everything", everything(fare_yen=100_000.5)),
    "below a bound": ("everything", everything(riders=-4)),
    "at an open bound": ("everything", [EVERYTHING, everything(riders=9)]),
    "another pattern": ("everything", everything(code="ab")),
    "too long": ("everything", everything(code="ABCDE")),
    "no moment": ("everything", everything(at="soon")),
    "no day": ("everything", everything(day="2022-02-30")),
    "no choice of an enum": ("everything", everything(level="high")),
    "no choice of texts": ("everything", everything(kind="c")),
    "no choice of numbers": ("everything", everything(stars=3)),
    "a missing field": ("everything", without(EVERYTHING, "riders")),
    "a missing field in one row": ("everything", [EVERYTHING, EVERYTHING, without(EVERYTHING, "day")]),
    "an order": ("cook", ORDER),
    "orders": ("cook", [order(level=2, note="hot", waiting=0.0, guests=9), ORDER, order(kind="take away", level=3)]),
    "too many dishes": ("cook", [ORDER, order(dishes=21)]),
    "no dishes": ("cook", order(dishes=0)),
    "a fraction below its bound": ("cook", order(spice=1.0)),
    "no table": ("cook", order(table="a1")),
    "a long note": ("cook", order(note="thirteen char")),
    "a ride": ("suggest", ride()),
    "rides": ("suggest", [ride(n, km=float(n)) for n in range(20)]),
    "no rides": ("suggest", []),
    "an array of one ride": ("suggest", [ride()]),
    "defaults": ("suggest", without(ride(), "demand", "rides_30d")),
    "defaults in some rows": ("suggest", [ride(0), without(ride(1), "demand"), without(ride(2), "demand", "rides_30d")]),
    "below a bound in one row": ("suggest", [ride(0), ride(1, demand=-1.0)]),
    "a clamp": ("suggest", ride(km=1000.0)),
    "clamps": ("suggest", [ride(0), ride(1, km=1000.0), ride(2, km=-9.0)]),
    "a guard's fallback": ("suggest", ride(zone="airside")),
    "a guard's fallbacks": ("suggest", zoned("centre", "airside", "north", "tracks")),
    "a guard without a fallback": ("alone", ride(zone="airside")),
    "a guard without a fallback in one row": ("alone", zoned("centre", "airside")),
    "a guard that rejects": ("strict", ride(zone="tracks")),
    "a guard that rejects one row": ("strict", zoned("centre", "tracks")),
    "a function that raises": ("suggest", ride(zone="raise")),
    "a function that raises on a row": ("suggest", zoned("centre", "raise", "north")),
    "a function that raises, no fallback": ("alone", ride(zone="raise")),
    "a function that raises on a row, no fallback": ("alone", zoned("centre", "raise", "north")),
    "a function that exits": ("suggest", ride(zone="exit")),
    "a function that exits, no fallback": ("alone", zoned("centre", "exit")),
    "too few answers": ("suggest", zoned("short", "centre")),
    "too few answers, no fallback": ("alone", zoned("short", "centre")),
    "no number": ("suggest", ride(zone="nan")),
    "no number in two rows": ("suggest", zoned("centre", "nan", "north", "infinity")),
    "no number, no fallback": ("alone", ride(zone="infinity")),
    "beyond the answer's bound": ("strict", ride(km=91.0)),
    "everything at once": ("suggest", [ride(0, zone="nan"), without(ride(1), "demand"), *zoned("a", "b", "tracks", "raise")[2:], ride(4, km=900.0)]),
    "more fallbacks than are named": ("suggest", [ride(n, zone="airside") for n in range(20)]),
    "a durable answer": ("kept", ride()),
    "durable answers": ("kept", zoned("centre", "north")),
    "a durable fallback": ("kept", zoned("centre", "raise")),
}  # fmt: skip

# What the contracts do not let in.
REFUSED = {
    "a whole number that would lose digits", "above a bound", "below a bound", "at an open bound", "another pattern", "too long",
    "no moment", "no day", "no choice of an enum", "no choice of texts", "no choice of numbers", "a missing field",
    "a missing field in one row", "too many dishes", "no dishes", "a fraction below its bound", "no table", "a long note",
    "below a bound in one row",
}  # fmt: skip
