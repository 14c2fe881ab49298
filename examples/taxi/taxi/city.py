"""A made-up city with the columns of the real records: ``python -m taxi.city FOLDER`` writes three months.

It has zones on a map, a daily and a weekly rhythm, slow hours and slow quarters, and rows as dirty as the real ones:
picked up in another month, arriving before they left, meters left on, meters never started. The same seed gives the
same files. Nothing here is known to the models: no node calls this module.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Array = np.ndarray[Any, Any]

MONTHS = ("2022-01", "2022-02", "2022-03")
ROWS = 60_000
"""Rows a month, about as many as in the real files."""

ZONES = 265
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 8, 7, 7, 7, 7, 8, 9, 10, 11, 12, 12, 10, 8, 7, 5, 3], dtype=float)
"""How many rides begin at each hour of a working day."""

SLOW = np.array([7, 6, 6, 6, 6, 6, 8, 11, 12, 11, 10, 10, 10, 11, 12, 13, 13, 13, 12, 10, 9, 8, 8, 7]) / 10 * 4.2
"""Minutes a mile at each hour of a working day."""


def write(folder: Path, *, rows: int = ROWS, seed: int = 7) -> list[Path]:
    """Write one Parquet file a month; the files' paths."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    city = _City(rng)
    written = []
    for month in MONTHS:
        file = folder / f"green_tripdata_{month}.parquet"
        pq.write_table(city.month(datetime.fromisoformat(f"{month}-01"), rows), file)
        written.append(file)
    return written


class _City:
    """Where its zones lie, how busy and how slow each is."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.where = rng.uniform(0, 11, (ZONES, 2))  # miles on the map
        self.busy = rng.pareto(1.2, ZONES) + 0.02
        self.busy /= self.busy.sum()
        self.slow = rng.lognormal(0, 0.3, ZONES)
        self.getting_away = rng.gamma(4, 1.0, ZONES)  # minutes

    def month(self, first: datetime, rows: int) -> pa.Table:
        """One month's rides, in the order in which they began, with the dirty rows among them."""
        start, weekday, hour = self._starts(first, rows)
        pickup = self.rng.choice(ZONES, rows, p=self.busy)
        dropoff = self._towards(pickup)
        miles = self._miles(pickup, dropoff)
        minutes = self._minutes(pickup, dropoff, miles, weekday, hour)
        start, minutes, miles = self._dirty(first, start, minutes, miles)
        return self._table(start, minutes, miles, pickup + 1, dropoff + 1)

    def _starts(self, first: datetime, rows: int) -> tuple[Array, Array, Array]:
        days = ((first.replace(day=1) + timedelta(days=32)).replace(day=1) - first).days
        of_week = (first.weekday() + np.arange(days)) % 7
        weight = np.where(of_week >= 5, 0.8, 1.0)
        day = self.rng.choice(days, rows, p=weight / weight.sum())
        hour = self.rng.choice(24, rows, p=HOURS / HOURS.sum())
        second = self.rng.integers(0, 3600, rows)
        seconds = np.sort(day * 86400 + hour * 3600 + second)
        start = np.datetime64(first, "us") + seconds.astype("timedelta64[s]")
        return start, of_week[seconds // 86400], seconds // 3600 % 24

    def _towards(self, pickup: Array) -> Array:
        """Most rides stay near: of five zones that a rider might want, the nearest but one."""
        wanted = self.rng.choice(ZONES, (len(pickup), 5), p=self.busy)
        far = np.abs(self.where[wanted] - self.where[pickup][:, None]).sum(axis=2)
        return wanted[np.arange(len(pickup)), np.argsort(far, axis=1)[:, 1]]

    def _miles(self, pickup: Array, dropoff: Array) -> Array:
        straight = np.abs(self.where[pickup] - self.where[dropoff]).sum(axis=1)
        miles: Array = (straight * 0.75 + 0.6) * self.rng.lognormal(0, 0.12, len(pickup))
        return miles.round(2)

    def _minutes(self, pickup: Array, dropoff: Array, miles: Array, weekday: Array, hour: Array) -> Array:
        pace = SLOW[hour] * np.sqrt(self.slow[pickup] * self.slow[dropoff]) * np.where(weekday >= 5, 0.85, 1.0)
        luck = self.rng.lognormal(0, 0.22, len(miles))
        minutes: Array = self.getting_away[pickup] + miles * pace * 0.8 * luck
        return minutes

    def _dirty(self, first: datetime, start: Array, minutes: Array, miles: Array) -> tuple[Array, Array, Array]:
        rows = len(start)
        pick = self.rng.permutation(rows)
        elsewhere, backwards, left_on, unstarted, absurd = np.split(pick[: rows // 10], [20, 60, 400, 2400])[:5]
        start, minutes, miles = start.copy(), minutes.copy(), miles.copy()
        start[elsewhere] -= np.timedelta64(40, "D")
        start[elsewhere[:1]] = np.datetime64("2009-01-01T00:12:00", "us")
        minutes[backwards] = -self.rng.uniform(1, 30, len(backwards))
        minutes[left_on] = self.rng.uniform(61, 1439, len(left_on))
        miles[unstarted] = 0.0
        miles[absurd[:60]] = np.round(self.rng.uniform(1e3, 2e5, 60), 2)
        return start, minutes, miles

    def _table(self, start: Array, minutes: Array, miles: Array, pickup: Array, dropoff: Array) -> pa.Table:
        rows = len(start)
        end = start + (minutes * 60).astype("timedelta64[s]")
        fare = np.round(3 + 2.5 * np.minimum(miles, 60) + 0.3, 2)
        number = self.rng.integers
        return pa.table(
            {
                "VendorID": number(1, 3, rows),
                "lpep_pickup_datetime": start,
                "lpep_dropoff_datetime": end,
                "store_and_fwd_flag": pa.array(["N"] * rows),
                "RatecodeID": np.ones(rows),
                "PULocationID": pickup.astype(np.int64),
                "DOLocationID": dropoff.astype(np.int64),
                "passenger_count": number(1, 4, rows).astype(float),
                "trip_distance": miles,
                "fare_amount": fare,
                "extra": np.zeros(rows),
                "mta_tax": np.full(rows, 0.5),
                "tip_amount": np.zeros(rows),
                "tolls_amount": np.zeros(rows),
                "ehail_fee": pa.nulls(rows, pa.float64()),
                "improvement_surcharge": np.full(rows, 0.3),
                "total_amount": np.round(fare + 0.8, 2),
                "payment_type": number(1, 3, rows).astype(float),
                "trip_type": np.ones(rows),
                "congestion_surcharge": np.zeros(rows),
            }
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m taxi.city FOLDER")
    for path in write(Path(sys.argv[1])):
        print(path)
