"""The six decorators: keyword = data flow, positional = policy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Iterable
from typing import Any, ParamSpec, TypeVar, cast

import msgspec

from funade.contract.form import form_of, hints
from funade.declare.guard import GuardFunction
from funade.declare.node import Answers, Node, Place, Rows, Secret, name_taken, refusal
from funade.declare.period import check_every
from funade.declare.place import place_of, shadowed
from funade.declare.policy import TABLES, Every, Policy, Split, _Policy, policy_name
from funade.declare.setting import is_json
from funade.declare.spec import Kind
from funade.errors import DeclarationError, FunadeError, closest

P = ParamSpec("P")
R = TypeVar("R")

Input = Node[Any, Any] | Rows | Answers

MAY_TAKE: dict[Kind, frozenset[str]] = {
    "source": frozenset(),
    "dataset": frozenset({"source", "dataset", "model"}),
    "model": frozenset({"source", "dataset", "model"}),
    "threshold": frozenset({"source", "dataset", "model", "threshold"}),
    "api": frozenset({"dataset", "model", "threshold", "api"}),
    "evaluation": frozenset({"source", "dataset", "model", "threshold"}),
}
"""Which kinds of node each kind takes as input; an evaluation also takes answers."""


class Takes(_Policy, frozen=True):
    """The struct of an api's request."""

    on = frozenset({"api"})
    struct: Any


class Gives(_Policy, frozen=True):
    """The struct of an api's answer."""

    on = frozenset({"api"})
    struct: Any


def source(*policies: Policy) -> Callable[[Callable[P, R]], Node[P, R]]:
    """Rows from outside, one period at a time; the parameter left over takes the period's name."""
    return _declare("source", policies, {})


def dataset(*policies: Policy, **inputs: Input) -> Callable[[Callable[P, R]], Node[P, R]]:
    """Rows computed from sources, datasets or models."""
    return _declare("dataset", policies, inputs)


def model(*policies: Policy, **inputs: Input) -> Callable[[Callable[P, R]], Node[P, R]]:
    """Any object that training yields; its return type is annotated and decides how it is kept."""
    return _declare("model", policies, inputs)


def threshold(*policies: Policy, **inputs: Input) -> Callable[[Callable[P, R]], Node[P, R]]:
    """A small JSON value that turns a score into a decision."""
    return _declare("threshold", policies, inputs)


def api(*policies: Policy | Takes | Gives | GuardFunction, **inputs: Input) -> Callable[[Callable[P, R]], Node[P, R]]:
    """Answers for a batch of rows; the parameter left over takes the batch."""
    return _declare("api", policies, inputs)


def evaluation(*policies: Policy, **inputs: Input) -> Callable[[Callable[P, R]], Node[P, R]]:
    """Numbers about an api or a model, on rows that nothing behind it was fitted on."""
    return _declare("evaluation", policies, inputs)


def takes(struct: type[msgspec.Struct]) -> Takes:
    """The request's struct: one row that a client asks about."""
    return Takes(struct)


def gives(struct: type[msgspec.Struct]) -> Gives:
    """The answer's struct: what a client gets for one row."""
    return Gives(struct)


def _declare(kind: Kind, policies: tuple[Any, ...], inputs: dict[str, Input]) -> Callable[[Callable[P, R]], Node[P, R]]:
    if len(policies) == 1 and inspect.isfunction(policies[0]):
        raise DeclarationError(
            f"{kind} `{policies[0].__name__}` expected parentheses after the decorator, got none",
            at=place_of(policies[0]),
            do=f"write @fn.{kind}()",
        )

    def decorate(function: Callable[P, R]) -> Node[P, R]:
        at = place_of(function)
        _check_function(kind, function, at)
        try:
            return _node(kind, function, at, policies, inputs)
        except FunadeError as error:
            if error.at:
                raise
            raise type(error)(f"{kind} `{function.__name__}`: {error.what}", at=at, do=error.do) from None

    return decorate


def _node(
    kind: Kind, function: Callable[P, R], at: str, policies: tuple[Any, ...], inputs: dict[str, Input]
) -> Node[P, R]:
    node: Node[P, R] = Node(function, kind, place=at, policies=policies, inputs={})
    node.inputs = {name: _checked_input(node, name, value) for name, value in inputs.items()}
    earlier = cast(Any, function).__globals__.get(function.__name__)
    if isinstance(earlier, Node) and shadowed(function, earlier.function):
        raise name_taken(node, earlier)
    _read_parameters(node)
    _check_policies(node)
    return node


