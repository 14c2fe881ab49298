"""What a user is told is true, and the command it names mends it."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from funade.cli import main
from funade.cli.output import number, toml
from funade.errors import FunadeError
from support import toy

TABLE = """
@fn.dataset()
def names() -> fn.Columns:
    return {"name": np.array(["a", "b"], object), "n": np.arange(2.0)}
"""


def said(capsys: pytest.CaptureFixture[str], root: Path, *arguments: str, at: str = "2022-01-31T12:00") -> str:
    """Everything that one command prints."""
    capsys.readouterr()
    with contextlib.suppress(SystemExit):
        main(["-C", str(root), "--at", at, *arguments])
    told = capsys.readouterr()
    return told.out + told.err


def built(root: Path) -> Path:
    project = toy.project(root)
    toy.load(project)
    list(project.build())
    return root


def refused(root: Path, *names: str) -> str:
    with pytest.raises(FunadeError) as caught:
        list(toy.project(root).build(*names))
    return caught.value.line()


# -- status ------------------------------------------------------------------------------------------


def test_a_released_attempt_whose_setting_is_written_down_is_the_newest(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built(root)
    attempt = said(capsys, root, "build", "line", "--set", "bend=1.01").split("funade stage ")[1].strip()
    for command in (("stage", attempt), ("build",), ("stage",), ("release",)):
        told = said(capsys, root, *command)
    _, _, settings = told.partition("write in funade.toml:")
    (root / "funade.toml").write_text((root / "funade.toml").read_text() + settings)

    lines = said(capsys, root, "status").splitlines()

    assert next(line for line in lines if line.startswith("line ")).split()[2:] == [
        "present",
        attempt[-6:],
        attempt[-6:],
    ]
    assert lines[-1].startswith("release 1 of ")
    assert not [line for line in lines if ": " in line]
    assert said(capsys, root, "build").startswith("nothing to build")


def test_an_api_that_is_as_it_was_is_not_told_as_changed(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built(root)
    toy.edit(root, "shared", "SCALE = 2.0", "SCALE = 4.0")
    list(toy.project(root).build())
    toy.edit(root, "shared", "SCALE = 4.0", "SCALE = 2.0")

    assert "code changed" not in said(capsys, root, "status")


def test_status_tells_a_check_that_fails(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built(root)
    toy.edit(root, "nodes", 'fn.within("x", 0, 100)', 'fn.within("x", 0, 7)')
    refused(root, "clean")

    assert "clean: check fails: expected `x` in [0, 7], got " in said(capsys, root, "status")


def test_a_release_that_was_made_is_told_as_made_though_the_working_tree_is_broken(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.project(built(root)).stage()
    toy.edit(root, "nodes", "import json", "import json(")

    assert said(capsys, root, "release").endswith("release 1 is current (6 pins)\n")


# -- show and compare --------------------------------------------------------------------------------


def test_a_source_was_made_when_it_was_loaded_and_shows_its_periods(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.load(toy.project(root))
    said(capsys, root, "build")

    told = said(capsys, root, "show", "points", at="2023-05-05T05:05")

    assert "  made     2022-01-31 12:00:00 UTC\n" in told
    assert "  periods  2022-01-01 to 2022-01-30: 30, 1500 rows\n" in told


def test_comparing_what_is_not_built_names_no_command_that_does_not_mend(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built(root)

    assert (
        said(capsys, root, "compare", "points") == "points has no build: a source is loaded; run: funade show points\n"
    )
    assert said(capsys, root, "compare", "judge") == "judge has no build: an api is bound by its release\n"


def test_numbers_and_settings_are_written_as_people_and_toml_read_them() -> None:
    assert [number(v) for v in (10312.7, 1.0, 0.123456, 1e15, 3, None)] == ["10313", "1", "0.1235", "1e+15", "3", "nan"]
    assert toml({"deep": [True, 1.5, 'say "no"']}) == '{"deep" = [true, 1.5, "say \\"no\\""]}'


def test_funade_alone_prints_its_help(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])

    assert ended.value.code == 2
    assert capsys.readouterr().err.lower().startswith("usage: funade ")


# -- notebook ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "node", "given", "line"),
    [
        ("rows", "line", {}, "Misuse: read expected a source or dataset, got model `line`"),
        ("artifact", "judge", {}, "Misuse: load expected a model, threshold or dataset, got api `judge`"),
        (
            "rows",
            "names",
            {"last": 3},
            "Misuse: read(last=3) expected rows with a time, got dataset `names` without; read all: read()",
        ),
        ("rows", "clean", {"last": 0}, "DeclarationError: window expected whole days of at least 1, got 0"),
    ],
)
def test_reading_what_is_not_there_is_refused(
    root: Path, verb: str, node: str, given: dict[str, int], line: str
) -> None:
    (root / "toy/nodes.py").write_text((root / "toy/nodes.py").read_text() + TABLE)
    project = toy.project(built(root))

    with pytest.raises(FunadeError) as caught:
        getattr(project, verb)(node, **given)
    assert caught.value.line() == line


# -- splits ------------------------------------------------------------------------------------------


def test_a_split_by_a_column_that_is_not_there_is_refused_where_it_is_declared(root: Path) -> None:
    table = TABLE.replace("fn.dataset()", 'fn.dataset(fn.split(by="nam", test=0.5))')
    (root / "toy/nodes.py").write_text((root / "toy/nodes.py").read_text() + table)

    line = refused(root, "names")
    assert line.startswith("ResultRefused: dataset `names` expected a column `nam`, got name, n - at toy/nodes.py:")
    assert line.endswith("; did you mean `name`?")


def test_a_part_without_rows_is_not_told_to_load_more_periods(root: Path) -> None:
    both = TABLE.replace("fn.dataset()", 'fn.dataset(fn.split(by="name", test=0.99))').replace(
        '["a", "b"]', "list(map(str, range(2)))"
    )
    model = "\n@fn.model(rows=names.train)\ndef mean(rows: fn.Columns) -> float:\n    return 1.0\n"
    (root / "toy/nodes.py").write_text((root / "toy/nodes.py").read_text() + both + model)

    line = refused(root, "mean")
    assert line.startswith("WindowEmpty: model `mean`: `rows` expected rows of `names` train, got none - at names@")
    assert line.endswith("; split by a column of more groups, and no rows that were split by it before")
    assert "None" not in line


# -- importing ---------------------------------------------------------------------------------------


def test_a_traceback_shows_the_projects_files_only(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # what is named without a folder would lie here
    (root / "toy/nodes.py").write_text("import toy.broken")
    (root / "toy/broken.py").write_text("exec(compile('1 / 0', 'toy/made' + '.pyx', 'exec'))")

    with pytest.raises(FunadeError) as caught:
        _ = toy.project(root).graph
    traceback = str(caught.value.facts["traceback"])

    assert "importlib" not in traceback
    assert "made.pyx" not in traceback
    assert caught.value.at == "toy/broken.py:1"


def test_a_package_below_src_is_told_where_the_configuration_belongs(root: Path) -> None:
    (root / "src").mkdir()
    (root / "toy").rename(root / "src/toy")

    with pytest.raises(FunadeError) as caught:
        _ = toy.project(root).graph
    assert caught.value.line().endswith("; move funade.toml into src")
