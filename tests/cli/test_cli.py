"""The command line: what each command prints, in words and as JSON, and how it ends."""

# ruff: noqa: E501 - what is printed stands whole on its line

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

import funade
from funade.cli import COMMANDS, main
from funade.cli import funade as group
from funade.project.project import whoami
from support import toy
from support.wait import until

NOW = "2022-01-31T12:00"
HEAVY = {"duckdb", "pyarrow", "numpy", "pandas", "polars", "sklearn", "lightgbm", "skops", "rich", "asyncio"}

Said = Callable[..., str]


@pytest.fixture
def said(root: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """What one command prints; it must end with ``code`` and say nothing on standard error when that is 0."""

    def run(*arguments: str, code: int = 0, at: str = NOW) -> str:
        capsys.readouterr()
        try:
            main(["-C", str(root), "--at", at, *arguments])
            ended: int | str | None = 0
        except SystemExit as exit_:
            ended = exit_.code
        told = capsys.readouterr()
        assert ended == code, told.err
        assert bool(told.err) == bool(code)
        return told.out or told.err

    return run


def like(expected: str) -> re.Pattern[str]:
    """A pattern of lines: ``<id>`` is six hex digits, ``<took>`` a length of time, ``<n>`` a number."""
    text = re.escape(expected.strip("\n") + "\n")
    for name, what in (
        ("<id>", "[0-9a-f]{6}"),
        ("<took>", r"[\d.]+ s"),
        ("<n>", r"\d+"),
        ("<who>", re.escape(whoami())),
    ):
        text = text.replace(name, what)
    return re.compile(text)


def same(printed: str, expected: str) -> None:
    assert like(expected).fullmatch(printed), f"{printed}\nexpected\n{expected}"


def told_json(printed: str) -> Any:
    return json.loads(printed)


def process(root: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """One command as a process of its own, its output piped."""
    command = [sys.executable, "-m", "funade", "-C", str(root), "--at", NOW, *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


# -- what each command prints ------------------------------------------------------------------------


def test_check_counts_the_nodes(said: Said) -> None:
    assert said("check") == "the declarations hold: 1 source, 1 dataset, 1 model, 1 threshold, 1 api, 1 evaluation\n"


def test_check_prints_warnings_and_deprecated_uses(said: Said, root: Path) -> None:
    toy.edit(root, "nodes", "@fn.dataset(", '@fn.dataset(fn.deprecated("use tidy", until="2022-12-31"), ')

    same(
        said("check"),
        """
warning: model `line` uses deprecated `clean` (until 2022-12-31) - at toy/nodes.py:<n>; use tidy
warning: threshold `cut` uses deprecated `clean` (until 2022-12-31) - at toy/nodes.py:<n>; use tidy
warning: evaluation `quality` uses deprecated `clean` (until 2022-12-31) - at toy/nodes.py:<n>; use tidy
the declarations hold: 1 source, 1 dataset, 1 model, 1 threshold, 1 api, 1 evaluation
""",
    )


def test_build_warns_of_deprecated_nodes_that_it_needs(said: Said, root: Path) -> None:
    toy.edit(root, "nodes", "@fn.model(", '@fn.model(fn.deprecated("use slope", until="2022-12-31"), ')
    said("load")

    assert "warning" not in said("build", "line")
    same(
        said("build", "cut"),
        """
warning: threshold `cut` uses deprecated `line` (until 2022-12-31) - at toy/nodes.py:<n>; use slope
built cut@<id>  <took>
""",
    )


def test_graph_shows_every_edge_as_it_was_written(said: Said) -> None:
    same(
        said("graph"),
        """
source     points  (toy/nodes.py:<n>)
dataset    clean  (toy/nodes.py:<n>)
           points <- points
model      line  (toy/nodes.py:<n>)
           rows <- clean last 21 days but the last 14
threshold  cut  (toy/nodes.py:<n>)
           model <- line
           rows <- clean last 14 days but the last 7
api        judge  (toy/nodes.py:<n>)
           model <- line
           limit <- cut
evaluation quality  (toy/nodes.py:<n>)
           answers <- judge.on(clean last 7 days)
""",
    )


def test_graph_as_json_has_the_same_nodes_and_edges(said: Said) -> None:
    found = told_json(said("graph", "--json"))

    assert [node["name"] for node in found] == ["points", "clean", "line", "cut", "judge", "quality"]
    (edge,) = found[5]["edges"]
    assert (edge["parameter"], edge["api"], edge["node"], edge["window"]) == (
        "answers",
        "judge",
        "clean",
        {"first_days": 7},
    )


def test_load_tells_periods_and_rows_and_a_second_one_does_nothing(said: Said) -> None:
    assert said("load") == "loaded points 2022-01-01 to 2022-01-30: 30 periods, 1500 rows\n"
    assert said("load") == "nothing to load: points; 30 periods to 2022-01-30\n"
    assert said("load", "points", "--again") == ("loaded points 2022-01-01 to 2022-01-30: 30 periods unchanged\n")


def test_load_brings_in_the_periods_named_and_the_clocks_next_day(said: Said) -> None:
    assert said("load", "--to", "2022-01-03") == "loaded points 2022-01-01 to 2022-01-03: 3 periods, 150 rows\n"
    assert (
        said("load", "points", "--from", "2022-01-30") == "loaded points 2022-01-30 to 2022-01-30: 1 period, 50 rows\n"
    )
    assert (
        said("load", at="2022-02-01T03:00+09:00") == "loaded points 2022-01-04 to 2022-01-31: 27 periods, 1350 rows\n"
    )


def test_load_before_anything_is_due_says_so(said: Said) -> None:
    assert said("load", at="2021-12-31") == "nothing to load: points (no period is due)\n"


def test_load_counts_bad_rows(said: Said, root: Path) -> None:
    toy.edit(root, "nodes", "np.arange(n) * np.timedelta64(60", "np.arange(n) * np.timedelta64(6000")

    same(
        said("load"),
        "loaded points 2022-01-01 to 2022-01-30: 30 periods, <n> rows, <n> bad rows kept aside (see them: funade show points --bad)",
    )
    same(said("show", "points", "--bad").splitlines()[0] + "\n", "2022-01-01: <n> rows")


def test_load_that_stops_says_what_stays(said: Said, root: Path) -> None:
    toy.edit(root, "nodes", "    n = 50\n", "    n = 50\n    assert day != '2022-01-04'\n")

    assert said("load", code=1).startswith("loaded points: 3 periods, then stopped\n")
    assert said("load", "--to", "2022-01-03") == "nothing to load: points; 3 periods to 2022-01-03\n"


def test_build_tells_each_version_and_a_second_one_does_nothing(said: Said) -> None:
    said("load")

    same(
        said("build"),
        """
built clean@<id>  <took>  1500 rows, 2 checks passed
built line@<id>  <took>
built cut@<id>  <took>
built quality@<id>  <took>  mae=0
""",
    )
    assert said("build") == "nothing to build: 6 versions of the present recipe are there\n"


def test_build_of_one_node_builds_nothing_below_it(said: Said) -> None:
    said("load")

    same(said("build", "line"), "built clean@<id>  <took>  1500 rows, 2 checks passed\nbuilt line@<id>  <took>")


def test_an_attempt_says_how_to_use_it_and_compare_shows_it_beside(said: Said) -> None:
    said("load")
    said("build")
    attempt = said("build", "line", "--set", "bend=1.5")
    same(attempt, "built line@<id>  <took>\nan attempt: nothing uses it until you say  funade stage line@<id>")
    command = attempt.split("funade ")[1].split()

    same(
        said("compare", "line"),
        """
version      as       started (UTC)        took    bend  clean
line@<id>  build    2022-01-31 12:00:00  <took>  1.0   <id>
line@<id>  attempt  2022-01-31 12:00:00  <took>  1.5   <id>
""",
    )
    same(
        said(*command),
        """
holding line@<id>, and with it 2 inputs
  cut is stale; run: funade build cut
  quality is stale; run: funade build quality
""",
    )
    assert said("unstage", "line") == "line is no longer held\n"
    assert said("unstage", "line") == "line was not held\n"


def test_an_attempts_setting_is_read_as_toml_and_else_as_text(said: Said, root: Path) -> None:
    toy.edit(
        root, "nodes", "bend: float = 1.0", 'bend: float = 1.0, name: str = "a", bands: tuple = (1, 2), on: bool = True'
    )
    said("load")
    said("build", "line", "--set", "bend=2", "--set", "name=2022-01-01", "--set", "bands=[3, 4]", "--set", "on=false")

    (build,) = told_json(said("compare", "line", "--json"))

    assert build["settings"] == {"bend": 2.0, "name": "2022-01-01", "bands": [3, 4], "on": False}


def test_compare_without_builds_says_what_to_run(said: Said) -> None:
    assert said("compare", "line") == "line has no build; run: funade build line\n"


def test_a_failed_build_is_listed_with_what_it_printed(said: Said, root: Path) -> None:
    toy.edit(
        root,
        "nodes",
        "    x = feature(rows",
        "    print('so far')\n    assert not len(rows['x'])\n    x = feature(rows",
    )
    said("load")
    said("build", code=1)

    (build,) = told_json(said("compare", "line", "--json"))
    assert (build["state"], build["error"]) == ("failed", "AssertionError: ")
    assert "build, failed" in said("compare", "line")


def test_status_before_anything(said: Said) -> None:
    assert said("status") == (
        "node     kind        state       newest  held  released\n"
        "points   source      not loaded\n"
        "clean    dataset     not built\n"
        "line     model       not built\n"
        "cut      threshold   not built\n"
        "judge    api         present\n"
        "quality  evaluation  not built\n"
        "nothing is released yet\n"
    )


def test_status_says_what_is_stale_and_exactly_why(said: Said, root: Path) -> None:
    for command in ("load", "build", "stage", "release"):
        said(command)
    toy.edit(root, "nodes", "bend: float = 1.0", "bend: float = 1.25")

    same(
        said("status"),
        """
node     kind        state    newest  held  released
points   source      present  <id>        <id>
clean    dataset     present  <id>        <id>
line     model       stale    <id>        <id>
cut      threshold   stale    <id>        <id>
judge    api         present  <id>        <id>
quality  evaluation  stale    <id>        <id>
line: code changed: toy.nodes:line
line: setting bend: 1.0 -> 1.25
cut: input line: line@<id> -> line@<id>
quality: input line: line@<id> -> line@<id>
quality: input cut: cut@<id> -> cut@<id>
release 1 of 2022-01-31 12:00:00 is current
""",
    )
    found = {node["node"]: node for node in told_json(said("status", "--json"))}
    assert found["line"]["why"] == ["code changed: toy.nodes:line", "setting bend: 1.0 -> 1.25"]
    assert found["clean"]["why"] == []
    assert found["line"]["newest"] == found["line"]["released"] != found["line"]["version"]


def test_show_tells_recipe_inputs_bytes_and_checks(said: Said) -> None:
    said("load")
    said("build")

    printed = said("show", "line")
    version = printed.split()[1].split("@")[1]
    assert re.fullmatch("[0-9a-f]{64}", version)
    for line in (
        "  setting  bend = 1.0",
        "  runtime  python 3.11" if sys.version_info[:2] == (3, 11) else "  runtime  python",
        "  data end 2022-01-16 15:00:00 UTC",
        "  kept by  python",
        "  code     toy.shared:feature",
    ):
        assert line in printed
    assert "  check    holds: `x` in [0, 100], got no bad row\n" in said("show", "clean")
    assert "  metric   mae = 0\n" in said("show", "quality")
    assert said("show", f"line@{version[:4]}") == said("show", version[:12].upper()) == printed
    found = told_json(said("show", "line", "--json"))
    assert (found["version"]["id"], len(found["builds"]), found["checks"]) == (version, 1, [])


def test_show_prints_what_a_build_printed_and_the_rows_it_kept_aside(said: Said, root: Path) -> None:
    toy.edit(root, "nodes", "    return points\n", "    print('two', 'words')\n    return points\n")
    toy.edit(root, "nodes", 'fn.within("x", 0, 100)', 'fn.within("x", 0, 7.5)')
    said("load")
    said("build", code=1)

    assert said("show", "clean", "--log") == "two words\n"
    head, columns, *rows = said("show", "clean", "--bad").splitlines()
    same(head + "\n", "`x` in [0, 7.5], got <n> bad rows (first: <n>, <n>, <n>): <n> rows")
    assert columns.split() == ["row", "at", "x", "y", "row_number"]
    assert all(float(row.split()[-3]) > 7.5 for row in rows)


def test_show_log_of_a_node_tells_its_last_build_even_one_that_failed(said: Said, root: Path) -> None:
    said("load", "--to", "2022-01-30")
    said("build")
    assert said("show", "line", "--log") == "line printed nothing\n"
    toy.edit(
        root,
        "nodes",
        "    x = feature(rows",
        '    print("so far")\n    raise ValueError("too few")\n    x = feature(rows',
    )
    said("build", code=1)
    assert said("show", "line", "--log") == "so far\nfailed: ValueError: too few\n"


def test_stage_and_release_tell_what_moves_and_what_holds(said: Said, root: Path) -> None:
    said("load")
    said("build")
    same(
        said("stage"),
        """
staged candidate <id>: 6 pins
  points: nothing -> <id>
  clean: nothing -> <id>
  line: nothing -> <id>
  cut: nothing -> <id>
  judge: nothing -> <id>
  quality: nothing -> <id>
next: funade release
""",
    )
    candidate, *findings, last = said("release").splitlines()
    same(candidate + "\n", "candidate <id>, staged 2022-01-31 12:00:00 UTC")
    assert last == "release 1 is current (6 pins)"
    assert all(line.startswith("  holds  ") for line in findings)
    assert "  holds  bar: expected mae <= 0.5, got 0 - at evaluation `quality` on 350 rows" in findings
    assert said("release") == "nothing to release: the candidate is release 1\n"

    toy.edit(root, "nodes", "share: float = 0.9", "share: float = 0.91")
    said("build")
    same(said("stage"), STAGED_AGAIN)
    assert said("release").endswith("release 2 is current (6 pins)\n")
    same(said("diff", "1", "2"), "cut: <id> -> <id>\nquality: <id> -> <id>")
    assert sorted(told_json(said("diff", "1", "2", "--json"))) == ["cut", "quality"]
    assert said("diff", "1", "1") == "releases 1 and 1 pin the same versions\n"

    assert said("rollback", "--because", "too many") == "release 1 is current again (it was 2)\n"
    same(
        said("releases"),
        """
generation  release  action    at (UTC)             who   because
1           1        release   2022-01-31 12:00:00  <who>
2           2        release   2022-01-31 12:00:00  <who>
3           1        rollback  2022-01-31 12:00:00  <who>  too many
""",
    )
    found = told_json(said("releases", "--json"))
    assert [(s["action"], s["after"], s.get("because", "")) for s in found["switches"]] == [
        ("release", 1, ""),
        ("release", 2, ""),
        ("rollback", 1, "too many"),
    ]
    assert [release["number"] for release in found["releases"]] == [1, 2]
    assert "  released in 1, 2\n" in said("show", "line@released")


STAGED_AGAIN = """
staged candidate <id>: 6 pins
  cut: <id> -> <id>
  quality: <id> -> <id>
next: funade release
"""


def test_a_released_attempt_prints_the_settings_to_add(said: Said) -> None:
    said("load")
    attempt = said("build", "line", "--set", "bend=1.01").split("funade ")[1].split()
    said(*attempt)
    said("build")
    said("stage")

    printed = said("release").splitlines()

    assert printed[-3:] == ["to keep `line` so, write in funade.toml:", "  [settings.line]", "  bend = 1.01"]


def test_an_override_is_kept_with_its_reason(said: Said, root: Path) -> None:
    toy.edit(root, "nodes", 'fn.owner("toy-team"), ', "")
    for command in ("load", "build", "stage"):
        said(command)
    said("release", code=1)
    said("release", "--because", "the owner is on leave")

    assert "the owner is on leave" in said("releases")


def test_releases_before_the_first_says_what_to_run(said: Said) -> None:
    assert said("releases") == "nothing is released yet; run: funade stage && funade release\n"


def test_fsck_of_a_sound_store_and_of_one_that_lost_a_blob(said: Said, root: Path) -> None:
    said("load")
    said("build")
    assert said("fsck") == "the store is sound\n"
    assert told_json(said("fsck", "--json")) == []

    store = toy.project(root).store
    artifact = store.metadata.versions("line")[0].artifact
    assert artifact is not None
    store.blobs.path(artifact.files["files/line.json"]).unlink()
    done = process(root, "fsck")

    assert done.returncode == 1
    assert done.stdout.startswith("missing: blob `")
    assert len(done.stdout.splitlines()) == 1


# -- how commands are called -------------------------------------------------------------------------


def test_the_folder_may_be_one_below_the_projects(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["-C", str(root / "toy"), "check"])

    assert capsys.readouterr().out.startswith("the declarations hold")


def test_the_present_folder_is_taken_where_none_is_given(root: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "funade", "check"], cwd=root / "toy", capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_time_without_an_offset_is_utc(said: Said) -> None:
    said("load", at="2022-01-02T15:00")
    assert said("load", at="2022-01-03T00:00+09:00") == "nothing to load: points; 2 periods to 2022-01-02\n"


def test_every_command_says_what_it_does_in_one_line() -> None:
    for name, command in COMMANDS.items():
        assert command.help
        assert len(command.help) <= 66, name


def test_help_says_of_each_command_what_the_command_says_itself() -> None:
    with click.Context(click.Command("funade")) as context:
        commands = {name: group.get_command(context, name) for name in COMMANDS}
    own = {name: command.get_short_help_str(1000) for name, command in commands.items() if command}

    assert own == {name: command.help for name, command in COMMANDS.items()}


def test_help_and_version_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, first in (
        (["--help"], "Usage: funade [OPTIONS]"),
        (["--version"], f"funade, version {funade.__version__}"),
    ):
        main(arguments)
        assert capsys.readouterr().out.startswith(first)


def test_piped_output_has_neither_colour_nor_progress(root: Path) -> None:
    shutil.rmtree(root / ".funade", ignore_errors=True)
    environ = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    for command in ("load", "build", "status"):
        done = process(root, command, env=environ)
        assert (done.returncode, done.stderr) == (0, "")
        assert "\x1b" not in done.stdout


def test_a_reader_that_goes_away_is_no_error_of_ours(root: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "funade", "-C", str(root), "graph"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)

    assert (done.returncode, done.stderr) == (1, "")


def test_an_interrupted_build_keeps_what_was_finished(root: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    slow = f"    import time; Path({str(begun)!r}).touch(); time.sleep(600)\n    x = feature(rows"
    toy.edit(root, "nodes", "    x = feature(rows", slow)
    assert process(root, "load").returncode == 0
    command = [sys.executable, "-m", "funade", "-C", str(root), "--at", NOW, "build"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: begun.exists() or running.poll() is not None)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=120)
    finally:
        running.kill()

    assert (running.returncode, err.lstrip("\n")) == (130, "stopped; what was finished stays\n")
    same(out, "built clean@<id>  <took>  1500 rows, 2 checks passed")
    assert process(root, "fsck").stdout == "the store is sound\n"
    toy.edit(root, "nodes", "time.sleep(600)", "time.sleep(0)")
    same(process(root, "build", "line").stdout, "built line@<id>  <took>")


# -- what commands import ----------------------------------------------------------------------------

IMPORTED = """
import sys
from funade.cli import main
try:
    main(sys.argv[1:])
except SystemExit as exit_:
    assert not exit_.code, exit_.code
print("imported:", " ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported(*arguments: str) -> set[str]:
    """The top packages that a command imports, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", IMPORTED, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


LOOKING = (
    "status", "status --json", "build", "load", "compare line", "show line", "graph", "check", "releases", "stage",
    "release", "diff 1 1", "unstage line",
)  # fmt: skip
"""Commands that only look, or have nothing to do."""


def test_help_imports_no_library_but_click() -> None:
    assert not imported("--help") & (HEAVY | {"msgspec"})


def test_looking_and_having_nothing_to_do_import_neither_heavy_libraries_nor_the_project(
    said: Said, root: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "imported"
    (root / "toy/marked.py").write_text(f"from pathlib import Path\nPath({str(marker)!r}).touch()\nimport pandas\n")
    for command in ("load", "build", "stage", "release"):
        said(command)
    assert marker.exists()
    marker.unlink()

    for command in LOOKING:
        found = imported("-C", str(root), "--at", NOW, *command.split())
        assert not found & (HEAVY | {"toy"}), command
    assert not marker.exists()


@pytest.mark.slow
def test_a_terminal_sees_progress_after_two_seconds(root: Path) -> None:
    toy.edit(root, "nodes", "    n = 50\n", "    import time; time.sleep(0.5)\n    n = 50\n")
    reading, writing = pty.openpty()
    command = [sys.executable, "-m", "funade", "-C", str(root), "--at", "2022-01-10", "load"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=writing, text=True)
    os.close(writing)
    shown = os.read(reading, 1 << 16).decode(errors="replace")  # a terminal's buffer may cut a character in two
    os.close(reading)

    assert (done.returncode, done.stdout) == (0, "loaded points 2022-01-01 to 2022-01-09: 9 periods, 450 rows\n")
    assert "loading points 2022-01-0" in shown


def test_a_command_begun_without_standard_files_does_what_it_does_with_them(root: Path) -> None:
    toy.edit(root, "nodes", "    score = model", '    print("asked", flush=True)\n    score = model')
    for arguments in (
        ["load"],
        ["build"],
        ["stage"],
        ["release"],
        ["batch", "judge", "--rows", "clean", "--into", "t"],
    ):
        command = [sys.executable, "-m", "funade", "-C", str(root), "--at", NOW, *arguments]
        done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command])
        assert done.returncode == 0, arguments
    assert "1  " in process(root, "releases").stdout
