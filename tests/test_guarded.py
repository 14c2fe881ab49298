"""Guards and defaults from evaluation to release: what is judged is what leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from funade.errors import FunadeError
from funade.project.project import Project
from support import toy
from support.release import answers_of

CALM = """
def calm(score, x, limit, model):
    return (x < 6.5) & (limit > 0) & (model.slope > 0)

"""
GUARD = "fn.fallback(score=0.0, high=False), fn.guard(calm),"
REJECT = 'fn.fallback(score=0.0, high=False), fn.guard(calm, otherwise="reject"),'


def guarded(root: Path, guard: str, *, mae: str = "99") -> Project:
    toy.edit(root, "nodes", "fn.fallback(score=0.0, high=False),", guard)
    toy.edit(root, "nodes", "@fn.api(", CALM.lstrip("\n") + "@fn.api(")
    toy.edit(root, "nodes", "mae=0.5", f"mae={mae}")
    here = toy.project(root)
    toy.load(here)
    return here


def quality(here: Project) -> Any:
    return here.store.metadata.versions("quality")[-1]


def served(here: Project) -> Any:
    from funade.bind.release import load_release

    return load_release({"store": here.store.address, "release": 1})


def test_an_evaluation_judges_the_fallback_where_a_guard_speaks_and_counts_it(root: Path) -> None:
    here = guarded(root, GUARD)

    assert toy.ship(here) == 1

    found = quality(here)
    assert (found.judged_rows, found.refused) == (350, 0)
    assert 0 < found.guarded < 350
    assert found.metrics["mae"] > 0.5  # rows answered 0.0 are judged too


def test_rows_that_a_guard_rejects_are_refused_in_an_evaluation_and_reproduced_by_golden_rows(root: Path) -> None:
    toy.edit(root, "nodes", "fn.at_most(mae=0.5)", 'fn.at_most(mae=0.5), fn.may_refuse("30%")')
    here = guarded(root, REJECT, mae="0.5")

    assert toy.ship(here) == 1

    found = quality(here)
    assert found.refused > 0 and found.guarded == 0
    assert found.judged_rows + found.refused == 350
    (golden,) = served(here).golden
    assert {} in golden.answers and golden.answers.count({}) < len(golden.answers)
    served(here).warm()


def test_without_a_fallback_a_row_that_a_guard_holds_back_fails_the_evaluation(root: Path) -> None:
    here = guarded(root, "fn.guard(calm),")

    with pytest.raises(FunadeError) as error:
        list(here.build())

    assert "api `judge` answered row" in error.value.what
    assert error.value.do == "add fn.fallback(…), which then answers"


def test_nan_fails_an_evaluation_whatever_the_fallback(root: Path) -> None:
    toy.edit(root, "nodes", '    return {"score": score,', '    score[5] = np.nan\n    return {"score": score,')
    here = guarded(root, GUARD)

    with pytest.raises(FunadeError) as error:
        list(here.build())

    assert error.value.what.endswith("api `judge` answered row 5 with `score` nan, expected a finite number")


DEFAULTS = """class Point(msgspec.Struct):
    x: float
    extra: Annotated[float, msgspec.Meta(ge=0), fn.default(2.0)]
"""
OUTER = """
class Shape(msgspec.Struct):
    x: float

class Shown(msgspec.Struct):
    shown: float

@fn.api(fn.takes(Shape), fn.gives(Shown), fn.owner("toy-team"), fn.fallback(shown=0.0), inner=judge)
def outer(batch: FRAME, inner) -> fn.Columns:
    return {"shown": np.asarray(inner(batch)["score"])}

@fn.evaluation("""


@pytest.mark.parametrize("frame", ["fn.Columns", "pa.Table", "pd.DataFrame", "pl.DataFrame"])
def test_an_api_taken_by_another_fills_its_own_defaults_and_keeps_its_own_guards(root: Path, frame: str) -> None:
    toy.edit(root, "nodes", "class Point(msgspec.Struct):\n    x: float\n", DEFAULTS)
    toy.edit(root, "nodes", 'batch["x"])\n    return {"score"', 'batch["x"]) + batch["extra"]\n    return {"score"')
    toy.edit(
        root, "nodes", "import pyarrow as pa\n", "import pandas as pd\nimport polars as pl\nimport pyarrow as pa\n"
    )
    toy.edit(root, "nodes", "@fn.evaluation(", OUTER.replace("FRAME", frame).lstrip("\n"))
    here = guarded(root, GUARD)
    toy.ship(here)

    apis = served(here).apis
    slope = answers_of(apis["judge"], apis["judge"].decode(b'{"x": 1, "extra": 0}')[0])["score"][0]
    rows, _ = apis["outer"].decode(b'[{"x": 1}, {"x": 3}, {"x": 7}]')

    assert answers_of(apis["outer"], rows)["shown"].tolist() == [slope + 2, 3 * slope + 2, 0.0]


def test_golden_rows_and_evaluations_fill_defaults(root: Path) -> None:
    toy.edit(root, "nodes", "class Point(msgspec.Struct):\n    x: float\n", DEFAULTS)
    toy.edit(root, "nodes", 'batch["x"])\n    return {"score"', 'batch["x"]) + batch["extra"]\n    return {"score"')
    here = toy.project(root)
    toy.load(here)
    with pytest.raises(FunadeError):  # every answer is 2 too high
        toy.ship(here)
    assert round(quality(here).metrics["mae"], 6) == 2.0
