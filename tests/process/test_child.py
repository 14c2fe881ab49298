"""A child is begun, spoken with, heard and told of in one way, however it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from funade.errors import BuildFailed, GateClosed, ServeError
from funade.process import child as children
from funade.process.child import Child, ChildEnded, ChildFailed, Ready, Surroundings
from support.child_acts import Act, Text

Begin = Callable[..., Child]

HERE = Path(__file__).parents[1]


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Begin]:
    """Begins children that do one act each, and ends them."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    begun: list[Child] = []

    def child(name: str, text: str = "", files: tuple[int, ...] = (), **around: object) -> Child:
        surroundings = Surroundings(files=files, **around)  # type: ignore[arg-type]
        begun.append(Child("support.child_acts", Act(name, text, files), surroundings))
        return begun[-1]

    yield child
    for child_begun in begun:
        child_begun.close()


@pytest.fixture
def held() -> Iterator[int]:
    """A pipe's end from which nothing comes until the test is over."""
    reading, writing = os.pipe()
    yield reading
    os.close(writing)
    os.close(reading)


# -- begun


def test_settings_are_no_arguments_and_surroundings_are_as_said(begin: Begin, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+") as file:
        file.write("inherited")
        file.seek(0)
        child = begin("surroundings", "a secret", (file.fileno(),), folder=tmp_path, own_session=True)
        folder, leads_session, safe_path, arguments, content = child.hear(Text).text.split("\n")
    assert (folder, leads_session, safe_path) == (str(tmp_path), "True", "True")
    assert arguments == "-P -m support.child_acts"
    assert content == "inherited"


def test_a_module_that_does_not_import_is_told_of_by_the_last_line_it_writes() -> None:
    child = Child("support.no_such", Act("echo"), Surroundings(keeps_errors=True))
    with pytest.raises(ChildEnded, match=r"^its process ended with exit status 1: .*No module named"):
        child.hear(Ready)
    child.close()


@pytest.mark.parametrize("given", [{}, {"OMP_NUM_THREADS": "4"}])
def test_one_thread_unless_the_environment_says_otherwise(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in children.ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    environment = children.environment()
    expected = [given.get(name, "1") for name in children.ONE_THREAD]
    assert [environment[name] for name in children.ONE_THREAD] == expected
    assert environment.items() >= os.environ.items()


# -- messages


def test_messages_are_answered_in_order_until_nothing_more_is_sent(begin: Begin) -> None:
    child = begin("echo")
    assert child.hear(Ready) == Ready()
    for number in range(100):
        child.send(Text(str(number)))
    assert [child.hear(Text).text for _ in range(100)] == [str(number) for number in range(100)]
    child.close_input()
    assert child.wait(120)
    assert child.status == 0


def test_messages_far_larger_than_a_pipe_pass_both_ways_at_once(begin: Begin) -> None:
    child = begin("echo")
    assert child.hear(Ready) == Ready()
    texts = [letter * 3_000_000 for letter in "abc"]
    for text in texts:
        child.send(Text(text))
    assert [child.hear(Text).text == text for text in texts] == [True] * 3


def test_large_settings_arrive_whole(begin: Begin) -> None:
    child = begin("echo", text="x" * 1_000_000)
    assert child.hear(Ready) == Ready()


def test_what_users_code_prints_is_no_message_and_its_input_is_empty(begin: Begin) -> None:
    child = begin("noise", keeps_errors=True)
    assert child.hear(Text).text == "quiet"
    assert child.wait(120)
    assert set(child.errors()) == {"printed", "written", "echoed"}


def test_news_of_several_children_is_waited_for_at_once(begin: Begin) -> None:
    crew = [begin("echo") for _ in range(3)]
    texts: list[str] = []
    for number, child in enumerate(crew):
        child.send(Text(str(number)))
    while len(texts) < 3:
        children.wait_any(crew)
        texts += [m.text for child in crew for m in child.messages(Ready | Text) if isinstance(m, Text)]
    assert sorted(texts) == ["0", "1", "2"]


# -- errors


def test_an_error_of_ours_keeps_class_facts_and_line(begin: Begin) -> None:
    with pytest.raises(ChildFailed) as raised:
        begin("refuses").hear(Ready)
    assert str(raised.value) == "BuildFailed: model `m` expected to be built, got 3 - at m.py:2; mend it"
    error = raised.value.report.error("unused")
    assert type(error) is BuildFailed
    assert error.facts == {"traceback": "line 2", "rows": 7}
    assert error.line() == str(raised.value)


def test_an_error_of_a_class_that_only_the_child_knows_is_of_the_nearest_known(begin: Begin) -> None:
    with pytest.raises(ChildFailed) as raised:
        begin("refuses oddly").hear(Ready)
    error = raised.value.report.error("unused")
    assert type(error) is GateClosed
    assert list(error.facts) == ["findings"]


def test_an_unexpected_error_keeps_its_first_line_and_traceback(begin: Begin) -> None:
    child = begin("fails")
    with pytest.raises(ChildFailed) as raised:
        child.hear(Ready)
    assert str(raised.value) == "ValueError: no such fare"
    error = raised.value.report.error("work expected to be done")
    assert type(error) is ServeError
    assert str(error) == "work expected to be done, got ValueError: no such fare"
    assert 'raise ValueError("no such fare\\nand more")' in str(error.facts["traceback"])
    with pytest.raises(ChildEnded, match=r"^its process ended with exit status 1$"):
        child.hear(Ready)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("odd", r"ValueError: caf\udce9.csv"),
        ("mute", "Mute: <exception str() failed>"),
        ("ours", r"BuildFailed: caf\udce9.csv - at caf\udce9.csv"),
    ],
)
def test_an_error_whose_text_no_pipe_can_hold_is_told_all_the_same(begin: Begin, what: str, line: str) -> None:
    with pytest.raises(ChildFailed) as raised:
        begin("fails oddly", what).hear(Ready)
    assert str(raised.value) == line
    assert raised.value.report.traceback


