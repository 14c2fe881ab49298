"""A model with `fn.onnx()` from build to release: everybody gets the converted one, and the gate compares it again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from funade.errors import CodecError, GateClosed, NotServed
from funade.project.project import Project
from funade.release.gate import GateReport
from funade.store.codecs.onnx.served import OnnxServed
from funade.store.records import Finding
from support import toy
from support.command import ask, serving

IMPORTS = ("import numpy as np\n", "import numpy as np\nfrom lightgbm import LGBMRegressor\n")
TREES = """
@fn.model(fn.onnx(), rows=clean.between(days=(21, 14)))
def line(rows: fn.Columns, bend: float = 1.0) -> LGBMRegressor:
    x = feature(rows["x"]).reshape(-1, 1)
    return LGBMRegressor(n_estimators=150, min_child_samples=2, verbose=-1).fit(x, rows["y"] * bend)
"""
WHOLE = """def line(rows: fn.Columns, bend: float = 1.0) -> Line:
    x = feature(rows["x"])
    return Line(float((x * rows["y"]).sum() / (x * x).sum()) * bend)
"""


def project(root: Path, model: str = TREES, imports: str = IMPORTS[1]) -> Project:
    nodes = toy.FILES["toy/nodes.py"].replace(IMPORTS[0], imports)
    nodes = nodes.replace("\n@fn.model(rows=clean.between(days=(21, 14)))\n" + WHOLE, model)
    nodes = nodes.replace('model.predict(rows["x"])', 'model.predict(feature(rows["x"]).reshape(-1, 1))')
    nodes = nodes.replace('model.predict(batch["x"])', 'model.predict(feature(batch["x"]).reshape(-1, 1))')
    nodes = nodes.replace("model: Line", "model: object")
    here = toy.project(toy.write(root, toy.FILES | {"toy/nodes.py": nodes}))
    toy.load(here)
    return here


def parity(judged: GateReport | tuple[Finding, ...]) -> list[Finding]:
    findings = judged.findings if isinstance(judged, GateReport) else judged
    return [f for f in findings if f.check == "parity"]


def test_everybody_gets_the_converted_model_and_the_gate_says_how_near_it_is(tmp_path: Path) -> None:
    here = project(tmp_path)
    list(here.build())
    here.stage()
    judged = here.release()[1]
    assert judged is not None
    (found,) = parity(judged)
    assert found.holds
    assert found.expected == "`line` as ONNX to answer as its original within 0.0001"
    assert found.got.endswith(" apart on 350 rows")
    served = here.store.load(here.plan()["line"].version)
    assert isinstance(served, OnnxServed)
    assert served.predict(np.array([[1.0]])).dtype == np.float32
    with pytest.raises(NotServed):
        served.booster_
    assert type(here.store.load(here.plan()["line"].version, native=True)).__name__ == "LGBMRegressor"


def test_drill_w3_a_released_model_answers_a_row_alike_in_any_batch(tmp_path: Path) -> None:
    """One row, two, and a thousand over HTTP give the same bits, and those of a direct call."""
    here = project(tmp_path)
    toy.ship(here)
    x = np.random.default_rng(2).uniform(0, 10, 1000)
    whole = here.store.load(here.plan()["line"].version).predict(2 * x.reshape(-1, 1)).astype(float).tolist()
    rows = [{"x": value} for value in x.tolist()]
    with serving(["-C", str(tmp_path), "serve", "--workers", "1"], tmp_path / "log") as port:
        for size in (1, 2, 1000):
            for start in range(0, min(1000, 50 * size), size):
                status, got = ask(port, "POST", "/v1/judge", rows[start : start + size])
                assert status == 200
                assert [answer["score"] for answer in got] == whole[start : start + size]


def test_a_policy_makes_another_version(tmp_path: Path) -> None:
    ids = {
        project(tmp_path / str(index), TREES.replace("fn.onnx()", policy)).plan()["line"].version
        for index, policy in enumerate(["fn.onnx()", "fn.onnx(within=1e-3)", "fn.owner('x')"])
    }
    assert len(ids) == 3


def test_drill_w22_a_model_that_converts_wrongly_is_not_built(tmp_path: Path) -> None:
    here = project(tmp_path, TREES.replace("n_estimators=150", "n_estimators=50, linear_tree=True"))
    with pytest.raises(CodecError) as caught:
        list(here.build())
    told = str(caught.value)
    assert told.startswith("model `line` expected to answer as ONNX as it does itself within 0.0001, got ")
    assert "rows differ - at toy/nodes.py:" in told
    assert told.endswith("take fn.onnx() away, return another model, or allow more: fn.onnx(within=…)")


RAW = """
@fn.model(fn.onnx(), rows=clean.between(days=(21, 14)))
def line(rows: fn.Columns) -> LinearRegression:
    return LinearRegression().fit(feature(rows["x"]).reshape(-1, 1), rows["y"])
"""
SKLEARN = IMPORTS[0] + "from sklearn.linear_model import LinearRegression\n"


def test_drill_w22_a_model_that_is_wrong_only_where_its_rows_are_is_refused_at_the_gate(tmp_path: Path) -> None:
    """A feature near a million: its product and the intercept cancel, and float32 keeps too little of the rest."""
    here = project(tmp_path, RAW, SKLEARN)
    toy.edit(tmp_path, "shared", "x * SCALE", "1e6 + x * SCALE")
    here = toy.project(tmp_path)
    list(here.build())
    here.stage()
    with pytest.raises(GateClosed) as caught:
        here.release()
    findings: tuple[Finding, ...] = caught.value.facts["findings"]  # type: ignore[assignment]
    (found,) = parity(findings)
    assert not found.holds
    for part in (" by itself and ", " as ONNX (", "from predict at row ", "(feature 0 100000", " rows differ"):
        assert part in found.got
    assert found.do == "take fn.onnx() away, return another model, or allow more: fn.onnx(within=…)"
