"""A project's modules are imported from its own folder and its present source, and fail in its own words."""

# ruff: noqa: E501 - a message stands whole on its line

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from funade.errors import DeclarationError, ProjectError, UserCodeError
from funade.fingerprint.importing import import_project, project_files, user_traceback
from support import toy


def write(root: Path, files: dict[str, str]) -> Path:
    return toy.write(root, files)


def test_a_package_is_imported_with_everything_below_it(tmp_path: Path) -> None:
    root = write(
        tmp_path, {"shop/__init__.py": "", "shop/a.py": "A = 1", "shop/deep/__init__.py": "", "shop/deep/b.py": "B = 2"}
    )

    assert [m.__name__ for m in import_project(root, ["shop"])] == ["shop", "shop.a", "shop.deep", "shop.deep.b"]


def test_a_folder_without_init_and_a_single_module_are_packages_too(tmp_path: Path) -> None:
    root = write(tmp_path, {"plain/a.py": "A = 1", "single.py": "S = 1"})

    assert [m.__name__ for m in import_project(root, ["plain", "single"])] == ["plain", "plain.a", "single"]


def test_an_edit_of_equal_length_in_the_same_second_is_seen(tmp_path: Path) -> None:
    root = write(tmp_path, {"single.py": "VALUE = 1"})
    (first,) = import_project(root, ["single"])
    (root / "single.py").write_text("VALUE = 2")
    (second,) = import_project(root, ["single"])

    assert (first.VALUE, second.VALUE) == (1, 2)
    assert not (root / "__pycache__").exists()


def test_two_projects_with_modules_of_one_name_do_not_mix(tmp_path: Path) -> None:
    one = write(
        tmp_path / "one", {"shop/__init__.py": "", "shop/a.py": "FROM = 'one'", "shop/b.py": "from shop.a import FROM"}
    )
    two = write(
        tmp_path / "two", {"shop/__init__.py": "", "shop/a.py": "FROM = 'two'", "shop/b.py": "from shop.a import FROM"}
    )

    assert [import_project(root, ["shop"])[2].FROM for root in (one, two, one)] == ["one", "two", "one"]


def test_a_module_that_bears_the_name_of_a_loaded_library_is_refused(tmp_path: Path) -> None:
    root = write(tmp_path, {"msgspec.py": "MINE = 1"})

    with pytest.raises(ProjectError) as refusal:
        import_project(root, ["msgspec"])

    origin = sys.modules["msgspec"].__file__
    assert str(refusal.value) == (
        f"module `msgspec` expected to come from {root}, got {origin}; "
        "give the project's package a name that nothing installed bears"
    )


def test_a_module_that_is_not_there_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as refusal:
        import_project(tmp_path, ["shop.orders"])

    assert str(refusal.value) == (
        f"project expected a module `shop.orders`, got no shop/orders.py and no such folder - at {tmp_path}; "
        "mend modules = […] in funade.toml"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("1 / 0", "module `shop.bad` expected to be imported, got ZeroDivisionError: division by zero - at shop/bad.py:1"),
        ("raise ValueError('one\\ntwo')", "module `shop.bad` expected to be imported, got ValueError: one - at shop/bad.py:1"),
        ("raise SystemExit", "module `shop.bad` expected to be imported, got SystemExit - at shop/bad.py:1"),
        ("import json\njson.loads('{')", "module `shop.bad` expected to be imported, got JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1) - at shop/bad.py:2"),
        ("x = (", "module `shop.bad` expected to be imported, got SyntaxError: '(' was never closed - at shop/bad.py:1"),
        ("import nothing_of_that_name", "module `shop.bad` expected to be imported, got ModuleNotFoundError: No module named 'nothing_of_that_name' - at shop/bad.py:1; install it, or mend the import"),
    ],
)  # fmt: skip
def test_a_module_that_fails_is_one_line_at_the_users_own_line(tmp_path: Path, text: str, line: str) -> None:
    root = write(tmp_path, {"shop/__init__.py": "", "shop/bad.py": text})

    with pytest.raises(UserCodeError) as failure:
        import_project(root, ["shop"])

    assert str(failure.value) == line


def test_the_traceback_holds_the_users_frames_only(tmp_path: Path) -> None:
    deep = "import json\n\ndef parse(text):\n    return json.loads(text)\n"
    root = write(
        tmp_path,
        {"shop/__init__.py": "", "shop/deep.py": deep, "shop/top.py": "from shop.deep import parse\nparse('{')\n"},
    )

    with pytest.raises(UserCodeError) as failure:
        import_project(root, ["shop"])

    frames = str(failure.value.traceback).splitlines()
    assert frames[0] == "Traceback (your code, most recent call last):"
    assert [line.strip() for line in frames if line.startswith("  File")] == [
        f'File "{root}/shop/top.py", line 2, in <module>',
        f'File "{root}/shop/deep.py", line 4, in parse',
    ]
    assert frames[-1].startswith("json.decoder.JSONDecodeError: ")


def test_a_mistake_among_a_policys_arguments_stands_at_the_line_that_makes_it(tmp_path: Path) -> None:
    bad = "import funade as fn\n\nPARTED = fn.split(by='rider', test=2)\n"
    root = write(tmp_path, {"shop/__init__.py": "", "shop/bad.py": bad})

    with pytest.raises(DeclarationError) as refusal:
        import_project(root, ["shop"])

    assert refusal.value.at == "shop/bad.py:3"


def test_a_failed_import_can_be_mended_in_the_same_process(tmp_path: Path) -> None:
    root = write(tmp_path, {"shop/__init__.py": "", "shop/a.py": "1 / 0"})
    with pytest.raises(UserCodeError):
        import_project(root, ["shop"])
    (root / "shop/a.py").write_text("FINE = True")

    assert import_project(root, ["shop"])[1].FINE


def test_hidden_environment_and_build_folders_are_no_project_files(tmp_path: Path) -> None:
    names = [
        "a.py",
        "shop/b.py",
        ".venv/c.py",
        "venv/lib/d.py",
        ".funade/code/e.py",
        "build/f.py",
        "shop/__pycache__/g.py",
    ]
    root = write(tmp_path, dict.fromkeys(names, ""))

    assert [p.relative_to(root).as_posix() for p in project_files(root)] == ["a.py", "shop/b.py"]


def test_an_error_without_a_frame_of_the_users_is_told_without_one(tmp_path: Path) -> None:
    try:
        raise ValueError("elsewhere")
    except ValueError as error:
        assert user_traceback(error, tmp_path) == "ValueError: elsewhere\n"