# -- deaths


def test_an_exit_is_told_with_its_status_and_the_last_line(begin: Begin) -> None:
    with pytest.raises(ChildEnded, match=r"^its process ended with exit status 3$"):
        begin("exits").hear(Ready)
    with pytest.raises(ChildEnded, match=r"^its process ended with exit status 3: the last word$"):
        begin("exits", keeps_errors=True).hear(Ready)


def test_a_child_killed_within_a_message_is_told_of_after_the_whole_ones(begin: Begin) -> None:
    child = begin("breaks off")
    assert child.hear(Text).text == "whole"
    with pytest.raises(ChildEnded, match=r"^its process ended with signal 9$"):
        child.hear(Text)


def test_an_error_that_nobody_heard_is_the_account_of_the_death(begin: Begin) -> None:
    child = begin("fails")
    assert child.wait(120)
    assert child.death() == "ValueError: no such fare"


def test_a_child_that_is_silent_is_ended(begin: Begin) -> None:
    child = begin("echo")
    assert child.hear(Ready) == Ready()
    with pytest.raises(ChildEnded, match=r"^no answer within 0\.05 s$"):
        child.hear(Text, patience_s=0.05)
    with pytest.raises(ChildEnded, match=r"^its process ended with signal 9$"):
        child.hear(Text)


def test_a_child_that_closes_its_output_and_goes_on_is_ended(
    begin: Begin, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "_CLOSED_S", 0.05)
    child = begin("closes", files=(held,))
    with pytest.raises(ChildEnded, match=r"^its process closed its output and did not end$"):
        child.hear(Text)
    assert child.wait(120)


def test_a_process_that_a_child_leaves_behind_does_not_hide_its_death(begin: Begin, held: int) -> None:
    child = begin("leaves one behind", files=(held,))
    with pytest.raises(ChildEnded, match=r"^its process ended with exit status 0$"):
        child.hear(Text)


def test_sending_to_a_child_that_is_gone_is_no_error(begin: Begin) -> None:
    child = begin("exits")
    assert child.wait(120)
    child.send(Text("x" * 1_000_000))
    with pytest.raises(ChildEnded):
        child.hear(Text)


def test_nothing_is_left_open(begin: Begin) -> None:
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    child = begin("exits", keeps_errors=True)
    child.close()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
