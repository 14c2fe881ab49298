"""Every refusal says in one line what was expected, what came, where, and what to do; and exits 1, or 2 for misuse."""

# ruff: noqa: E501 - a message stands whole on its line

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from funade import points
from funade.cli import main
from funade.errors import headline
from funade.project.project import whoami
from support import toy

NOW = "2022-01-31T12:00"
CLEAN = '@fn.dataset(fn.within("x", 0, 100), fn.not_null("y"), points=points)'
RETURN = "    return points\n"
QUALITY = '@fn.evaluation(fn.at_most(mae=0.5), fn.may_rise(mae="5%"), answers=judge.on(clean.last(days=7)))'
ZONE = 'timezone = "Asia/Tokyo"'

Edit = tuple[str, str]


def _nothing(root: Path) -> None:
    pass


class Case(msgspec.Struct, frozen=True):
    """One mistake: the toy project in a state, edited and changed, a command, and the line that it ends with.

    In the line ``<root>`` stands for the project's folder, ``<id>`` for six hex digits, ``<blob>`` for a blob's path,
    ``<who>`` for the user, and ``<text>`` after a file for the number of its first line with that text. ``frames``: the user's own traceback
    stands above the line.
    """

    name: str
    line: str
    command: str = "check"
    state: str = "new"
    nodes: list[Edit] = []
    toml: list[Edit] = []
    files: dict[str, str] = {}
    change: Callable[[Path], None] = _nothing
    environ: dict[str, str] = {}
    code: int = 1
    frames: bool = False


def no_toml(root: Path) -> None:
    (root / "funade.toml").unlink()


def toml_in_another_code(root: Path) -> None:
    (root / "funade.toml").write_bytes(b"\xff\xfe")


def source_in_another_code(root: Path) -> None:
    (root / "toy/shared.py").write_bytes(b"NAME = '\xe9'\n")


def source_with_a_null_byte(root: Path) -> None:
    (root / "toy/shared.py").write_bytes(b"NAME = 0\x00\n")


def twins(root: Path) -> None:
    """Two versions whose ids begin alike."""
    metadata = toy.project(root).store.metadata
    version = metadata.versions("line")[0]
    for digit in "12":
        metadata.add_version(msgspec.structs.replace(version, id="abcd" + digit * 60))
    metadata.close()


def foreign_file(root: Path) -> None:
    (root / ".funade").mkdir()
    (root / ".funade/records.db").write_bytes(b"not a database at all" * 100)


def foreign_database(root: Path) -> None:
    (root / ".funade").mkdir()
    _sql(root, "CREATE TABLE theirs (a)")


def newer_store(root: Path) -> None:
    _sql(root, "PRAGMA user_version = 99")


def _sql(root: Path, statement: str) -> None:
    with sqlite3.connect(root / ".funade/records.db") as connection:
        connection.execute(statement)
    connection.close()


def blob(root: Path, node: str) -> Path:
    """The last file of a node's version."""
    store = toy.project(root).store
    artifact = store.metadata.versions(node)[0].artifact
    assert artifact is not None
    store.metadata.close()
    return store.blobs.path(list(artifact.files.values())[-1])


def altered_model(root: Path) -> None:
    path = blob(root, "line")
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[::-1])


def altered_rows(root: Path) -> None:
    path = blob(root, "clean")
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)


def no_model(root: Path) -> None:
    blob(root, "line").unlink()


def no_rows(root: Path) -> None:
    blob(root, "clean").unlink()


def full_disk(root: Path) -> None:
    """From now on no blob can be written."""

    def refuse(name: str) -> None:
        if name == "blob.written":
            raise OSError(errno.ENOSPC, "No space left on device")

    points.watch = refuse


def steps(*commands: str) -> Callable[[Path], None]:
    """Commands that were run before."""

    def change(root: Path) -> None:
        for command in commands:
            assert run(root, *command.split()) == 0

    return change


def rival(point: str, command: str) -> Callable[[Path], None]:
    """Another process that does a command when this one passes a commit point."""

    def change(root: Path) -> None:
        def watch(name: str) -> None:
            if name == point:
                points.watch = None
                other = [sys.executable, "-m", "funade", "-C", str(root), "--at", NOW, command]
                subprocess.run(other, capture_output=True, check=True)

        points.watch = watch

    return change


def restaged_meanwhile(root: Path) -> None:
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.001")
    steps("build")(root)
    rival("gate.done", "stage")(root)


def rolled_back_meanwhile(root: Path) -> None:
    toy.edit(root, "nodes", "share: float = 0.9", "share: float = 0.91")
    steps("build", "stage", "release")(root)
    rival("release.before", "rollback")(root)


def run(root: Path, *arguments: str) -> int:
    """The exit code of one command, in this process."""
    try:
        main(["-C", str(root), "--at", NOW, *arguments])
    except SystemExit as exit_:
        assert isinstance(exit_.code, int)
        return exit_.code
    return 0


