"""Every block of README.md and docs/ runs, every command and policy is documented, every link leads somewhere.

How a page is read, from top to bottom, in a folder of its own:

- ``<!-- starts: tutorial -->`` begins the page in a copy of the folder that the tutorial leaves.
- ``<!-- file: NAME -->`` before a block writes the block to that file.
- ``<!-- edit: NAME -->`` before a ``diff`` block replaces its ``-`` lines by its ``+`` lines in that file.
- ``console``: each ``$`` line is run. The lines below it are what it must print; ``…`` stands for any text, alone on a
  line for any lines. It must succeed, unless an error is shown. ``&`` starts a server, ``kill %1`` stops it.
- ``python`` without a file: all such blocks of a page are run as one script, at the end.
- ``toml`` without a file must be a valid part of ``funade.toml``; ``json`` must be JSON; ``text`` is not read.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import click
import msgspec
import pytest

import funade as fn
from funade.cli import COMMANDS
from funade.project.config import Config
from support.repository import REPOSITORY
from support.wait import until

SOURCE = REPOSITORY / "src" / "funade"
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<verb>\w+): (?P<name>\S+) -->\n+)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
ERROR = re.compile(r"^[A-Z][A-Za-z]+: ", re.M)
PORT = "8080"


def title(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@dataclass
class Reader:
    """Does what a page says, in one folder."""

    folder: Path
    port: str = ""
    server: subprocess.Popen[bytes] | None = None
    script: list[str] = field(default_factory=list)

    def read(self, text: str) -> None:
        try:
            for match in BLOCK.finditer(text):
                self.block(match["verb"] or "", match["name"] or "", match["kind"], match["text"])
            if self.script:
                self.run([sys.executable, "-W", "error", "-c", "\n".join(self.script)])
        finally:
            self.stop()

    def block(self, verb: str, name: str, kind: str, text: str) -> None:
        if verb == "file":
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text, encoding="utf-8")
        elif verb == "edit":
            self.edit(self.folder / name, text)
        elif kind == "console":
            self.console(text)
        elif kind == "python":
            self.script.append(text)
        elif kind == "toml":
            msgspec.convert({"project": {"name": "x", "modules": []}} | tomllib.loads(text), Config)
        elif kind == "json":
            json.loads(text)
        else:
            assert kind == "text", f"a block of kind {kind!r} is not run: {text[:60]}"

    def edit(self, file: Path, diff: str) -> None:
        old = "\n".join(line[1:] for line in diff.splitlines() if line[:1] != "+")
        new = "\n".join(line[1:] for line in diff.splitlines() if line[:1] != "-")
        before = file.read_text(encoding="utf-8")
        assert before.count(old) == 1, f"{file.name} has these lines {before.count(old)} times:\n{old}"
        file.write_text(before.replace(old, new), encoding="utf-8")

    def console(self, text: str) -> None:
        for command, expected in commands(text):
            if command.startswith("make "):
                assert re.search(rf"^{command.split()[1]}:", (REPOSITORY / "Makefile").read_text("utf-8"), re.M), (
                    command
                )
            elif command.endswith("&"):
                self.start(command.removesuffix("&").strip())
            elif command == "kill %1":
                self.stop()
            elif command.startswith("curl "):
                self.compare(command, self.curl(command), expected)
            else:
                fails = bool(ERROR.search(expected))
                self.compare(command, self.run(["bash", "-c", command], code=None if fails else 0), expected)

    def run(self, command: list[str], *, code: int | None = 0) -> str:
        environ = {k: v for k, v in os.environ.items() if not k.startswith("FUNADE_")}
        environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert (done.returncode == code) if code is not None else done.returncode, f"{command[-1]}\n{done.stdout}"
        return done.stdout

    def compare(self, command: str, got: str, expected: str) -> None:
        pattern = r"\n".join(".*" if line == "…" else _pattern(line) for line in expected.splitlines())
        assert not expected or re.fullmatch(pattern, got.rstrip("\n"), re.S), (
            f"$ {command}\n--- the page says\n{expected}\n--- it printed\n{got}"
        )

    def start(self, command: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = str(free.getsockname()[1])
        arguments = [str(Path(sys.executable).parent / "funade"), *shlex.split(command)[1:], "--port", self.port]
        with (self.folder / "server.log").open("wb") as log:
            self.server = subprocess.Popen(
                arguments, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        server, ask = self.server, f"curl -s -o /dev/null http://127.0.0.1:{PORT}/readyz"
        until(lambda: server.poll() is not None or self.curl(ask) == "")
        assert server.poll() is None, "the server did not stay up"

    def stop(self) -> None:
        if self.server is None:
            return
        self.server.terminate()
        try:
            assert self.server.wait(120) in (0, -signal.SIGTERM)
        finally:
            try:
                os.killpg(self.server.pid, signal.SIGKILL)
            except ProcessLookupError:
                self.server = None
            else:
                self.server = None
                raise AssertionError("the server left a process behind")

    def curl(self, command: str) -> str:
        """What curl prints for ``-s``, ``-i``, ``-o /dev/null``, ``-H @FILE`` and ``--json BODY``."""
        words = iter(shlex.split(command)[1:])
        url, body, shown, hidden = "", None, False, False
        headers = {"content-type": "application/json"}
        for word in words:
            if word == "--json":
                body = next(words).encode()
            elif word == "-o":
                hidden = next(words) == "/dev/null"
            elif word == "-i":
                shown = True
            elif word == "-H":
                head = (self.folder / next(words).removeprefix("@")).read_text("utf-8").strip()
                name, _, value = head.partition(": ")
                headers[name] = value
            elif word != "-s":
                url = word.replace(f":{PORT}", f":{self.port}")
        request = urllib.request.Request(url, body, headers)
        try:
            response = urllib.request.urlopen(request, timeout=120)
        except urllib.error.HTTPError as error:
            response = error
        except OSError as error:
            return f"curl: {error}"
        with response:
            text: str = response.read().decode()
            if hidden:
                return "" if response.status == 200 else f"{response.status}"
            head = "".join(f"{name}: {value}\n" for name, value in response.headers.items())
            return f"HTTP/1.1 {response.status} {response.reason}\n{head}\n{text}" if shown else text


def _pattern(line: str) -> str:
    return "[^\n]*".join(re.escape(part) for part in line.split("…"))


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with what it must print."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        joined = part.replace("\\\n", "")
        command, _, expected = joined.partition("\n")
        yield re.sub(r"\s+#.*$", "", command).strip(), expected.strip("\n")


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the tutorial leaves."""
    folder = tmp_path_factory.mktemp("tutorial")
    Reader(folder).read((REPOSITORY / "docs" / "tutorial.md").read_text("utf-8"))
    return folder


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_block_of_a_page_does_what_it_says(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    text = page.read_text("utf-8")
    if page.name == "tutorial.md":
        request.getfixturevalue("tutorial")
        return
    folder = tmp_path / "page"
    if "<!-- starts: tutorial -->" in text:
        ignored = shutil.ignore_patterns("serve", "server.log", "__pycache__")
        shutil.copytree(request.getfixturevalue("tutorial"), folder, ignore=ignored)
        text = text.replace("<!-- starts: tutorial -->", "")
    else:
        folder.mkdir()
    Reader(folder).read(text)


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            found = (page.parent / path).resolve() if path else page
            assert found.exists(), f"{title(page)} links to {target}"
            assert not anchor or anchor in anchors(found), f"{title(page)} links to {target}"


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def every_command() -> Iterator[str]:
    """Each command's name, a group's commands with the group's before them."""
    for name in COMMANDS:
        found = command_of(name)
        yield from (f"{name} {one}" for one in found.commands) if isinstance(found, click.Group) else [name]


def command_of(name: str) -> click.Command:
    group, _, one = name.partition(" ")
    found: click.Command = getattr(import_module(f"funade.cli.{COMMANDS[group].module}"), group)
    return found.commands[one] if isinstance(found, click.Group) and one else found


@pytest.mark.parametrize("command", list(every_command()))
def test_every_command_and_option_is_documented(command: str) -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
    section = re.search(rf"^### `funade {command}\b.*?(?=^##|\Z)", page, flags=re.M | re.S)
    assert section, f"docs/operations.md has no section on `funade {command}`"
    for parameter in command_of(command).params:
        for option in parameter.opts if isinstance(parameter, click.Option) else [parameter.make_metavar(_context())]:
            assert option.strip("[]. ") in section[0], f"`funade {command}` does not say {option}"


def _context() -> click.Context:
    return click.Context(click.Command("funade"))


def test_every_name_of_the_package_is_documented() -> None:
    page = (REPOSITORY / "docs" / "declare.md").read_text("utf-8")
    missing = [name for name in fn.__all__ if not re.search(rf"\bfn\.{name}\b", page)]
    assert missing == []


def test_every_package_has_a_page() -> None:
    pages = "".join(page.read_text("utf-8") for page in PAGES)
    packages = [path.parent.name for path in SOURCE.glob("*/__init__.py")]
    assert [name for name in packages if not re.search(rf"^Packages? `funade\.{name}`", pages, flags=re.M)] == []


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_every_module_of_a_page_s_table_stands_in_its_package(page: Path) -> None:
    text = page.read_text("utf-8")
    package = re.search(r"^Package `funade\.(\w+)`", text, flags=re.M)
    tables = re.findall(r"^\| module \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, flags=re.M) if package else []
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    modules = {path.stem for path in (SOURCE / package[1]).iterdir()} if package else set()
    assert [name for cell in cells for name in re.findall(r"`(\w+)`", cell) if name not in modules] == []


def test_every_key_of_the_configuration_is_documented() -> None:
    page = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
    names = [f.name for f in msgspec.structs.fields(Config)]
    for section in msgspec.structs.fields(Config):
        if isinstance(section.type, type) and issubclass(section.type, msgspec.Struct):
            names += [f.name for f in msgspec.structs.fields(section.type)]
    assert [name for name in names if not re.search(rf"^{name} = |^\[{name}\b", page, flags=re.M)] == []