def _check_function(kind: Kind, function: object, at: str) -> None:
    """Refuse what cannot be a node: something without a name of its own, or a generator or coroutine."""
    if not inspect.isfunction(function):
        got = _described(function)
    elif function.__name__ == "<lambda>":
        got = "a lambda"
    elif inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        got = f"`{function.__name__}`, which is async"
    elif inspect.isgeneratorfunction(function):
        got = f"`{function.__name__}`, which yields"
    else:
        return
    raise DeclarationError(
        f"{kind} expected a plain function, got {got}", at=at, do="write def name(…) and return its result"
    )


def _checked_input(node: Node[Any, Any], name: str, value: object) -> Rows | Answers:
    if isinstance(value, Answers):
        if node.kind != "evaluation":
            raise refusal(node, f"expected a node for `{name}`, got answers", "judge answers in an evaluation")
        _check_answers(node, value)
        return value
    rows = Rows(value) if isinstance(value, Node) else value
    if not isinstance(rows, Rows):
        raise refusal(
            node,
            f"expected a node for `{name}`, got {_described(value)}",
            f"make it the parameter's default to have it as a setting: {name}=…",
        )
    other, may_take = rows.node, MAY_TAKE[node.kind]
    if other.kind not in may_take:
        remedy = f"write {name}={other.name}.on(rows)" if (node.kind, other.kind) == ("evaluation", "api") else ""
        raise refusal(node, f"expected {_one_of(may_take)} for `{name}`, got {_described(other)}", remedy)
    if node.kind == "api" and rows.window is not None:
        what = f"expected the whole of `{other.name}` for `{name}`, got its {rows.window}"
        raise refusal(node, what, "choose the rows in a dataset of their own")
    return rows


def _check_answers(node: Node[Any, Any], answers: Answers) -> None:
    api, rows = answers.api, answers.rows.node
    if rows.kind not in TABLES:
        raise refusal(node, f"expected rows of a dataset under `{api.name}.on(…)`, got {_described(rows)}")
    for name, other in answers.replaced.items():
        if name not in api.inputs:
            what = f"api `{api.name}` takes no input `{name}` (its inputs: {', '.join(api.inputs)})"
            raise DeclarationError(what, at=node.place, do=closest(name, api.inputs))
        expected = cast(Rows, api.inputs[name]).node.kind
        if not isinstance(other, Node) or other.kind != expected:
            what = f"api `{api.name}` expected a {expected} for `{name}`, got {_described(other)}"
            raise DeclarationError(what, at=node.place)


def _read_parameters(node: Node[Any, Any]) -> None:
    signature = inspect.signature(node.function)
    annotations = hints(node.function)
    for name in node.inputs:
        if name not in signature.parameters:
            known = ", ".join(signature.parameters) or "none"
            what = f"takes no input `{name}` (its parameters: {known})"
            raise refusal(node, what, closest(name, signature.parameters))
    left: list[str] = []
    for name, parameter in signature.parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            got = str(parameter).partition(":")[0]
            raise refusal(node, f"expected parameters that can be given by name, got `{got}`", "name each of them")
        form = form_of(annotations.get(name))
        node.forms[name] = "" if form == "sql" else form
        if name in node.inputs:
            continue
        if isinstance(parameter.default, Place):
            node.places[name] = parameter.default.name
        elif isinstance(parameter.default, Secret):
            node.secrets[name] = parameter.default.name
        elif parameter.default is not parameter.empty:
            node.settings[name] = _setting(node, name, parameter.default)
        else:
            left.append(name)
    node.returns = annotations.get("return")
    node.result_form = form_of(node.returns)
    node.batch = _left_over(node, left)
    _refuse_unread(node, annotations)


def _refuse_unread(node: Node[Any, Any], read: Container[str]) -> None:
    """Refuse an annotation that cannot be evaluated where it decides how a frame arrives or a model is kept."""
    for name, annotation in node.function.__annotations__.items():
        if name not in read and _decides(node, name):
            expected = "a return type" if name == "return" else f"an annotation of `{name}`"
            raise refusal(
                node,
                f"expected {expected} that can be read, got `{annotation}`",
                "define or import it above, not only under TYPE_CHECKING",
            )


