"""Golden rows: answered at the gate, reproduced by every worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from funade.bind.api import BoundApi, as_json
from funade.errors import ServeError
from funade.store.records import GoldenRows


def answer_golden(api: BoundApi, requests: Sequence[dict[str, Any]]) -> GoldenRows:
    """The answers of one direct call for these requests (JSON values)."""
    rows, refused = api.requests.convert(requests)
    if refused:
        index, reason = refused[0]
        raise ServeError(f"api `{api.name}` expected golden rows that keep its contract, got row {index}: {reason}")
    answers = as_json(api, api.decide(api.take(rows).columns, len(rows))) if rows else []
    return GoldenRows(api.name, list(requests), answers)


def difference(api: BoundApi, golden: GoldenRows) -> str:
    """What the api answers differently from the golden answers; "" when nothing."""
    now = answer_golden(api, golden.requests).answers
    for index, (expected, got) in enumerate(zip(golden.answers, now, strict=True)):
        # Through JSON, as the expected answers were kept: NaN equals NaN.
        if msgspec.json.encode(expected) != msgspec.json.encode(got):
            return f"api `{api.name}` expected {expected} for golden row {index}, got {got}"
    return ""
