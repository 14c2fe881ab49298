"""The consistent cut as a law: random graphs, random histories, and an oracle that shares no code with the cut."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from funade.cli import funade
from funade.errors import CutIncomplete, CutInconsistent, FunadeError, HoldsDisagree
from funade.project.project import Project
from funade.release import cut
from funade.store.records import Version
from support import toy

HEAD = """
from pathlib import Path
import msgspec
import numpy as np
import pyarrow as pa
import funade as fn
from drawn import shared


class Ask(msgspec.Struct):
    x: float

class Answer(msgspec.Struct):
    y: float

"""

SOURCE = """
@fn.source(fn.every("1 day", since="2022-01-01"), fn.time("at"))
def n{i}(day: str) -> pa.Table:
    return pa.table({{"at": [np.datetime64(day + "T01:00:00", "us")], "x": [float({k})]}})
"""

DATASET = """
@fn.dataset({inputs})
def n{i}({parameters}) -> pa.Table:
    K = {k}
    return pa.table({{"at": [np.datetime64("2022-01-01T01:00:00", "us")], "x": [float(K)]}})
"""

THRESHOLD = """
@fn.threshold({inputs})
def n{i}({parameters}) -> float:
    K = {k}
    return float(K){helper}
"""

API = """
@fn.api(fn.takes(Ask), fn.gives(Answer), fn.owner("team"), fn.fallback(y=0.0), {inputs})
def n{i}(batch: fn.Columns, {parameters}) -> fn.Columns:
    K = {k}
    return {{"y": batch["x"] * 0 + K{helper}}}
"""


class Drawn:
    """One drawn graph: kinds, edges and the constants that edits change."""

    def __init__(self, draw: Any) -> None:
        count = draw(st.integers(3, 12))
        self.kinds: list[str] = []
        self.inputs: list[list[int]] = []
        for i in range(count):
            able = [j for j in range(i) if self.kinds[j] in ("source", "dataset")]
            if i == 0 or not able:
                kind = "source"
            elif i == count - 1:
                kind = "api"
            else:
                kind = draw(st.sampled_from(["source", "dataset", "dataset", "threshold", "threshold"]))
            takes = {"source": (), "dataset": ("source", "dataset"), "api": ("threshold", "dataset")}.get(
                kind, ("source", "dataset", "threshold")
            )
            choice = [j for j in range(i) if self.kinds[j] in takes]
            self.kinds.append(kind)
            self.inputs.append(sorted(draw(st.sets(st.sampled_from(choice), min_size=1, max_size=3))) if choice else [])
        self.constants = [0] * count
        self.helped = [kind in ("threshold", "api") and draw(st.booleans()) for kind in self.kinds]
        self.helped[-1] = True
        self.shared = 1

    def write(self, root: Path) -> None:
        text = HEAD
        for i, kind in enumerate(self.kinds):
            template = {"source": SOURCE, "dataset": DATASET, "threshold": THRESHOLD, "api": API}[kind]
            text += template.format(
                i=i,
                k=self.constants[i],
                inputs=", ".join(f"n{j}=n{j}" for j in self.inputs[i]),
                parameters=", ".join(
                    f"n{j}: object" if self.kinds[j] == "threshold" else f"n{j}: pa.Table" for j in self.inputs[i]
                ),
                helper=" + shared.bias()" if self.helped[i] else "",
            )
        files = {
            "funade.toml": toy.TOML.replace("toy", "drawn"),
            "drawn/__init__.py": "",
            "drawn/shared.py": f"def bias():\n    return {self.shared}\n",
            "drawn/nodes.py": text,
        }
        toy.write(root, files)


def oracle(here: Project, pins: dict[str, str]) -> bool:
    """Whether every pinned version's every input is the one pinned, and shared code is in one state."""
    apis = [spec for spec in here.graph if spec.kind == "api" and spec.name in pins]
    for name, pinned in pins.items():
        version = here.store.metadata.version(pinned)
        if version is None:
            return False
        for needed, had in version.inputs.items():
            if pins.get(needed) != had:
                return False
        for symbol, digest in version.symbols.items():
            if here.graph[name].kind not in ("api", "source") and any(
                a.symbols.get(symbol, digest) != digest for a in apis
            ):
                return False
    return True


