"""A node: a user's function with what stands above it, and the expressions that point at its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar, cast

from funade.contract.form import Form
from funade.declare import window as windows
from funade.declare.policy import Split, Time
from funade.declare.spec import Kind, Spec
from funade.declare.window import Window
from funade.errors import DeclarationError, PlaceMissing

P = ParamSpec("P")
R = TypeVar("R")
Q = TypeVar("Q")


class Secret:
    """A value that is never recorded, logged or shown; ``reveal()`` gives its text."""

    def __init__(self, name: str, value: str | None = None) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        """The secret's text.

        Raises:
            PlaceMissing: it was not given.
        """
        if self._value is None:
            raise PlaceMissing(
                f"secret `{self.name}` expected a value, got none", do=f"set {self.name} or {self.name}_FILE"
            )
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name!r})"


@dataclass(frozen=True)
class Place:
    """A location that the profile gives, by name."""

    name: str


def secret(name: str) -> Secret:
    """Ask for a secret: read from the environment at the call, never part of a recipe."""
    return Secret(name)


def place(name: str) -> Path:
    """Ask for a location from the profile (``[places]`` in ``funade.toml``), never part of a recipe."""
    return cast(Path, Place(name))


@dataclass(frozen=True)
class Rows:
    """Rows of a node as an edge takes them: all of them, a window, or a part of a split."""

    node: Node[Any, Any]
    window: Window | None = None
    part: str = ""
    trusted: str = ""

    def trust(self, reason: str) -> Rows:
        """Let these rows judge what was fitted on rows that cannot be proven disjoint, and say why for the record."""
        if not reason.strip():
            raise DeclarationError("trust expected a reason, got none")
        return replace(self, trusted=reason)


@dataclass(frozen=True)
class Answers:
    """An api's answers for rows, with some of its inputs replaced by other nodes."""

    api: Node[Any, Any]
    rows: Rows
    replaced: dict[str, Node[Any, Any]] = field(default_factory=dict)


def refusal(node: Node[Any, Any] | Spec, what: str, do: str = "") -> DeclarationError:
    """The error about one node: ``what`` was expected of it and what was got, after its kind and name."""
    return DeclarationError(f"{node.kind} `{node.name}` {what}", at=node.place, do=do)


def name_taken(node: Node[Any, Any], other: Node[Any, Any]) -> DeclarationError:
    """The error that two nodes bear one name."""
    what = f"expected a name of its own, got one that {other.kind} `{other.name}` bears at {other.place}"
    return refusal(node, what, "rename one of them")


class Node(Generic[P, R]):
    """A declared function. Calling it calls the function, unchanged."""

    __funade_node__ = True

    def __init__(
        self,
        function: Callable[P, R],
        kind: Kind,
        *,
        place: str,
        policies: tuple[Any, ...],
        inputs: dict[str, Rows | Answers],
    ) -> None:
        self.function = function
        self.kind: Kind = kind
        self.name = function.__name__
        self.place = place
        self.policies = policies
        self.inputs = inputs
        self.settings: dict[str, Any] = {}
        self.places: dict[str, str] = {}
        self.secrets: dict[str, str] = {}
        self.forms: dict[str, Form] = {}
        self.batch = ""
        self.result_form: Form = ""
        self.returns: Any = None
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the user's function, unchanged."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<{self.kind} `{self.name}` at {self.place}>"

    def policy(self, kind: type[Q]) -> Q | None:
        """The node's policy of one kind, or None."""
        return next((p for p in self.policies if isinstance(p, kind)), None)

    def last(self, *, days: int) -> Rows:
        """The rows of the last ``days`` calendar days before the data's end."""
        return self._windowed(windows.last(days=days))

    def before(self, *, days: int) -> Rows:
        """The rows earlier than ``days`` calendar days before the data's end."""
        return self._windowed(windows.before(days=days))

    def between(
        self, first: str | None = None, second: str | None = None, *, days: tuple[int, int] | None = None
    ) -> Rows:
        """The rows between two ISO dates, or between two numbers of days before the data's end; half-open."""
        return self._windowed(windows.between(first, second, days=days))

    @property
    def train(self) -> Rows:
        """The part of a split dataset that things are fitted on."""
        return self._parted("train")

    @property
    def test(self) -> Rows:
        """The part of a split dataset that things are judged on."""
        return self._parted("test")

    def trust(self, reason: str) -> Rows:
        """All rows, trusted to be disjoint for the reason given."""
        return Rows(self).trust(reason)

    def on(self, rows: Node[Any, Any] | Rows, **replaced: Node[Any, Any]) -> Answers:
        """This api's answers for rows, some of its inputs replaced by other nodes."""
        if self.kind != "api":
            raise refusal(self, f"expected an api for `.on(rows)`, got a {self.kind}")
        if not isinstance(rows, Node | Rows):
            raise DeclarationError(
                f"api `{self.name}` expected a node for `.on(rows)`, got {type(rows).__name__}",
                do="call it to answer a frame in hand",
            )
        return Answers(self, rows if isinstance(rows, Rows) else Rows(rows), dict(replaced))

    def load(self, version: str = "") -> Any:
        """What the codec loads for this model or threshold: the version of the present recipe, or the one named."""
        return self._project().artifact(self.name, version)

    def read(self, *, last: int | None = None, version: str = "") -> Any:
        """The rows of this source or dataset as pandas: all, or the last calendar days."""
        return self._project().rows(self.name, last=last, version=version)

    def _project(self) -> Any:
        """The project it was declared in: any, since a node knows projects by the front page's ``open`` alone."""
        import funade

        file = Path(self.function.__code__.co_filename)
        return funade.open(str(file.parent if file.is_file() else Path.cwd()))

    def time_column(self) -> str:
        """The column that dates a row: declared here, or carried by exactly one input; "" if none."""
        if self.kind not in ("source", "dataset"):
            return ""
        if time := self.policy(Time):
            return time.column
        carried = [column for r in self.inputs.values() if isinstance(r, Rows) and (column := r.node.time_column())]
        return carried[0] if len(carried) == 1 else ""

    def _windowed(self, window: Window) -> Rows:
        if self.kind not in ("source", "dataset"):
            raise refusal(self, f"expected a dataset under a window, got a {self.kind}")
        if not self.time_column():
            raise refusal(
                self,
                "expected a time column for a window, got none",
                'add fn.time("column"), or split by a group with fn.split(by=…, test=…)',
            )
        return Rows(self, window=window)

    def _parted(self, part: str) -> Rows:
        if self.policy(Split) is None:
            raise refusal(self, f"expected fn.split(…) for `.{part}`, got none", "add fn.split(by=…, test=0.2)")
        return Rows(self, part=part)
