"""What a fingerprint sees and what it leaves out, edit by edit."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import msgspec
import pytest

from funade.errors import DeclarationError
from funade.fingerprint import syntax
from funade.fingerprint.fingerprint import Fingerprint, fingerprint, symbol_reach

Verdict = Literal["same", "changed", "may change"]
Files = dict[str, str]
ROOT = "taxi/main.py"


class Edit(NamedTuple):
    name: str
    before: Files
    after: Files
    verdict: Verdict


def edits() -> list[Edit]:
    """The table `edits.txt`, which explains itself."""
    text = Path(__file__).with_name("edits.txt").read_text(encoding="utf-8")
    return [edit(block) for block in text.split("\n== ")[1:]]


def edit(block: str) -> Edit:
    head, _, body = block.partition("\n")
    verdict, _, name = head.partition(": ")
    texts: Files = {}
    path = ROOT
    for line in body.splitlines(keepends=True):
        if line.startswith("-- using "):
            texts[ROOT] = USES.format(line.split()[-1])
        elif line.startswith("-- "):
            path = line.split()[-1]
        else:
            texts[path] = texts.get(path, "") + line
    before = {path: CHANGE.sub(r"\1", text) for path, text in texts.items()}
    after = {path: CHANGE.sub(r"\2", text) for path, text in texts.items()}
    return Edit(name, before, after, cast(Verdict, verdict))


USES = "from taxi.beside import {0}\n\ndef root(x):\n    return {0}(x)\n"
CHANGE = re.compile("«(.*?)│(.*?)»", re.DOTALL)
EDITS = edits()


@pytest.fixture(autouse=True)
def no_bytecode(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two versions of a file may have one size and one time: nothing of the first may be kept."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "taxi"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def write(folder: Path, files: Files) -> Path:
    (folder / "taxi").mkdir(parents=True)
    (folder / "taxi/__init__.py").touch()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def main_of(folder: Path) -> Any:
    forget()
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("taxi.main")
    finally:
        sys.path.remove(str(folder))


def taken(folder: Path, files: Files, patterns: tuple[str, ...] = ()) -> Fingerprint:
    """The fingerprint of the function `root` (or `other`) in a folder made of the files."""
    main = main_of(write(folder, files))
    sys.path.insert(0, str(folder))
    return fingerprint(getattr(main, "root", None) or main.other, root=folder, files=patterns)


@pytest.mark.parametrize("case", EDITS, ids=lambda case: case.name)
def test_an_edit_counts_as_the_table_says(case: Edit, tmp_path: Path) -> None:
    before = taken(tmp_path / "a", case.before)
    after = taken(tmp_path / "b", case.after)

    if case.verdict == "same":
        assert before.digest == after.digest
    elif case.verdict == "changed":
        assert before.digest != after.digest


def test_the_table_has_no_name_twice() -> None:
    names = [case.name for case in EDITS]

    assert len(names) == len(set(names)) >= 55
    assert {case.verdict for case in EDITS} == {"same", "changed", "may change"}
    assert all(case.before != case.after for case in EDITS)


@pytest.mark.parametrize("case", EDITS, ids=lambda case: case.name)
def test_taken_again_in_another_folder_it_is_the_same(case: Edit, tmp_path: Path) -> None:
    assert taken(tmp_path / "a", case.after) == taken(tmp_path / ".funade" / "code" / "b", case.after)


# -- the same everywhere

WITHOUT_LIBRARIES = [
    case for case in EDITS if not any(lib in text for lib in ("numpy", "pandas") for text in case.after.values())
]
TAKE_ALL = """
import importlib, json, pathlib, sys, types
# The bare package: funade's own __init__ would import libraries that this interpreter may lack.
package = types.ModuleType("funade")
package.__path__ = [sys.argv[1]]
sys.modules["funade"] = package
from funade.fingerprint.fingerprint import fingerprint
sys.dont_write_bytecode = True
found = {}
for root in sorted(pathlib.Path(sys.argv[2]).iterdir()):
    for name in [name for name in sys.modules if name.partition(".")[0] == "taxi"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    sys.path.insert(0, str(root))
    main = importlib.import_module("taxi.main")
    taken = fingerprint(getattr(main, "root", None) or main.other, root=root)
    found[root.name] = [taken.digest, taken.symbols, taken.warnings]
    sys.path.remove(str(root))
print(json.dumps(found))
"""
DUMP_ALL = """
import json, pathlib, sys, types
package = sys.modules["funade"] = types.ModuleType("funade")  # its front page needs libraries
package.__path__ = [sys.argv[1]]
from funade.fingerprint.dump import dump
from funade.fingerprint.syntax import SourceFile
files = sorted(pathlib.Path(sys.argv[2]).rglob("*.py"))
print(json.dumps([dump(SourceFile(file.read_text()).tree) for file in files]))
"""
PACKAGE = Path(syntax.__file__).parents[1]


def other_pythons() -> list[str]:
    given = os.environ.get("FUNADE_TEST_PYTHONS", "").split(os.pathsep)
    found = [shutil.which(f"python3.{minor}") or "" for minor in (11, 12, 13, 14)]
    return [python for python in (*given, *found) if python and runs(python, "")]


def runs(python: str, code: str) -> bool:
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0


def said_by(python: str, code: str, *arguments: Path, seed: str = "0") -> Any:
    command = [python, "-c", code, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, check=True, text=True, env=os.environ | {"PYTHONHASHSEED": seed})
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("projects")
    for number, case in enumerate(WITHOUT_LIBRARIES):
        write(folder / f"{number:03}", case.after)
    return folder


def test_hash_seeds_and_processes_do_not_change_it(projects: Path) -> None:
    first = said_by(sys.executable, TAKE_ALL, PACKAGE, projects, seed="1")

    assert first == said_by(sys.executable, TAKE_ALL, PACKAGE, projects, seed="2")
    assert len(first) == len(WITHOUT_LIBRARIES)


def test_every_python_dumps_one_text(projects: Path) -> None:
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python: name some in FUNADE_TEST_PYTHONS")
    expected = said_by(sys.executable, DUMP_ALL, PACKAGE, projects)

    for python in pythons:
        assert said_by(python, DUMP_ALL, PACKAGE, projects) == expected, python


def test_every_python_takes_one_fingerprint(projects: Path) -> None:
    pythons = [python for python in other_pythons() if runs(python, "import msgspec")]
    if not pythons:
        pytest.skip("no other Python with msgspec: name some in FUNADE_TEST_PYTHONS")
    expected = said_by(sys.executable, TAKE_ALL, PACKAGE, projects)

    for python in pythons:
        assert said_by(python, TAKE_ALL, PACKAGE, projects) == expected, python


# -- what it holds


def test_symbols_name_each_project_symbol_alone(tmp_path: Path) -> None:
    beside = "N = 1\nclass A:\n    def go(self):\n        return far()\ndef far():\n    return {}\n"
    main = "from taxi.beside import A, N\nf = lambda: N\ndef root(x):\n    return A().go() + f()\n"

    before = taken(tmp_path / "a", {ROOT: main, "taxi/beside.py": beside.format(1)}).symbols
    after = taken(tmp_path / "b", {ROOT: main, "taxi/beside.py": beside.format(2)}).symbols

    expected = [
        "taxi.beside:A",
        "taxi.beside:A.go",
        "taxi.beside:N",
        "taxi.beside:far",
        "taxi.main:f",
        "taxi.main:root",
    ]
    assert list(before) == expected
    assert [name for name in before if before[name] != after[name]] == ["taxi.beside:far"]
    assert all(len(digest) == 64 for digest in before.values())


def test_two_lambdas_reached_by_two_functions_share_no_symbol(tmp_path: Path) -> None:
    main = main_of(
        write(tmp_path, {ROOT: "f, g = lambda: 1, lambda: 2\ndef a():\n    return f()\ndef b():\n    return g()\n"})
    )

    a, b = (fingerprint(function, root=tmp_path).symbols for function in (main.a, main.b))

    assert a.keys() & b.keys() == set()


def test_two_closures_of_one_factory_share_no_symbol(tmp_path: Path) -> None:
    text = "def make(n):\n    def inner():\n        return n\n    return inner\nf, g = make(1), make(2)\n"
    main = main_of(write(tmp_path, {ROOT: text + "def a():\n    return f()\ndef b():\n    return g()\n"}))

    a, b = (fingerprint(function, root=tmp_path).symbols for function in (main.a, main.b))

    assert {name for name in a.keys() & b.keys() if a[name] != b[name]} == set()


def test_a_class_reaches_its_bases_and_what_its_methods_call(tmp_path: Path) -> None:
    text = "N = 1\nclass B:\n    def go(self): return N\nclass A(B): ...\nclass C: ...\ndef root(x): return A\n"
    main = main_of(write(tmp_path, {ROOT: text}))

    reached = symbol_reach(main.A, root=tmp_path)

    assert list(reached) == ["taxi.main:A", "taxi.main:B", "taxi.main:B.go", "taxi.main:N"]
    assert reached.items() <= fingerprint(main.root, root=tmp_path).symbols.items()


def test_a_class_of_a_library_reaches_no_symbol(tmp_path: Path) -> None:
    assert symbol_reach(Path, root=tmp_path) == {}


def test_code_in_a_virtual_environment_below_the_root_is_a_library(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {ROOT: "from lib import f\ndef root(x):\n    return f(x)\n", ".venv/lib.py": "def f(x):\n    return x\n"},
    )
    sys.path.insert(0, str(folder / ".venv"))
    try:
        symbols = fingerprint(main_of(folder).root, root=folder).symbols
    finally:
        sys.modules.pop("lib", None)

    assert list(symbols) == ["taxi.main:root"]


def test_a_path_below_the_root_is_the_same_in_another_folder(tmp_path: Path) -> None:
    text = "from pathlib import Path\nHERE = Path(__file__).parent / 'a.sql'\ndef root(x):\n    return HERE, __file__\n"

    assert taken(tmp_path / "a", {ROOT: text}) == taken(tmp_path / "b", {ROOT: text})


def test_the_root_may_be_reached_through_a_symlink(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", {ROOT: USES.format("help"), "taxi/beside.py": "def help(x):\n    return x\n"})
    (tmp_path / "b").symlink_to(folder)

    assert fingerprint(main_of(folder).root, root=tmp_path / "b") == fingerprint(
        main_of(tmp_path / "b").root, root=folder
    )


def test_secrets_and_places_as_defaults_do_not_count(tmp_path: Path) -> None:
    text = "import funade as fn\ndef root(x, dsn=fn.secret('{0}'), at=fn.place('{0}')):\n    return x\n"

    assert (
        taken(tmp_path / "a", {ROOT: text.format("A")}).digest == taken(tmp_path / "b", {ROOT: text.format("B")}).digest
    )


def test_a_function_of_a_notebook_cell_is_read_from_linecache(tmp_path: Path) -> None:
    def cell(text: str) -> Any:
        import linecache

        name = f"<cell {hash(text)}>"
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        scope: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, name, "exec"), scope)
        return scope["root"]

    first, commented, other = (
        fingerprint(cell(text), root=tmp_path)
        for text in (
            "def h(x):\n    return 1\ndef root(x):\n    return h(x)\n",
            "def h(x):\n    return 1\n\n# say\ndef root(x):\n    return h(x)\n",
            "def h(x):\n    return 2\ndef root(x):\n    return h(x)\n",
        )
    )

    assert first == commented
    assert first.digest != other.digest
    assert (list(first.symbols), first.warnings) == (["__main__:h", "__main__:root"], ())


# -- files


def test_a_named_file_counts_by_its_bytes(tmp_path: Path) -> None:
    files = {ROOT: "def root(x):\n    return x\n", "sql/b.sql": "select 1", "sql/a.sql": "select 2", "sql/c.txt": ""}

    first = taken(tmp_path / "a", files, ("sql/*.sql",))
    other = taken(tmp_path / "b", files | {"sql/b.sql": "select 3"}, ("sql/*.sql",))
    unnamed = taken(tmp_path / "c", files | {"sql/c.txt": "select 4"}, ("sql/*.sql",))

    assert first.digest != other.digest
    assert first.digest == unnamed.digest


@pytest.mark.parametrize("pattern", ["sql/*.sql", "/etc/*", "../*", ""])
def test_a_pattern_that_names_nothing_below_the_root_is_refused(pattern: str, tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        taken(tmp_path, {ROOT: "def root(x):\n    return x\n"}, (pattern,))

    assert str(caught.value) == (
        f"`root` expected files below the project's folder for `{pattern}`, got none - at taxi/main.py:1; "
        'name them from the folder of funade.toml, as in "sql/*.sql"'
    )


# -- nodes

NODES = """
class Node:
    __funade_node__ = True
    def __init__(self, function):
        self.function = function
        self.name = function.__name__
    def __call__(self, *args):
        return self.function(*args)
@Node
def settled():
    return 1
"""


def test_a_node_called_inside_a_body_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as caught:
        taken(tmp_path, {ROOT: NODES + "def root(x):\n    y = x\n    return settled() + y\n"})

    assert str(caught.value) == (
        "`root` expected the node `settled` as an input, got it used inside its own body - at taxi/main.py:14; "
        "take it as an input: settled=settled above `root`"
    )


def test_a_node_called_inside_a_helper_is_refused(tmp_path: Path) -> None:
    helper = "from taxi.nodes import settled\ndef help(x):\n    return settled()\n"

    with pytest.raises(DeclarationError) as caught:
        taken(tmp_path, {ROOT: USES.format("help"), "taxi/beside.py": helper, "taxi/nodes.py": NODES})

    assert str(caught.value) == (
        "`root` expected the node `settled` as an input, got it used inside `taxi.beside:help` - at taxi/beside.py:3; "
        "take it as an input: settled=settled above `root`"
    )


def test_a_field_that_bears_a_nodes_name_uses_no_node(tmp_path: Path) -> None:
    struct = "class Answer:\n    settled: int\n"
    assert taken(tmp_path, {ROOT: NODES + struct + "def root(x):\n    return Answer()\n"}).warnings == ()


def test_a_node_held_by_a_registry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError, match=r"`settled` as an input, got it used inside `taxi\.main:ALL`"):
        taken(tmp_path, {ROOT: NODES + "ALL = [settled]\ndef root(x):\n    return ALL\n"})


def test_a_node_that_calls_itself_is_not_refused(tmp_path: Path) -> None:
    main = main_of(write(tmp_path, {ROOT: NODES + "@Node\ndef root(x):\n    return root(x - 1) if x else 1\n"}))

    assert list(fingerprint(main.root.function, root=tmp_path).symbols) == ["taxi.main:root"]


# -- warnings


@pytest.mark.parametrize(
    ("said", "hiding"),
    [
        ("getattr(x, y)", "`getattr` hides what it reaches: changes behind it are not seen"),
        ("importlib.import_module(y)", "`import_module` hides what it reaches: changes behind it are not seen"),
        ("__import__(y)", "`__import__` hides what it reaches: changes behind it are not seen"),
        ("exec(y)", "`exec` hides what it reaches: changes behind it are not seen"),
        ("eval(y)", "`eval` hides what it reaches: changes behind it are not seen"),
        ("globals()[y]", "`globals` hides what it reaches: changes behind it are not seen"),
        ("locals()[y]", "`locals` hides what it reaches: changes behind it are not seen"),
        ("vars(b)[y]", "module `taxi.beside` is used as a whole: all of it counts"),
        ("b.nothing", "module `taxi.beside` is used as a whole: all of it counts"),
    ],
)
def test_what_hides_its_reach_is_warned_of(said: str, hiding: str, tmp_path: Path) -> None:
    main = f"import importlib\nimport taxi.beside as b\ndef root(x, y=0):\n    return {said}\n"

    assert taken(tmp_path, {ROOT: main, "taxi/beside.py": "A = 1\n"}).warnings == (f"taxi/main.py:4: {hiding}",)


def test_a_helper_that_hides_its_reach_is_warned_of_at_its_place(tmp_path: Path) -> None:
    found = taken(
        tmp_path, {ROOT: USES.format("A"), "taxi/beside.py": "class A:\n    def go(self, x):\n        return eval(x)\n"}
    )

    assert found.warnings == ("taxi/beside.py:3: `eval` hides what it reaches: changes behind it are not seen",)


def test_getattr_of_a_literal_is_not_warned_of(tmp_path: Path) -> None:
    assert taken(tmp_path, {ROOT: "def root(x):\n    return getattr(x, 'a', None)\n"}).warnings == ()


def test_a_star_import_is_warned_of(tmp_path: Path) -> None:
    found = taken(tmp_path, {ROOT: "from .beside import *\ndef root(x):\n    return A\n", "taxi/beside.py": "A = 1\n"})

    assert found.warnings == ("taxi/main.py:1: `from .beside import *` hides where names come from: name them",)
    assert list(found.symbols) == ["taxi.beside:A", "taxi.main:root"]


def test_a_module_that_does_not_import_is_warned_of(tmp_path: Path) -> None:
    found = taken(
        tmp_path, {ROOT: "def root(x):\n    from .beside import A\n    return A\n", "taxi/beside.py": "1 / 0\n"}
    )

    assert found.warnings == (
        "taxi/main.py:2: module `taxi.beside` cannot be imported (ZeroDivisionError): it does not count",
    )


def test_a_function_without_source_counts_by_its_bytecode(tmp_path: Path) -> None:
    text = "scope = dict(__name__=__name__)\nexec('def f(x): return {0}', scope)\nf = scope['f']\n"
    text += "def root(x): return f(x)\n"

    first, other = taken(tmp_path / "a", {ROOT: text.format(1)}), taken(tmp_path / "b", {ROOT: text.format(2)})

    assert first.digest != other.digest


# -- speed


def test_two_hundred_nodes_with_fifty_helpers_take_a_second_of_one_core_or_so(tmp_path: Path) -> None:
    helpers = "".join(f"def h{n}(x):\n    return x + N{n} + h{max(n - 1, 0)}(x)\nN{n} = {n}\n" for n in range(50))
    roots = "from taxi.beside import h49\n" + "".join(f"def r{n}(x):\n    return h49(x) + {n}\n" for n in range(200))
    main = main_of(write(tmp_path, {ROOT: roots, "taxi/beside.py": helpers}))

    started = time.process_time()  # what runs beside costs this process nothing
    digests = {fingerprint(getattr(main, f"r{n}"), root=tmp_path).digest for n in range(200)}

    assert len(digests) == 200
    assert time.process_time() - started < 5  # measured 0.6 s


def test_a_fingerprint_is_kept_as_json(tmp_path: Path) -> None:
    found = taken(tmp_path, {ROOT: "def root(x):\n    return x\n"})

    assert msgspec.json.decode(msgspec.json.encode(found), type=Fingerprint) == found