DECLARATIONS = [
    Case(
        "a misspelt input",
        "DeclarationError: dataset `clean` takes no input `pointss` (its parameters: points) - at toy/nodes.py:<def clean>; did you mean `points`?",
        nodes=[(CLEAN, "@fn.dataset(pointss=points)")],
    ),
    Case(
        "the wrong kind on an edge",
        "DeclarationError: model `line` expected a dataset, model or source for `rows`, got threshold `early` - at toy/nodes.py:<def line>",
        nodes=[
            (
                "@fn.model(rows=clean.between(days=(21, 14)))",
                "@fn.threshold()\ndef early() -> float:\n    return 1.0\n\n@fn.model(rows=early)",
            )
        ],
    ),
    Case(
        "an api where its answers are meant",
        "DeclarationError: evaluation `quality` expected a dataset, model, source or threshold for `answers`, got api `judge` - at toy/nodes.py:<def quality>; write answers=judge.on(rows)",
        nodes=[(QUALITY, "@fn.evaluation(answers=judge)")],
    ),
    Case(
        "a value as an input",
        "DeclarationError: dataset `clean` expected a node for `points`, got `5` - at toy/nodes.py:<def clean>; make it the parameter's default to have it as a setting: points=…",
        nodes=[(CLEAN, "@fn.dataset(points=5)")],
    ),
    Case(
        "two nodes of one name",
        "DeclarationError: dataset `clean` expected a name of its own, got one that dataset `clean` bears at toy/nodes.py:<def clean> - at toy/other.py:<def clean>; rename one of them",
        files={
            "toy/other.py": "import funade as fn\nimport pyarrow as pa\n\n@fn.dataset()\ndef clean() -> pa.Table:\n    return pa.table({})\n"
        },
    ),
    Case(
        "an api without contract",
        "DeclarationError: api `judge` expected a contract, got no takes and no gives - at toy/nodes.py:<def judge>; add fn.takes(Struct), fn.gives(Struct)",
        nodes=[("fn.takes(Point), fn.gives(Verdict), ", "")],
    ),
    Case(
        "no parentheses after the decorator",
        "DeclarationError: model `line` expected parentheses after the decorator, got none - at toy/nodes.py:<def line>; write @fn.model()",
        nodes=[("@fn.model(rows=clean.between(days=(21, 14)))", "@fn.model")],
    ),
    Case(
        "a policy on the wrong kind",
        "DeclarationError: model `line` expected policies of a model, got `not_null`, which belongs on a dataset - at toy/nodes.py:<def line>; move `not_null` there",
        nodes=[("@fn.model(", "@fn.model(fn.not_null('x'), ")],
    ),
    Case(
        "a policy twice",
        "DeclarationError: api `judge` expected one `owner`, got several - at toy/nodes.py:<def judge>; keep one",
        nodes=[("@fn.api(", "@fn.api(fn.owner('a'), ")],
    ),
    Case(
        "an unbound parameter",
        "DeclarationError: model `line` expected every parameter bound, got `bend` unbound - at toy/nodes.py:<def line>; bind it above the function (bend=…) or give it a default",
        nodes=[("bend: float = 1.0", "bend: float")],
    ),
    Case(
        "two batch parameters",
        "DeclarationError: api `judge` expected one parameter for its batch of rows, got `batch`, `more` unbound - at toy/nodes.py:<def judge>; bind it above the function (more=…) or give it a default",
        nodes=[("def judge(batch: fn.Columns,", "def judge(batch: fn.Columns, more: int,")],
    ),
    Case(
        "a source without a period",
        "DeclarationError: source `points` expected one parameter for its period, got none - at toy/nodes.py:<def points>; add it: def points(day: str, …)",
        nodes=[("def points(day: str)", "def points()")],
    ),
    Case(
        "a source without a rhythm",
        'DeclarationError: source `points` expected the rhythm of its periods, got none - at toy/nodes.py:<def points>; add fn.every("1 day", since="2022-01-01")',
        nodes=[('fn.every("1 day", since="2022-01-01"), ', "")],
    ),
    Case(
        "a window of half a day",
        "DeclarationError: window expected whole days of at least 1, got 1.5 - at toy/nodes.py:<@fn.evaluation>",
        nodes=[("clean.last(days=7)", "clean.last(days=1.5)")],
    ),
    Case(
        "a window turned round",
        "DeclarationError: window `between` expected days=(further back, nearer), got (7, 14) - at toy/nodes.py:<@fn.threshold>; write days=(14, 7)",
        nodes=[("clean.between(days=(14, 7))", "clean.between(days=(7, 14))")],
    ),
    Case(
        "a window between dates that do not exist",
        "DeclarationError: window expected an ISO date like '2022-03-01', got '2022-01-32' - at toy/nodes.py:<@fn.threshold>",
        nodes=[("clean.between(days=(14, 7))", "clean.between('2022-01-32', '2022-02-01')")],
    ),
    Case(
        "a window on a dataset without time",
        'DeclarationError: dataset `clean` expected a time column for a window, got none - at toy/nodes.py:<def clean>; add fn.time("column"), or split by a group with fn.split(by=…, test=…)',
        nodes=[('fn.time("at"), ', "")],
    ),
    Case(
        "a window on a model",
        "DeclarationError: model `line` expected a dataset under a window, got a model - at toy/nodes.py:<def line>",
        nodes=[("judge.on(clean.last(days=7))", "line.last(days=7)")],
    ),
    Case(
        "a part without a split",
        "DeclarationError: dataset `clean` expected fn.split(…) for `.train`, got none - at toy/nodes.py:<def clean>; add fn.split(by=…, test=0.2)",
        nodes=[("clean.between(days=(21, 14))", "clean.train")],
    ),
    Case(
        "a random split of rows that a time dates",
        'DeclarationError: dataset `clean` expected a split by time, as `at` dates its rows, got one at random: what is judged on the past would have been fitted on its future - at toy/nodes.py:<def clean>; judge a later window (.last(days=7)) instead, or say fn.split(…, despite_time="reason")',
        nodes=[(CLEAN, '@fn.dataset(fn.split(by="row", test=0.2), points=points)')],
    ),
    Case(
        "a split's share out of range",
        "DeclarationError: policy `split` expected 0 < test < 1, got 20 - at toy/nodes.py:<@fn.dataset>; give the share to judge on: test=0.2",
        nodes=[(CLEAN, '@fn.dataset(fn.split(by="row", test=20), points=points)')],
    ),
    Case(
        "a setting that is no JSON value",
        "DeclarationError: model `line` expected a JSON value as the setting `bend`, got an ndarray - at toy/nodes.py:<def line>; bind a node as an input, or use numbers, text, booleans, lists and dicts",
        nodes=[("bend: float = 1.0", "bend: object = np.ones(2)")],
    ),
    Case(
        "a setting that is NaN",
        "DeclarationError: model `line` expected a JSON value as the setting `bend`, got `nan` - at toy/nodes.py:<def line>; bind a node as an input, or use numbers, text, booleans, lists and dicts",
        nodes=[("bend: float = 1.0", "bend: float = float('nan')")],
    ),
    Case(
        "a bar that is no number",
        "DeclarationError: gate `at_most` expected a number for mae, got '5%' - at toy/nodes.py:<@fn.evaluation>",
        nodes=[("fn.at_most(mae=0.5)", "fn.at_most(mae='5%')")],
    ),
    Case(
        "a change that is neither number nor share",
        "DeclarationError: gate `may_rise` expected a number or a share like '2%' for mae, got '5' - at toy/nodes.py:<@fn.evaluation>",
        nodes=[('fn.may_rise(mae="5%")', 'fn.may_rise(mae="5")')],
    ),
    Case(
        "an unknown rhythm",
        "DeclarationError: source `points`: policy `every` expected one of 1 hour, 1 day, 1 week, 1 month, got '2 days' - at toy/nodes.py:<def points>",
        nodes=[('fn.every("1 day"', 'fn.every("2 days"')],
    ),
    Case(
        "parameters without names",
        "DeclarationError: dataset `clean` expected parameters that can be given by name, got `*points` - at toy/nodes.py:<def clean>; name each of them",
        nodes=[("def clean(points: pa.Table)", "def clean(*points: pa.Table)")],
    ),
    Case(
        "an async function",
        "DeclarationError: dataset expected a plain function, got `clean`, which is async - at toy/nodes.py:<async def clean>; write def name(…) and return its result",
        nodes=[("def clean(points: pa.Table)", "async def clean(points: pa.Table)")],
    ),
    Case(
        "a model without return annotation",
        "DeclarationError: model `line` expected an annotated return type, got none - at toy/nodes.py:<def line>; write e.g. `-> LGBMClassifier`",
        nodes=[("bend: float = 1.0) -> Line:", "bend: float = 1.0):")],
    ),
    Case(
        "a model's class that no codec fits",
        "DeclarationError: model `line` expected a result that can be kept, got set, which no codec fits - at toy/nodes.py:<def line>; give the class save(self, dir) and a classmethod load(dir)",
        nodes=[("bend: float = 1.0) -> Line:", "bend: float = 1.0) -> set:")],
    ),
    Case(
        "a return annotation that cannot be read",
        "DeclarationError: model `line` expected a return type that can be read, got `Lime` - at toy/nodes.py:<def line>; define or import it above, not only under TYPE_CHECKING",
        nodes=[("bend: float = 1.0) -> Line:", "bend: float = 1.0) -> 'Lime':")],
    ),
    Case(
        "a private node used elsewhere",
        "DeclarationError: model `line` expected a node it may use, got `clean`, which is private to other - at toy/nodes.py:<def line>; name it in fn.only_for(…) of `clean`, or take another node",
        nodes=[(CLEAN, '@fn.dataset(fn.only_for("other"), points=points)')],
    ),
    Case(
        "a deprecated node after its date",
        "DeclarationError: model `line` expected a node in use, got `clean`, which ended on 2022-01-30 - at toy/nodes.py:<def line>; use clean2",
        nodes=[(CLEAN, '@fn.dataset(fn.deprecated("use clean2", until="2022-01-30"), points=points)')],
    ),
    Case(
        "a build from a deprecated node after its date",
        "DeclarationError: model `line` expected a node in use, got `clean`, which ended on 2022-01-30 - at toy/nodes.py:<def line>; use clean2",
        nodes=[(CLEAN, '@fn.dataset(fn.deprecated("use clean2", until="2022-01-30"), points=points)')],
        command="build",
        state="loaded",
    ),
    Case(
        "a node called inside a function",
        'DeclarationError: `line` expected the node `clean` as an input, got it used inside its own body - at toy/nodes.py:<x = clean(rows["x"])>; take it as an input: clean=clean above `line`',
        nodes=[
            (RETURN, RETURN + "\ndef later():\n    return line(1)\n"),
            ('x = feature(rows["x"])', 'x = clean(rows["x"])'),
        ],
    ),
    Case(
        "a contract's field that is no plain value",
        "DeclarationError: struct `Point` field `x` expected bool, int, float, str, datetime, date, Literal or Enum, also `| None`, got `set` - at toy/nodes.py:<def judge>; write one field per value",
        nodes=[("    x: float\n", "    x: set\n")],
    ),
    Case(
        "a contract that is no struct",
        "DeclarationError: contract expected a msgspec.Struct, got `dict` - at toy/nodes.py:<def judge>; write class Name(msgspec.Struct)",
        nodes=[("fn.takes(Point)", "fn.takes(dict)")],
    ),
    Case(
        "a partial declared",
        "DeclarationError: dataset expected a plain function, got a partial - at toy/nodes.py:<foo = fn.dataset()(functools.partial(print))>; write def name(…) and return its result",
        nodes=[(CLEAN, "import functools\nfoo = fn.dataset()(functools.partial(print))\n\n@fn.dataset(points=points)")],
    ),
    Case(
        "a lambda declared",
        "DeclarationError: dataset expected a plain function, got a lambda - at toy/nodes.py:<foo = fn.dataset()(lambda: 1)>; write def name(…) and return its result",
        nodes=[(CLEAN, "foo = fn.dataset()(lambda: 1)\n\n@fn.dataset(points=points)")],
    ),
    Case(
        "a function that yields",
        "DeclarationError: dataset expected a plain function, got `clean`, which yields - at toy/nodes.py:<def clean>; write def name(…) and return its result",
        nodes=[(RETURN, "    yield points\n")],
    ),
    Case(
        "answers for a value",
        "DeclarationError: api `judge` expected a node for `.on(rows)`, got int - at toy/nodes.py:<@fn.evaluation>; call it to answer a frame in hand",
        nodes=[("judge.on(clean.last(days=7))", "judge.on(5)")],
    ),
    Case(
        "a window on an api's table",
        "DeclarationError: api `judge` expected the whole of `clean` for `rows`, got its last 3 days - at toy/nodes.py:<def judge>; choose the rows in a dataset of their own",
        nodes=[
            (
                "model=line, limit=cut)\ndef judge(batch: fn.Columns,",
                "model=line, limit=cut, rows=clean.last(days=3))\ndef judge(batch: fn.Columns, rows: fn.Columns,",
            )
        ],
    ),
    Case(
        "a fallback without a field",
        "DeclarationError: api `judge` expected a fallback that keeps its contract, got: Object missing required field `high` - at toy/nodes.py:<def judge>; give each field of `Verdict` a value in fn.fallback(…)",
        nodes=[("fn.fallback(score=0.0, high=False)", "fn.fallback(score=0.0)")],
    ),
    Case(
        "a fallback of another type",
        "DeclarationError: api `judge` expected a fallback that keeps its contract, got: Expected `float`, got `str` - at `$.score` - at toy/nodes.py:<def judge>; give each field of `Verdict` a value in fn.fallback(…)",
        nodes=[("fn.fallback(score=0.0, high=False)", "fn.fallback(score='a', high=False)")],
    ),
    Case(
        "an owner without a name",
        "DeclarationError: policy `owner` expected a name, got '' - at toy/nodes.py:<@fn.api>",
        nodes=[('fn.owner("toy-team")', "fn.owner('')")],
    ),
    Case(
        "a former name that another node bears",
        "DeclarationError: model `line` expected a name it no longer bears, got `cut`, which threshold `cut` bears - at toy/nodes.py:<def line>; take fn.was(…) away, or rename that node",
        nodes=[("@fn.model(", "@fn.model(fn.was('cut'), ")],
    ),
    Case(
        "a frame's annotation that cannot be read",
        "DeclarationError: dataset `clean` expected an annotation of `points` that can be read, got `pl.DataFrame` - at toy/nodes.py:<def clean>; define or import it above, not only under TYPE_CHECKING",
        nodes=[("def clean(points: pa.Table)", "def clean(points: 'pl.DataFrame')")],
    ),
    Case(
        "a replaced input that is not there",
        "DeclarationError: api `judge` takes no input `modell` (its inputs: model, limit) - at toy/nodes.py:<def quality>; did you mean `model`?",
        nodes=[("judge.on(clean.last(days=7))", "judge.on(clean.last(days=7), modell=line)")],
    ),
    Case(
        "an input replaced by another kind",
        "DeclarationError: api `judge` expected a model for `model`, got threshold `cut` - at toy/nodes.py:<def quality>",
        nodes=[("judge.on(clean.last(days=7))", "judge.on(clean.last(days=7), model=cut)")],
    ),
    Case(
        "a model fitted on answers",
        "DeclarationError: model `quality` expected a node for `answers`, got answers - at toy/nodes.py:<def quality>; judge answers in an evaluation",
        nodes=[(QUALITY, "@fn.model(answers=judge.on(clean.last(days=7)))")],
    ),
    Case(
        "an evaluation of nothing",
        "DeclarationError: evaluation `quality` expected something to judge, got no input - at toy/nodes.py:<def quality>; bind answers: answers=API.on(rows)",
        nodes=[(QUALITY + "\ndef quality(answers: fn.Columns)", "@fn.evaluation()\ndef quality()")],
    ),
]

