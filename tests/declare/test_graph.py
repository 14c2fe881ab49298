"""The graph: every node once and after what it needs, names unique, uses allowed."""

from __future__ import annotations

import importlib
import types
from datetime import date
from pathlib import Path

import msgspec
import pytest

import funade as fn
from funade.declare.graph import Graph, deprecations, nodes_of, specs_of
from funade.declare.spec import Spec
from funade.errors import DeclarationError, Misuse
from funade.fingerprint.importing import import_project
from support import toy

HEAD = "import funade as fn\n\n"
ONE = HEAD + "@fn.model()\ndef one() -> dict:\n    return {}\n"


def modules(root: Path, **texts: str) -> list[types.ModuleType]:
    """A project of these modules, imported."""
    files = {f"shop/{name}.py": text for name, text in texts.items()} | {"shop/__init__.py": texts.get("init", "")}
    return import_project(toy.write(root, files), ["shop"])


def specs(root: Path, **texts: str) -> list[Spec]:
    return specs_of(nodes_of(modules(root, **texts)), root)


@pytest.fixture
def graph(root: Path) -> Graph:
    return toy.project(root).graph


def test_every_node_follows_what_it_needs(graph: Graph) -> None:
    assert [spec.name for spec in graph] == ["points", "clean", "line", "cut", "judge", "quality"]
    seen: set[str] = set()
    for spec in graph:
        assert set(spec.upstream()) <= seen
        seen.add(spec.name)


def test_ancestors_and_dependants_are_transitive(graph: Graph) -> None:
    assert graph.ancestors(["cut"]) == {"points", "clean", "line", "cut"}
    assert graph.dependants("line") == {"cut", "judge", "quality"}
    assert graph.dependants("quality") == set()


def test_a_line_is_the_apis_their_evaluations_and_what_they_reach(root: Path) -> None:
    extra = "\n@fn.model(rows=clean.last(days=3))\ndef alone(rows: fn.Columns) -> dict:\n    return {}\n"
    nodes = root / "toy/nodes.py"
    nodes.write_text(nodes.read_text() + extra)
    graph = toy.project(root).graph

    assert "alone" in graph.specs
    assert graph.line() == ["points", "clean", "line", "cut", "judge", "quality"]


def test_an_unknown_node_is_answered_with_the_nearest(graph: Graph) -> None:
    with pytest.raises(Misuse) as refusal:
        graph["clen"]

    assert str(refusal.value) == "project has no node `clen`; did you mean `clean`?"


def test_specs_say_all_that_planning_needs_and_are_plain_data(graph: Graph) -> None:
    cut = graph["cut"]

    assert [(e.parameter, e.node, str(e.window), e.form) for e in cut.edges] == [
        ("model", "line", "None", ""),
        ("rows", "clean", "last 14 days but the last 7", "columns"),
    ]
    assert (cut.settings, cut.module, cut.function) == ({"share": 0.9}, "toy.nodes", "cut")
    assert graph["judge"].contract is not None
    assert graph["line"].codec == "python"
    quality = graph["quality"].edges[0]
    assert (quality.api, quality.node, str(quality.window)) == ("judge", "clean", "last 7 days")
    for spec in graph:
        assert msgspec.json.decode(msgspec.json.encode(spec), type=Spec) == spec


def test_a_node_reexported_from_another_module_is_one_node(tmp_path: Path) -> None:
    again = "from shop.one import one\nfrom shop.one import one as alias\nother = one\n"
    found = nodes_of(modules(tmp_path, init="from shop.one import one\n", one=ONE, zoo=again, aaa=again))

    assert [(node.name, node.__module__) for node in found] == [("one", "shop.one")]


def test_a_node_that_only_another_modules_input_names_is_found(tmp_path: Path) -> None:
    made = HEAD + (
        "def made():\n    @fn.model()\n    def inner() -> dict:\n        return {}\n    return inner\n\n"
        "@fn.threshold(model=made())\ndef limit(model: dict) -> float:\n    return 1.0\n"
    )

    assert [node.name for node in nodes_of(modules(tmp_path, made=made))] == ["inner", "limit"]