def act(root: Path, drawn: Drawn, data: st.DataObject, day: list[int]) -> None:
    """One step of a history."""
    here = toy.project(root)
    nodes = list(here.graph)
    action = data.draw(
        st.sampled_from(["edit", "edit", "shared", "load", "build", "build", "attempt", "hold", "hold", "unhold"])
    )
    if action == "edit":
        i = data.draw(st.integers(0, len(drawn.kinds) - 1))
        drawn.constants[i] += 1
        drawn.write(root)
    elif action == "shared":
        drawn.shared += 1
        drawn.write(root)
    elif action == "load":
        day[0] = min(day[0] + 1, 28)
        for spec in here.graph.of_kind("source"):
            list(here.load(spec, here.periods(spec, "2022-01-01", f"2022-01-{day[0]:02}")))
    elif action in ("build", "attempt"):
        spec = data.draw(st.sampled_from(nodes))
        again = action == "attempt" and spec.kind in ("dataset", "threshold")
        list(here.build(spec.name, again=again))
    elif action == "hold":
        versions: list[Version] = [v for v in here.store.metadata.versions() if v.kind in ("dataset", "threshold")]
        if versions:
            chosen = data.draw(st.sampled_from(versions))
            try:
                here.hold(f"{chosen.node}@{chosen.id[:12]}")
            except HoldsDisagree as error:
                assert error.do.startswith("run: funade ")
    else:
        here.unhold(data.draw(st.sampled_from(nodes)).name)
    note(action)


def run(root: Path, remedy: str) -> None:
    """Do what an error told to do."""
    assert remedy.startswith("run: funade "), remedy
    funade.main(
        ["-C", str(root), "--at", toy.NOW.isoformat(), *shlex.split(remedy.removeprefix("run: funade "))],
        standalone_mode=False,
    )


def play(data: st.DataObject, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        drawn = Drawn(data.draw)
        drawn.write(root)
        here = toy.project(root)
        for spec in here.graph.of_kind("source"):
            list(here.load(spec, here.periods(spec, "2022-01-01", "2022-01-02")))
        day = [2]
        for _ in range(steps):
            act(root, drawn, data, day)
        judge_random_pins(root, data)
        for _ in range(2 * len(drawn.kinds) + 4):
            here = toy.project(root)
            try:
                candidate = here.stage()
            except (CutInconsistent, CutIncomplete) as error:
                told_truly(here, error)
                run(root, error.do)
                continue
            assert oracle(here, candidate.pins)
            assert cut.disagreements(candidate.pins, here.graph, here.store.metadata) == []
            return
        raise AssertionError("the commands that refusals name do not mend the cut")


def told_truly(here: Project, error: FunadeError) -> None:
    """The pairs a refusal names do disagree: each version was built from what it says, not from what is wanted."""
    for pair in error.facts.get("pairs", []):  # type: ignore[attr-defined]
        version = here.store.version(pair.version)
        if pair.code:
            assert version.symbols[pair.needs] == pair.had != pair.pinned
        else:
            assert version.inputs[pair.needs] == pair.had != pair.pinned


def judge_random_pins(root: Path, data: st.DataObject) -> None:
    """Any set of pins, taken from whatever was ever built, is judged as the oracle judges it."""
    here = toy.project(root)
    versions: dict[str, list[str]] = {}
    for version in here.store.metadata.versions():
        versions.setdefault(version.node, []).append(version.id)
    line = here.graph.line()
    if not all(versions.get(name) for name in line):
        return
    pins = {name: data.draw(st.sampled_from(versions[name])) for name in line}
    found = cut.disagreements(pins, here.graph, here.store.metadata)
    assert (found == []) == oracle(here, pins)
    for pair in found:
        assert here.store.version(pair.version).inputs.get(pair.needs, pair.had) == pair.had != pair.pinned


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_every_inconsistent_cut_is_refused_with_a_true_pair_and_a_command_that_mends_it(data: st.DataObject) -> None:
    play(data, data.draw(st.integers(1, 6)))


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(data=st.data())
def test_drill_every_inconsistent_cut_is_refused_over_long_histories(data: st.DataObject) -> None:
    play(data, data.draw(st.integers(4, 14)))