PROJECTS = [
    Case(
        "an empty project",
        "ProjectError: project `toy` expected nodes in toy, got none - at <root>/funade.toml; decorate a function: @fn.source(…)",
        files={"toy/nodes.py": ""},
    ),
    Case(
        "no modules named",
        "ProjectError: project `toy` expected nodes in its modules, got none - at <root>/funade.toml; decorate a function: @fn.source(…)",
        toml=[('["toy"]', "[]")],
    ),
    Case(
        "an unknown window argument",
        "UserCodeError: module `toy.nodes` expected to be imported, got TypeError: Node.last() got an unexpected keyword argument 'weeks' - at toy/nodes.py:<@fn.evaluation>",
        nodes=[("clean.last(days=7)", "clean.last(weeks=1)")],
        frames=True,
    ),
    Case(
        "settings of an unknown node",
        "SettingError: settings expected a node of the project, got `lime` - at [settings.lime] in funade.toml; did you mean `line`?",
        toml=[(ZONE, ZONE + "\n[settings.lime]\nbend=2.0")],
    ),
    Case(
        "an unknown setting",
        "SettingError: model `line` takes no setting `bent` (its settings: bend) - at [settings.line] in funade.toml; did you mean `bend`?",
        toml=[(ZONE, ZONE + "\n[settings.line]\nbent=2.0")],
    ),
    Case(
        "a setting of another type",
        "SettingError: model `line` expected `bend` as float, got 'much' - at [settings.line] in funade.toml; its default is 1.0 at toy/nodes.py:<def line>",
        toml=[(ZONE, ZONE + '\n[settings.line]\nbend="much"')],
    ),
    Case(
        "a NaN in funade.toml",
        "SettingError: model `line` expected `bend` as a JSON value, got nan - at [settings.line] in funade.toml",
        toml=[(ZONE, ZONE + "\n[settings.line]\nbend=nan")],
    ),
    Case(
        "an unknown key in funade.toml",
        "ProjectError: [project] takes no key `timezon` (its keys: name, modules, timezone) - at <root>/funade.toml; did you mean `timezone`?",
        toml=[("timezone", "timezon")],
    ),
    Case(
        "an unknown section in funade.toml",
        "ProjectError: funade.toml takes no key `projekt` (its keys: project, store, places, settings, serve, queue, log, profile) - at <root>/funade.toml; did you mean `project`?",
        toml=[("[project]", "[projekt]")],
    ),
    Case(
        "a value of another type in funade.toml",
        "ProjectError: funade.toml expected `serve.port` as `int`, got `str` - at <root>/funade.toml",
        toml=[(ZONE, ZONE + '\n[serve]\nport="80"')],
    ),
    Case(
        "no funade.toml",
        'ProjectError: project expected funade.toml here or above, got none - at <root>; write one: [project] name = "…", modules = ["…"]',
        change=no_toml,
    ),
    Case(
        "bad TOML",
        "ProjectError: funade.toml expected TOML, got: Expected '=' after a key in a key/value pair (at line 2, column 6) - at <root>/funade.toml",
        toml=[('name = "toy"', "name toy")],
    ),
    Case(
        "a funade.toml that is not UTF-8",
        "ProjectError: funade.toml expected TOML, got: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte - at <root>/funade.toml",
        change=toml_in_another_code,
    ),
    Case(
        "an unknown time zone",
        "ProjectError: project expected an IANA time zone like 'Asia/Tokyo', got 'Asia/Tokio' - at <root>/funade.toml",
        toml=[("Asia/Tokyo", "Asia/Tokio")],
    ),
    Case(
        "a missing time zone",
        'ProjectError: project `toy` expected a time zone, got none, and source `points` is dated - at <root>/funade.toml; add timezone = "Asia/Tokyo" (or yours) under [project]',
        toml=[(ZONE, "")],
    ),
    Case(
        "an unknown profile",
        "ProjectError: project expected one of its profiles (none), got `prod` - at <root>/funade.toml; add [profile.prod], or mend FUNADE_PROFILE",
        environ={"FUNADE_PROFILE": "prod"},
    ),
    Case(
        "a module that is not there",
        "ProjectError: project expected a module `toyy`, got no toyy.py and no such folder - at <root>; mend modules = […] in funade.toml",
        toml=[('["toy"]', '["toyy"]')],
    ),
    Case(
        "a module that fails on import",
        "UserCodeError: module `toy.nodes` expected to be imported, got ZeroDivisionError: division by zero - at toy/nodes.py:<1 / 0>",
        nodes=[("class Point", "1 / 0\nclass Point")],
        frames=True,
    ),
    Case(
        "a module that fails below another",
        "UserCodeError: module `toy.nodes` expected to be imported, got KeyError: 'a' - at toy/shared.py:<return {}['a']>",
        files={"toy/shared.py": "def f():\n    return {}['a']\nX = f()\n"},
        frames=True,
    ),
    Case(
        "an import of what is not installed",
        "UserCodeError: module `toy.nodes` expected to be imported, got ModuleNotFoundError: No module named 'msgspecc' - at toy/nodes.py:<import msgspecc>; install it, or mend the import",
        nodes=[("import msgspec", "import msgspecc")],
        frames=True,
    ),
    Case(
        "a module that exits",
        "UserCodeError: module `toy.nodes` expected to be imported, got SystemExit: 3 - at toy/nodes.py:<raise SystemExit(3)>",
        nodes=[("class Point", "raise SystemExit(3)\nclass Point")],
        frames=True,
    ),
    Case(
        "a syntax error",
        "UserCodeError: module `toy.nodes` expected to be imported, got SyntaxError: '(' was never closed - at toy/nodes.py:<return (points>",
        nodes=[("return points", "return (points")],
        frames=True,
    ),
    Case(
        "a source file that is not UTF-8",
        "UserCodeError: module `toy.nodes` expected to be imported, got SyntaxError: (unicode error) 'utf-8' codec can't decode byte 0xe9 in position 0: unexpected end of data - at toy/shared.py:<NAME = '�'>",
        change=source_in_another_code,
        frames=True,
    ),
    Case(
        "a source file with a null byte",
        "UserCodeError: module `toy.nodes` expected to be imported, got SyntaxError: source code string cannot contain null bytes - at toy/nodes.py:<from toy.shared import feature>",
        change=source_with_a_null_byte,
        frames=True,
    ),
    Case(
        "no modules key in funade.toml",
        "ProjectError: [project] expected `modules`, got none - at <root>/funade.toml",
        toml=[('modules = ["toy"]', "")],
    ),
    Case(
        "a port out of range",
        "ProjectError: funade.toml expected `serve.port` as `int` <= 65535 - at <root>/funade.toml",
        toml=[(ZONE, ZONE + "\n[serve]\nport=99999")],
    ),
    Case(
        "an unknown key in a profile",
        "ProjectError: [profile.NAME.store] takes no key `paht` (its keys: path) - at <root>/funade.toml; did you mean `path`?",
        toml=[(ZONE, ZONE + '\n[profile.prod.store]\npaht="x"')],
    ),
]

