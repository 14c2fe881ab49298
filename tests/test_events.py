"""The server's log has a line for every event, whatever text the event brings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from funade import clock
from funade.events import EventLog
from support.child_acts import Mute


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("caf\udce9.csv"), r"ValueError: caf\udce9.csv"),
        (Mute(), "Mute: <exception str() failed>"),
        (ValueError("two\nlines"), "ValueError: two\nlines"),
    ],
)
def test_a_functions_error_is_logged_whatever_its_text(tmp_path: Path, error: Exception, told: str) -> None:
    EventLog(clock.system, str(tmp_path / "log")).failed("eta", error)
    (line,) = (tmp_path / "log").read_text("utf-8").splitlines()
    assert json.loads(line)["error"] == told