def _decides(node: Node[Any, Any], name: str) -> bool:
    value = node.inputs.get(name)
    if isinstance(value, Rows):
        return value.node.kind in TABLES
    return value is not None or (name, node.kind) in {("return", "model"), (node.batch, "api")}


_LEFT_OVER: dict[Kind, tuple[str, str]] = {
    "source": ("its period", "day: str"),
    "api": ("its batch of rows", "batch: pd.DataFrame"),
}
"""Kind → what its one parameter left over takes, and how that is usually written."""


def _left_over(node: Node[Any, Any], left: list[str]) -> str:
    """The one parameter that is left over; "" for a kind that has none."""
    takes, usual = _LEFT_OVER.get(node.kind, ("", ""))
    if len(left) == (1 if takes else 0):
        return "".join(left)
    if not left:
        remedy = f"add it: def {node.name}({usual}, …)"
        raise refusal(node, f"expected one parameter for {takes}, got none", remedy)
    expected = f"one parameter for {takes}" if takes else "every parameter bound"
    unbound = ", ".join(f"`{name}`" for name in left)
    spare = left[1] if takes else left[0]
    remedy = f"bind it above the function ({spare}=…) or give it a default"
    raise refusal(node, f"expected {expected}, got {unbound} unbound", remedy)


def _setting(node: Node[Any, Any], name: str, value: object) -> object:
    if not is_json(value):
        raise refusal(
            node,
            f"expected a JSON value as the setting `{name}`, got {_described(value)}",
            "bind a node as an input, or use numbers, text, booleans, lists and dicts",
        )
    return msgspec.json.decode(msgspec.json.encode(value))  # as the cache of the graph has it: a tuple is a list


def _check_policies(node: Node[Any, Any]) -> None:
    kinds: set[type] = set()
    for policy in node.policies:
        if not isinstance(policy, _Policy):
            remedy = "bind a node by keyword: rows=…" if isinstance(policy, Node | Rows) else ""
            raise refusal(node, f"expected policies before the keywords, got {_described(policy)}", remedy)
        name = policy_name(policy)
        if node.kind not in policy.on:
            what = f"expected policies of {_one_of([node.kind])}, got `{name}`, which belongs on {_one_of(policy.on)}"
            raise refusal(node, what, f"move `{name}` there")
        if type(policy) in kinds and not policy.many:
            raise refusal(node, f"expected one `{name}`, got several", "keep one")
        kinds.add(type(policy))
        if isinstance(policy, Every):
            check_every(policy)
    _require(node, kinds)


def _require(node: Node[Any, Any], kinds: set[type]) -> None:
    if node.kind == "source" and Every not in kinds:
        what = "expected the rhythm of its periods, got none"
        raise refusal(node, what, 'add fn.every("1 day", since="2022-01-01")')
    if node.kind == "api":
        missing = [name for name, policy in (("takes", Takes), ("gives", Gives)) if policy not in kinds]
        if missing:
            remedy = "add " + ", ".join(f"fn.{name}(Struct)" for name in missing)
            raise refusal(node, f"expected a contract, got no {' and no '.join(missing)}", remedy)
    if node.kind == "evaluation" and not node.inputs:
        raise refusal(node, "expected something to judge, got no input", "bind answers: answers=API.on(rows)")
    split = node.policy(Split)
    if split and not split.despite_time and node.time_column():
        raise refusal(
            node,
            f"expected a split by time, as `{node.time_column()}` dates its rows, got one at random: "
            "what is judged on the past would have been fitted on its future",
            'judge a later window (.last(days=7)) instead, or say fn.split(…, despite_time="reason")',
        )


def _one_of(kinds: Iterable[str]) -> str:
    """``a dataset, model or source``, with the right article; ``no input`` of none."""
    *others, last = sorted(kinds) or ["no input"]
    listed = f"{', '.join(others)} or {last}" if others else last
    return listed if listed == "no input" else _with_article(listed)


def _with_article(noun: str) -> str:
    # "an `ndarray`" too: n is said "en".
    return f"{'an' if noun[0].lower() in 'aeiou' or noun.startswith('nd') else 'a'} {noun}"


def _described(value: object) -> str:
    if isinstance(value, Node):
        return f"{value.kind} `{value.name}`"
    if isinstance(value, int | float | str | bool | None):
        return f"`{value!r}`"
    return _with_article(value.__name__ if isinstance(value, type) else type(value).__name__)
