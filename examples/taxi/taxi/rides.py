"""Rides of the city: green-taxi records as the Taxi and Limousine Commission publishes them, a file a month."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import funade as fn

PICKUP, DROPOFF = "lpep_pickup_datetime", "lpep_dropoff_datetime"
COLUMNS = [PICKUP, DROPOFF, "PULocationID", "DOLocationID", "trip_distance"]


@fn.source(fn.every("1 day", since="2022-01-01"), fn.time(PICKUP), fn.owner("data-team"))
def trips(day: str, tlc: Path = fn.place("tlc")) -> pa.Table:
    """One day of the month's file. Rows picked up in no day of that month come with its first day, as bad rows."""
    file = tlc / f"green_tripdata_{day[:7]}.parquet"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there; set FUNADE_PLACE_TLC, or run: python -m taxi.city data")
    start = datetime.fromisoformat(day)
    wanted = _between(start, start + timedelta(days=1))
    if start.day == 1:
        wanted |= ~_between(start, (start + timedelta(days=32)).replace(day=1))
    return pq.read_table(file, columns=COLUMNS, filters=wanted)


def _between(start: datetime, end: datetime) -> pc.Expression:
    return (pc.field(PICKUP) >= start) & (pc.field(PICKUP) < end)


@fn.dataset(
    fn.time("requested_at"),
    fn.within("minutes", 1, 60),
    fn.within("planned_miles", 0, 100),
    fn.within("pickup_zone", 1, 265),
    fn.within("dropoff_zone", 1, 265),
    fn.not_null("requested_at", "pickup_zone", "dropoff_zone", "planned_miles", "minutes"),
    fn.rows(1000),
    fn.owner("data-team"),
    trips=trips,
)
def rides(trips: pd.DataFrame) -> pd.DataFrame:
    """Rides of 1 to 60 minutes; shorter and longer ones are meters left on or never started."""
    minutes = (trips[DROPOFF] - trips[PICKUP]).dt.total_seconds() / 60
    found = pd.DataFrame(
        {
            "requested_at": trips[PICKUP],
            "pickup_zone": trips["PULocationID"],
            "dropoff_zone": trips["DOLocationID"],
            "planned_miles": trips["trip_distance"].clip(0, 100),
            "minutes": minutes,
        }
    )
    return found[minutes.between(1, 60)]
