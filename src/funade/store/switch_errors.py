"""Why a switch did not take place, in the words of every engine."""

from __future__ import annotations

from funade.digest import SHORT
from funade.errors import RollbackRefused, SwitchLost
from funade.store.records import Switch


def generation_moved(expected: int, now: Switch | None, action: str) -> SwitchLost:
    """Another switch came between."""
    got = "0, no release"
    if now:
        got = f"{now.generation}, {now.action} of {now.after} by {now.who} at {now.at:%Y-%m-%d %H:%M:%S} UTC"
    what = f"{action} expected generation {expected} to be the current one, got {got}"
    return SwitchLost(what, do=f"run: funade {action}")


def candidate_moved(expected: str, staged: str) -> SwitchLost:
    """Another candidate came between."""
    what = f"release expected candidate `{expected[:SHORT]}` to be the latest, got `{staged[:SHORT]}`"
    return SwitchLost(what, do="run: funade release")


def no_release(number: int) -> RollbackRefused:
    """There is no release of that number."""
    return RollbackRefused(f"rollback expected a release, got {number}", do="see them: funade releases")