COMMANDLINES = [
    Case(
        "a model of another class than annotated",
        "ResultRefused: model `line` expected to return `Line`, got `Other` - at toy/nodes.py:<def line>; annotate the class that it returns",
        command="build line",
        state="loaded",
        nodes=[
            (
                "class Line:",
                "class Other:\n    def save(self, folder: Path) -> None:\n        (folder / 'a').write_text('1')\n    @classmethod\n    def load(cls, folder: Path) -> 'Other':\n        return cls()\n\nclass Line:",
            ),
            ("    return Line(float", "    return Other()\n    return Line(float"),
        ],
    ),
    Case(
        "a model that is a number",
        "ResultRefused: model `line` expected to return `Line`, got `int` - at toy/nodes.py:<def line>; annotate the class that it returns",
        command="build line",
        state="loaded",
        nodes=[("    return Line(float", "    return 5\n    return Line(float")],
    ),
    Case(
        "a threshold that is NaN",
        "CodecError: threshold `cut` expected finite numbers, got nan at `$` - at toy/nodes.py:<def cut>",
        command="build cut",
        state="loaded",
        nodes=[("return float(np.quantile", "return float('nan')\n    return float(np.quantile")],
    ),
    Case(
        "a threshold that is no JSON value",
        "ResultRefused: threshold `cut` expected a result that codec `json` keeps, got object - at toy/nodes.py:<def cut>; return numbers, text, lists and dicts (of an array its .tolist())",
        command="build cut",
        state="loaded",
        nodes=[("return float(np.quantile", "return object()\n    return float(np.quantile")],
    ),
    Case(
        "a dataset that returns no frame",
        "ResultRefused: dataset `clean` expected a frame, got int - at toy/nodes.py:<def clean>; return pandas.DataFrame, polars.DataFrame, pyarrow.Table, a DuckDB relation or a dict of NumPy arrays",
        command="build clean",
        state="loaded",
        nodes=[(RETURN, "    return 5\n")],
    ),
    Case(
        "a dataset that forgets to return",
        "ResultRefused: dataset `clean` expected a frame, got None - at toy/nodes.py:<def clean>; return pandas.DataFrame, polars.DataFrame, pyarrow.Table, a DuckDB relation or a dict of NumPy arrays",
        command="build clean",
        state="loaded",
        nodes=[(RETURN, "    points\n")],
    ),
    Case(
        "a missing time column",
        "ResultRefused: source `points` expected a column `att`, got row, at, x, y - at points 2022-01-01; did you mean `at`?",
        command="load",
        nodes=[('fn.time("at")', 'fn.time("att")')],
    ),
    Case(
        "a missing key column",
        "ResultRefused: source `points` expected a column `rows`, got row, at, x, y - at points 2022-01-01; did you mean `row`?",
        command="load",
        nodes=[('fn.key("row")', 'fn.key("rows")')],
    ),
    Case(
        "a missing column of a check",
        "CheckFailed: dataset `clean` expected a column `xx`, got row, at, x, y - at clean@<id>; did you mean `x`?",
        command="build",
        state="loaded",
        nodes=[('fn.within("x", 0, 100)', 'fn.within("xx", 0, 100)')],
    ),
    Case(
        "a missing column of a contract",
        "ResultRefused: evaluation `quality`: api `judge` expected a column `z` in the rows, got row, at, x, y - at toy/nodes.py:<def judge>",
        command="build",
        state="loaded",
        nodes=[("    x: float\n", "    x: float\n    z: float\n")],
    ),
    Case(
        "bad rows",
        "CheckFailed: dataset `clean` expected `x` in [0, 7], got 45 bad rows (first: 1057, 1107, 1114) - at clean@<id>; see them: funade show clean@<id> --bad",
        command="build",
        state="loaded",
        nodes=[('fn.within("x", 0, 100)', 'fn.within("x", 0, 7)')],
    ),
    Case(
        "fewer rows answered than asked",
        "AnswerError: evaluation `quality`: api `judge` answered 349 rows, expected 350 - at toy/nodes.py:<def judge>; return one answer per row, in the batch's order",
        command="build",
        state="loaded",
        nodes=[('return {"score": score, ', 'score = score[1:]\n    return {"score": score, ')],
    ),
    Case(
        "a permuted index",
        "AnswerError: evaluation `quality`: api `judge` answered a permuted index (row 1 is labelled 43), expected 0 to 349 in order - at toy/nodes.py:<def judge>; answers align by position: return them in the batch's order",
        command="build",
        state="loaded",
        nodes=[
            (
                'return {"score": score, "high": score >= limit}',
                'import pandas as pd\n    return pd.DataFrame({"score": score, "high": score >= limit}).sort_values("score")',
            ),
            ("limit: float) -> fn.Columns", "limit: float)"),
        ],
    ),
    Case(
        "NaN where it is refused",
        "AnswerError: evaluation `quality`: api `judge` answered row 3 with `score` nan, expected a finite number - at toy/nodes.py:<def judge>; mend the function, or say in the contract that such a value may be answered",
        command="build",
        state="loaded",
        nodes=[('score = model.predict(batch["x"])', 'score = model.predict(batch["x"])\n    score[3] = np.nan')],
    ),
    Case(
        "an extra column answered",
        "AnswerError: evaluation `quality`: api `judge` answered an extra column `z`, expected score, high - at toy/nodes.py:<def judge>; leave it out",
        command="build",
        state="loaded",
        nodes=[('"high": score >= limit}', '"high": score >= limit, "z": score}')],
    ),
    Case(
        "an api that raises",
        "BuildFailed: evaluation `quality` expected to be built, got KeyError: 'xx' - at toy/nodes.py:<def quality>; mend it and run the command again; what was built stays",
        command="build",
        state="loaded",
        nodes=[('score = model.predict(batch["x"])', 'score = model.predict(batch["xx"])')],
        frames=True,
    ),
    Case(
        "an empty window",
        "WindowEmpty: threshold `cut`: `rows` expected rows of `clean` between 2023-01-01 and 2023-02-01, got none - at clean@<id>, which ends at 2022-01-30 15:00:00+00:00; load more periods, or widen the window",
        command="build",
        state="loaded",
        nodes=[("clean.between(days=(14, 7))", "clean.between('2023-01-01', '2023-02-01')")],
    ),
    Case(
        "a source never loaded",
        "NotBuilt: source `points` expected a period loaded, got none - at toy/nodes.py:<def points>; run: funade load points",
        command="build",
    ),
    Case(
        "a threshold above a source never loaded",
        "NotBuilt: source `points` expected a period loaded, got none - at toy/nodes.py:<def points>; run: funade load points",
        command="build cut",
    ),
    Case(
        "a loader that raises",
        "LoadFailed: source `points` expected rows of 2022-01-03, got OSError: gone - at toy/nodes.py:<def points>; mend it and run the command again; what is loaded stays",
        command="load",
        nodes=[("    n = 50\n", "    n = 50\n    if day == '2022-01-03': raise OSError('gone')\n")],
        frames=True,
    ),
    Case(
        "a loader that returns nothing",
        "ResultRefused: source `points` expected a frame, got None - at points 2022-01-01; return pandas.DataFrame, polars.DataFrame, pyarrow.Table, a DuckDB relation or a dict of NumPy arrays",
        command="load",
        nodes=[("    n = 50\n", "    return None\n")],
    ),
    Case(
        "a loader whose columns change",
        "ResultRefused: source `points` expected the columns loaded before, got no k and new xx - at points 2022-01-03; give every period the same columns, or load all again: funade load points --again",
        command="load",
        nodes=[("    return pa.table({\n", "    return pa.table({('xx' if day == '2022-01-03' else 'k'): [1] * n,\n")],
    ),
    Case(
        "a loader that exits",
        "LoadFailed: source `points` expected rows of 2022-01-01, got SystemExit: 4 - at toy/nodes.py:<def points>; mend it and run the command again; what is loaded stays",
        command="load",
        nodes=[("    n = 50\n", "    raise SystemExit(4)\n")],
        frames=True,
    ),
    Case(
        "a dataset that exits",
        "BuildFailed: dataset `clean` expected to be built, got SystemExit: 4 - at toy/nodes.py:<def clean>; mend it and run the command again; what was built stays",
        command="build",
        state="loaded",
        nodes=[(RETURN, "    raise SystemExit(4)\n")],
        frames=True,
    ),
    Case(
        "a place not given",
        "PlaceMissing: source `points` expected a place `city`, got none - at toy/nodes.py:<def points>; set FUNADE_PLACE_CITY, or city under [places] in funade.toml",
        command="load",
        nodes=[("def points(day: str)", "def points(day: str, folder: Path = fn.place('city'))")],
    ),
    Case(
        "a secret not given",
        "PlaceMissing: source `points` expected a secret `CITY_DSN`, got none - at toy/nodes.py:<def points>; set CITY_DSN or CITY_DSN_FILE",
        command="load",
        nodes=[("def points(day: str)", "def points(day: str, dsn: fn.Secret = fn.secret('CITY_DSN'))")],
    ),
    Case(
        "a secret's file that is not there",
        "PlaceMissing: source `points` expected a secret `CITY_DSN` in /nowhere/dsn, got FileNotFoundError - at toy/nodes.py:<def points>; mend CITY_DSN_FILE",
        command="load",
        nodes=[("def points(day: str)", "def points(day: str, dsn: fn.Secret = fn.secret('CITY_DSN'))")],
        environ={"CITY_DSN_FILE": "/nowhere/dsn"},
    ),
    Case(
        "an unknown version",
        "UnknownVersion: version `line@abcdef` expected an id that exists, got none; the newest are line@<id>",
        command="show line@abcdef",
        state="built",
        code=2,
    ),
    Case(
        "a version that is no id",
        "Misuse: version expected node@ and at least 4 hex digits, got `line@newest`; see them: funade compare NODE",
        command="show line@newest",
        state="built",
        code=2,
    ),
    Case(
        "an ambiguous short id",
        "Misuse: version `line@abcd` expected to fit one version, got `line@abcd11`, `line@abcd22`; write more of its digits",
        command="show line@abcd",
        state="built",
        change=twins,
        code=2,
    ),
    Case(
        "a version of a node not built",
        "NotBuilt: model `line` expected its present version built, got none - at toy/nodes.py:<def line>; run: funade build line",
        command="show line",
        state="loaded",
    ),
    Case(
        "a version of an unknown node",
        "Misuse: project has no node `lime`; did you mean `line`?",
        command="show lime",
        state="built",
        code=2,
    ),
    Case(
        "an id of an unknown node",
        "UnknownVersion: version `lime@abcdef` expected a node that has versions, got none named `lime`; did you mean `line`?",
        command="show lime@abcdef",
        state="built",
        code=2,
    ),
    Case(
        "an unknown node to build",
        "Misuse: project has no node `lime`; did you mean `line`?",
        command="build lime",
        state="loaded",
        code=2,
    ),
    Case(
        "an unknown node to compare",
        "Misuse: project has no node `lime`; did you mean `line`?",
        command="compare lime",
        state="loaded",
        code=2,
    ),
    Case(
        "an unknown node to unstage",
        "Misuse: project has no node `lime`; did you mean `line`?",
        command="unstage lime",
        state="loaded",
        code=2,
    ),
    Case(
        "an unknown source",
        "Misuse: project has no node `pointz`; did you mean `points`?",
        command="load pointz",
        code=2,
    ),
    Case(
        "a model to load",
        "Misuse: load expected a source, got model `line`; run: funade build line",
        command="load line",
        code=2,
    ),
    Case(
        "a hold of an api",
        "Misuse: hold expected a dataset, model or threshold, got api `judge`",
        command="stage judge",
        state="built",
        code=2,
    ),
    Case(
        "a released version before any release",
        "Misuse: model `line` expected a version in the current release, got none; see them: funade releases",
        command="stage line@released",
        state="built",
        code=2,
    ),
    Case("an unknown command", "Misuse: funade has no command `biuld`; did you mean `build`?", command="biuld", code=2),
    Case(
        "an unknown option",
        "Misuse: funade build: no such option '--sett'. Did you mean '--set'?; run: funade build --help",
        command="build --sett a=1",
        code=2,
    ),
    Case(
        "a missing argument",
        "Misuse: funade show: missing argument 'VERSION'; run: funade show --help",
        command="show",
        code=2,
    ),
    Case(
        "a foreign file in the store",
        "StoreError: store expected a database of funade's, got another file - at <root>/.funade/records.db; move that file away",
        command="status",
        change=foreign_file,
    ),
    Case(
        "another program's SQLite file",
        "StoreError: store expected a database of funade's, got another file - at <root>/.funade/records.db; move that file away",
        command="status",
        change=foreign_database,
    ),
    Case(
        "a store from a newer version",
        "StoreTooNew: store expected schema 1 or older, got 99 - at <root>/.funade/records.db; upgrade funade: a newer one wrote this store",
        command="status",
        state="loaded",
        change=newer_store,
    ),
    Case(
        "an altered blob",
        "BlobDamaged: threshold `cut`: blob `<id>` expected the bytes it is named by, got others - at toy/nodes.py:<def cut>; run: funade fsck",
        command="build",
        state="built",
        nodes=[("share: float = 0.9", "share: float = 0.8")],
        change=altered_model,
    ),
    Case(
        "altered rows",
        "BlobDamaged: model `line`: blob `<id>` expected whole Parquet, got: could not verify page integrity, CRC checksum verification failed for page_ordinal 0 - at toy/nodes.py:<def line>; run: funade fsck",
        command="build",
        state="built",
        nodes=[("bend: float = 1.0", "bend: float = 1.5")],
        change=altered_rows,
    ),
    Case(
        "a missing blob",
        "BlobMissing: threshold `cut`: blob `<id>` expected in the store, got no file - at <root>/.funade/blobs/<blob>; run: funade fsck",
        command="build",
        state="built",
        nodes=[("share: float = 0.9", "share: float = 0.8")],
        change=no_model,
    ),
    Case(
        "missing rows",
        "BlobMissing: model `line`: blob `<id>` expected in the store, got no file - at <root>/.funade/blobs/<blob>; run: funade fsck",
        command="build",
        state="built",
        nodes=[("bend: float = 1.0", "bend: float = 1.5")],
        change=no_rows,
    ),
    Case(
        "a full disk while loading",
        "DiskFull: store expected room for a blob, got: No space left on device - at <root>/.funade; free some room, then run it again",
        command="load",
        change=full_disk,
    ),
    Case(
        "a full disk while building",
        "DiskFull: store expected room for a blob, got: No space left on device - at <root>/.funade; free some room, then run it again",
        command="build",
        state="loaded",
        change=full_disk,
    ),
    Case(
        "a full disk while staging",
        "DiskFull: store expected room for a blob, got: No space left on device - at <root>/.funade; free some room, then run it again",
        command="stage",
        state="built",
        change=full_disk,
    ),
    Case(
        "a stage before the build",
        "CutIncomplete: release expected `clean@<id>` built, got none - at toy/nodes.py:<def clean>; run: funade build quality",
        command="stage",
        state="loaded",
    ),
    Case(
        "a stage before the load",
        "CutIncomplete: release expected `points` loaded, got nothing; run: funade load points",
        command="stage",
    ),
    Case(
        "a stage without an api",
        "CutIncomplete: release expected an api, got none; declare one: @fn.api(…)",
        command="stage",
        state="loaded",
        files={"toy/nodes.py": "import funade as fn\n@fn.model()\ndef a() -> dict:\n    return {}\n"},
    ),
    Case(
        "a diff of releases that are not there",
        "Misuse: diff expected a release, got 1; see them: funade releases",
        command="diff 1 2",
        state="built",
        code=2,
    ),
    Case(
        "a --set without a value",
        "Misuse: --set expected NAME=VALUE, got `bend`; write e.g. --set trees=200",
        command="build line --set bend",
        state="loaded",
        code=2,
    ),
    Case(
        "a --set of another type",
        "SettingError: model `line` expected `bend` as float, got 'much' - at --set; its default is 1.0 at toy/nodes.py:<def line>",
        command="build line --set bend=much",
        state="loaded",
    ),
    Case(
        "a --set of an unknown setting",
        "SettingError: model `line` takes no setting `bnd` (its settings: bend) - at --set; did you mean `bend`?",
        command="build line --set bnd=2.0",
        state="loaded",
    ),
    Case(
        "a --set to NaN",
        "SettingError: model `line` expected `bend` as a JSON value, got nan - at --set",
        command="build line --set bend=nan",
        state="loaded",
    ),
    Case(
        "a --set for two nodes",
        "Misuse: an attempt expected one node, got line, cut; name it: funade build NODE --set k=v",
        command="build line cut --set bend=2.0",
        state="loaded",
        code=2,
    ),
    Case(
        "a --set for no node",
        "Misuse: an attempt expected one node, got none; name it: funade build NODE --set k=v",
        command="build --set bend=2.0",
        state="loaded",
        code=2,
    ),
    Case(
        "a --set for a source",
        "Misuse: an attempt expected a node that is built, got source `points`; run: funade load points --again",
        command="build points --set bend=2.0",
        state="loaded",
        code=2,
    ),
    Case(
        "an attempt at an api",
        "Misuse: an attempt expected a node that is built, got api `judge`",
        command="build judge --again",
        state="loaded",
        code=2,
    ),
    Case(
        "an attempt at a source",
        "Misuse: an attempt expected a node that is built, got source `points`; run: funade load points --again",
        command="build points --again",
        state="loaded",
        code=2,
    ),
    Case(
        "a bad --at",
        "Misuse: --at expected an ISO time like 2022-04-01T03:00, got 'yesterday'",
        command="--at yesterday status",
        code=2,
    ),
    Case(
        "a bad period's name",
        "Misuse: period of 1 day expected a name like 2022-03-01, got '2022-13-01'",
        command="load points --from 2022-13-01",
        code=2,
    ),
    Case(
        "a --to before --from",
        "Misuse: periods expected the earlier first, got --from 2022-01-05 --to 2022-01-02",
        command="load points --from 2022-01-05 --to 2022-01-02",
        code=2,
    ),
    Case(
        "periods before the first",
        "Misuse: periods expected one since 2022-01-01, got --from 2021-01-05 --to 2021-01-06",
        command="load points --from 2021-01-05 --to 2021-01-06",
        code=2,
    ),
    Case(
        "a --to before the first",
        "Misuse: periods expected the earlier first, got --from 2022-01-01 (the first) --to 2021-01-06",
        command="load points --to 2021-01-06",
        code=2,
    ),
    Case(
        "a --from after the last",
        "Misuse: periods expected the earlier first, got --from 2023-01-06 --to 2022-01-30",
        command="load points --from 2023-01-06",
        code=2,
    ),
    Case(
        "an evaluation that returns no numbers",
        "ResultRefused: evaluation `quality` expected numbers by name, got int - at toy/nodes.py:<def quality>",
        command="build",
        state="loaded",
        nodes=[('return {"mae": float(np.abs(answers["score"] - answers["y"]).mean())}', "return 5")],
    ),
    Case(
        "an evaluation of text",
        "ResultRefused: evaluation `quality` expected a number for mae, got 'low' - at toy/nodes.py:<def quality>",
        command="build",
        state="loaded",
        nodes=[('float(np.abs(answers["score"] - answers["y"]).mean())}', '"low"}')],
    ),
    Case(
        "an answer's column on both sides",
        "ResultRefused: evaluation `quality`: api `judge` expected rows without its answers' columns, got `score` on both sides - at toy/nodes.py:<def judge>; rename the rows' column, or the contract's",
        command="build",
        state="loaded",
        nodes=[(RETURN, "    return points.append_column('score', points['x'])\n")],
    ),
    Case(
        "a model that raises",
        "BuildFailed: model `line` expected to be built, got KeyError: 'z' - at toy/nodes.py:<def line>; mend it and run the command again; what was built stays",
        command="build",
        state="loaded",
        nodes=[('    x = feature(rows["x"])\n', '    x = feature(rows["z"])\n')],
        frames=True,
    ),
    Case(
        "a period that has not ended",
        "Misuse: periods expected an end before 2022-01-31 12:00 UTC, got --to 2022-02-05; load it when it has ended",
        command="load points --to 2022-02-05",
        code=2,
    ),
]

