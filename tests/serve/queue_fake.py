"""Releases whose second one has another contract and one api less."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo

import msgspec
from serve_fake import Arrival, Release

from funade.declare.contract import contract_of
from funade.declare.rows import Requests


class ShortRide(msgspec.Struct):
    km: Annotated[float, msgspec.Meta(le=100)]
    does: str = ""


def load(argument: dict[str, Any]) -> Release:
    found = Release(argument["release"], "")
    if found.release > 1:
        del found.apis["plain"]
        api = found.apis["arrival"]
        api.contract = contract_of(ShortRide, Arrival, place="queue_fake.py:1")
        api.requests = Requests(ShortRide, zone=ZoneInfo("UTC"))
        api.decode = api.requests.decode
    return found
