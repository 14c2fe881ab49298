"""What the model sees of a trip: one function, called in training, at the gate and by the server.

``planned_miles`` stands for the distance that the router plans before the ride. A real app has it when the rider
asks; the public records do not, so this example takes ``trip_distance``, which the meter knew only at the end.
"""

from __future__ import annotations

import pandas as pd

CITY = "America/New_York"


def features(trips: pd.DataFrame) -> pd.DataFrame:
    """Zones, local hour and weekday, planned miles of each trip; times arrive in UTC."""
    local = trips["requested_at"].dt.tz_convert(CITY)
    return pd.DataFrame(
        {
            "pickup_zone": trips["pickup_zone"],
            "dropoff_zone": trips["dropoff_zone"],
            "hour": local.dt.hour + local.dt.minute / 60,
            "weekday": local.dt.day_of_week,
            "planned_miles": trips["planned_miles"].clip(0, 50),
        }
    )