def test_two_nodes_of_one_name_are_refused_with_both_places(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as refusal:
        nodes_of(modules(tmp_path, one=ONE, two=ONE))

    assert str(refusal.value) == (
        "model `one` expected a name of its own, got one that model `one` bears at shop/one.py:4 - at shop/two.py:4; "
        "rename one of them"
    )


def test_a_node_defined_again_below_is_refused_though_nothing_could_reach_it(tmp_path: Path) -> None:
    with pytest.raises(DeclarationError) as refusal:
        modules(tmp_path, one=ONE + "\n\n" + ONE.removeprefix(HEAD))

    assert str(refusal.value) == (
        "model `one` expected a name of its own, got one that model `one` bears at shop/one.py:4 - at shop/one.py:9; "
        "rename one of them"
    )


def test_a_module_that_is_imported_again_after_an_edit_defines_its_nodes_once(tmp_path: Path) -> None:
    found = modules(tmp_path, one=ONE)[1]
    (tmp_path / "shop/one.py").write_text("# one line more\n" + ONE)

    assert importlib.reload(found).one.place == "shop/one.py:5"


PRIVATE = HEAD + "@fn.model({policy})\ndef one() -> dict:\n    return {{}}\n"
USE = HEAD + "from shop.one import one\n\n@fn.threshold(one=one)\ndef limit(one: dict) -> float:\n    return 1.0\n"


def test_a_private_node_is_for_its_own_module(tmp_path: Path) -> None:
    private = PRIVATE.format(policy="fn.private()")
    within = private + "\n@fn.threshold(one=one)\ndef near(one: dict) -> float:\n    return 1.0\n"
    specs(tmp_path / "within", one=within)

    with pytest.raises(DeclarationError) as refusal:
        specs(tmp_path / "across", one=private, two=USE)

    assert str(refusal.value) == (
        "threshold `limit` expected a node it may use, got `one`, which is private to shop.one - at shop/two.py:6; "
        "name it in fn.only_for(…) of `one`, or take another node"
    )


def test_only_for_names_who_may_use_a_node_by_name_or_by_reference(tmp_path: Path) -> None:
    specs(tmp_path / "named", one=PRIVATE.format(policy="fn.only_for('limit')"), two=USE)

    with pytest.raises(DeclarationError, match="got `one`, which is private to other, another - at"):
        specs(tmp_path / "other", one=PRIVATE.format(policy="fn.only_for('other', 'another')"), two=USE)

    @fn.model()
    def late() -> dict[str, float]:
        return {}

    assert fn.only_for(late, "x").nodes == ("late", "x")


def test_a_deprecated_node_is_a_warning_until_its_date_and_then_an_error(tmp_path: Path) -> None:
    old = PRIVATE.format(policy='fn.deprecated("use two", until="2022-03-31")')
    found = specs(tmp_path, one=old, two=USE)

    assert deprecations(found, date(2022, 3, 31)) == [
        "threshold `limit` uses deprecated `one` (until 2022-03-31) - at shop/two.py:6; use two"
    ]
    with pytest.raises(DeclarationError) as refusal:
        deprecations(found, date(2022, 4, 1))
    assert str(refusal.value) == (
        "threshold `limit` expected a node in use, got `one`, which ended on 2022-03-31 - at shop/two.py:6; use two"
    )


def test_a_deprecated_node_that_nobody_uses_is_nobodys_affair(tmp_path: Path) -> None:
    found = specs(tmp_path, one=PRIVATE.format(policy='fn.deprecated("use two", until="2022-03-31")'))

    assert deprecations(found, date(2030, 1, 1)) == []


def test_a_former_name_carries_its_builds_on(root: Path) -> None:
    here = toy.project(root)
    toy.load(here)
    list(here.build("line"))
    toy.edit(root, "nodes", "@fn.model(rows", '@fn.model(fn.was("line"), rows')
    for old, new in [("def line(", "def slope("), ("model=line", "model=slope")]:
        toy.edit(root, "nodes", old, new)
    renamed = toy.project(root)
    list(renamed.build("slope"))

    assert [b.node for b in renamed.builds("slope")] == ["line", "slope"]
    assert "line" not in renamed.graph.specs


def test_policies_above_a_node_reach_its_spec_in_order(graph: Graph) -> None:
    assert [type(p).__name__ for p in graph["clean"].policies] == ["Within", "NotNull"]
    assert [type(p).__name__ for p in graph["judge"].policies] == ["Owner", "Fallback"]