RELEASES = [
    Case(
        "a release of nothing",
        "CutIncomplete: release expected a candidate, got none; run: funade stage",
        command="release",
        state="built",
    ),
    Case(
        "a rollback without a release",
        "RollbackRefused: rollback expected a current release, got none; run: funade release",
        command="rollback",
        state="built",
    ),
    Case(
        "a rollback before the first release",
        "RollbackRefused: rollback expected a release before 1, got none; see them: funade releases",
        command="rollback",
        state="released",
    ),
    Case(
        "a rollback to an unknown release",
        "RollbackRefused: rollback expected a release, got 7; see them: funade releases",
        command="rollback 7",
        state="released",
    ),
    Case(
        "a rollback to the current release",
        "RollbackRefused: rollback expected another release than the current one, got 1; see them: funade releases",
        command="rollback 1",
        state="released",
    ),
    Case(
        "a rollback to no number",
        "Misuse: funade rollback: invalid value for '[NUMBER]': 'one' is not a valid integer; run: funade rollback --help",
        command="rollback one",
        state="released",
        code=2,
    ),
    Case(
        "a diff with no release",
        "Misuse: diff expected a release, got 2; see them: funade releases",
        command="diff 1 2",
        state="released",
        code=2,
    ),
    Case(
        "a server without a release",
        "ServeError: server expected a release, got none; run: funade release",
        command="serve",
        state="built",
    ),
    Case(
        "a released version of an unknown node",
        "Misuse: project has no node `lime`; did you mean `line`?",
        command="show lime@released",
        state="released",
        code=2,
    ),
    Case(
        "a stage after an edit",
        "CutIncomplete: release expected `line@<id>` built, got `line@<id>` (code changed: toy.nodes:line; setting bend: 1.0 -> 1.5) - at toy/nodes.py:<def line>; run: funade build quality",
        command="stage",
        state="released",
        nodes=[("bend: float = 1.0", "bend: float = 1.5")],
    ),
    Case(
        "two holds that disagree",
        "HoldsDisagree: hold of `line@<id>` expected `line@<id>`, got `line@<id>` held with `cut@<id>`; run: funade unstage cut",
        command="stage line",
        state="built",
        change=steps("stage cut", "build line --set bend=1.01"),
    ),
    Case(
        "two releases at once",
        "SwitchLost: release expected generation 0 to be the current one, got 1, release of 1 by <who> at 2022-01-31 12:00:00 UTC; run: funade release",
        command="release",
        state="staged",
        change=rival("gate.done", "release"),
    ),
    Case(
        "a candidate staged meanwhile",
        "SwitchLost: release expected candidate `<id>` to be the latest, got `<id>`; run: funade release",
        command="release",
        state="staged",
        change=restaged_meanwhile,
    ),
    Case(
        "a rollback lost",
        "SwitchLost: rollback expected generation 2 to be the current one, got 3, rollback of 1 by <who> at 2022-01-31 12:00:00 UTC; run: funade rollback",
        command="rollback",
        state="released",
        change=rolled_back_meanwhile,
    ),
]

CASES = [*DECLARATIONS, *PROJECTS, *COMMANDLINES, *RELEASES]


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The toy project new, loaded, built, staged or released; made once, to be copied."""
    folder = tmp_path_factory.mktemp("states")
    order = ["new", "loaded", "built", "staged", "released"]
    verbs = {"loaded": "load", "built": "build", "staged": "stage", "released": "release"}

    def state(name: str) -> Path:
        root = folder / name
        if root.exists():
            return root
        if name == "new":
            return toy.write(root)
        shutil.copytree(state(order[order.index(name) - 1]), root)
        assert run(root, verbs[name]) == 0
        return root

    return state


@pytest.fixture(autouse=True)
def _no_watch() -> Iterator[None]:
    yield
    points.watch = None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_one_line_that_says_what_to_do(
    case: Case,
    states: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = shutil.copytree(states(case.state), tmp_path / "project")
    for stem, edits in (("nodes", case.nodes), ("funade", case.toml)):
        for old, new in edits:
            toy.edit(root, stem, old, new)
    for name, text in case.files.items():
        (root / name).write_text(text)
    case.change(root)
    for name, value in case.environ.items():
        monkeypatch.setenv(name, value)
    capsys.readouterr()

    code = run(root, *case.command.split())

    *frames, line = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert re.fullmatch(pattern(case.line, root), line), f"{line}\nexpected\n{case.line}"
    assert code == case.code
    assert bool(frames) == case.frames
    assert "src/funade" not in "\n".join(frames)
    assert "site-packages" not in "\n".join(frames)


def pattern(line: str, root: Path) -> str:
    """The expected line as a regular expression, its placeholders filled."""

    def number(match: re.Match[str]) -> str:
        lines = (root / match[1]).read_text(errors="replace").split("\n")
        return f"{match[1]}:{next(n for n, text in enumerate(lines, 1) if match[2] in text)}"

    told = re.sub(r"(toy/\w+\.py):<(.+?)>(?=$|[ ;])", number, line).replace("<root>", str(root))
    escaped = re.escape(told).replace("<id>", "[0-9a-f]{6}").replace("<who>", re.escape(whoami()))
    return escaped.replace("<blob>", "[0-9a-f]{2}/[0-9a-f]{62}")


def test_there_are_enough_of_them_and_no_two_are_the_same_mistake() -> None:
    assert len(CASES) >= 50
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_closed_gate_says_everything_that_fails_before_the_line(
    states: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = shutil.copytree(states("built"), tmp_path / "project")
    toy.edit(root, "nodes", "fn.at_most(mae=0.5)", "fn.at_most(mae=0.5, bias=1)")
    toy.edit(root, "nodes", 'fn.owner("toy-team"), ', "")
    steps("build", "stage")(root)
    capsys.readouterr()

    assert run(root, "release") == 1

    place = f"toy/nodes.py:{line_of(root, 'def judge')}"
    owner = f'expected an owner of `judge`, got none - at {place}; add fn.owner("your-team")'
    bias = "expected bias <= 1, got no bias (its numbers: mae) - at evaluation `quality` on 350 rows"
    told = capsys.readouterr()
    assert re.fullmatch(r"candidate \w{6}, staged .* UTC: \d+ of \d+ checks hold", told.err.splitlines()[0])
    assert told.err.splitlines()[1:] == [
        f"  FAILS  owner: {owner}",
        f"  FAILS  bar: {bias}; return it from quality",
        f"GateClosed: release 1 {owner}",
    ]
    assert told.out == ""


def line_of(root: Path, text: str) -> int:
    lines = (root / "toy/nodes.py").read_text().split("\n")
    return next(number for number, line in enumerate(lines, 1) if text in line)


SEALED = """
import contextlib, io, os, sys
from funade.cli import main
with contextlib.redirect_stdout(io.StringIO()):
    main(["-C", sys.argv[1], "status"])  # everything is imported while it still may be read
if os.geteuid() == 0:
    os.setuid(65534)
main(["-C", sys.argv[2], "status"])
"""


def test_a_read_only_folder_is_one_line(states: Callable[[str], Path], tmp_path: Path) -> None:
    warm, sealed = (shutil.copytree(states("new"), tmp_path / name) for name in ("warm", "sealed"))
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.geteuid() and folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(0o755)
    sealed.chmod(0o555)

    done = subprocess.run([sys.executable, "-c", SEALED, warm, sealed], capture_output=True, text=True)

    sealed.chmod(0o755)
    assert done.stderr == (
        f"StoreError: store expected a folder it can write, got: Permission denied - at {sealed}/.funade; make it writable\n"
    )
    assert done.returncode == 1


def test_any_exception_is_named_in_one_line() -> None:
    assert headline(ValueError("one\ntwo")) == "ValueError: one"
    assert headline(ValueError()) == "ValueError"
    assert headline(KeyError("fare")) == "KeyError: 'fare'"
