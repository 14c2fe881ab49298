"""The graph of a project's nodes: unique names, edges that hold, one order."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from funade.contract.contract import contract_of
from funade.contract.field import Contract
from funade.declare.decorators import Gives, Takes
from funade.declare.guard import GuardFunction, check_guards
from funade.declare.node import Answers, Node, Rows, name_taken, refusal
from funade.declare.policy import Deprecated, Fallback, Files, Guard, Logged, Private, Was
from funade.declare.spec import Edge, Spec
from funade.digest import of_parts, of_value
from funade.errors import Misuse, closest
from funade.fingerprint.fingerprint import Fingerprint, fingerprint, symbol_reach


class Graph:
    """Specs by name, in an order in which every node follows what it needs."""

    def __init__(self, specs: Iterable[Spec]) -> None:
        self.specs = {spec.name: spec for spec in specs}

    def __iter__(self) -> Iterator[Spec]:
        return iter(self.specs.values())

    def __getitem__(self, name: str) -> Spec:
        try:
            return self.specs[name]
        except KeyError:
            raise Misuse(
                f"project has no node `{name}`", do=closest(name, self.specs) or "see them: funade graph"
            ) from None

    @property
    def packages(self) -> tuple[str, ...]:
        """The project's own top packages, whose classes an artifact may be made of."""
        return tuple(sorted({spec.module.partition(".")[0] for spec in self}))

    def of_kind(self, kind: str) -> list[Spec]:
        """The nodes of one kind, in order."""
        return [spec for spec in self if spec.kind == kind]

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """The nodes named and everything they need, transitively."""
        above: set[str] = set()
        waiting = [self[name].name for name in names]
        while waiting:
            name = waiting.pop()
            if name not in above:
                above.add(name)
                waiting.extend(self[name].upstream())
        return above

    def behind(self, api: str, replaced: Mapping[str, str] | None = None) -> set[str]:
        """The api and all that it takes, also through other apis; ``replaced``: parameter → other node."""
        names = {api}
        for edge in self[api].edges:
            node = (replaced or {}).get(edge.parameter, edge.node)
            names |= self.behind(node) if self[node].kind == "api" else {node}
        return names

    def dependants(self, name: str) -> set[str]:
        """Everything that needs the node, transitively, without the node itself."""
        return {spec.name for spec in self if spec.name != name and name in self.ancestors([spec.name])}

    def line(self) -> list[str]:
        """What a release pins: every api, every evaluation of one, and what they reach; in order."""
        apis = {spec.name for spec in self.of_kind("api")}
        judges = [e.name for e in self.of_kind("evaluation") if self.ancestors([e.name]) & apis]
        members = self.ancestors([*apis, *judges])
        return [spec.name for spec in self if spec.name in members]


def nodes_of(modules: Iterable[types.ModuleType]) -> list[Node[Any, Any]]:
    """Every node defined in these modules, each after what it needs.

    Raises:
        DeclarationError: two nodes of one name.
    """
    nodes: dict[str, Node[Any, Any]] = {}
    for module in modules:
        for value in list(vars(module).values()):
            if isinstance(value, Node) and value.function.__module__ == module.__name__:
                _visit(value, nodes)
    return list(nodes.values())


def _visit(node: Node[Any, Any], visited: dict[str, Node[Any, Any]]) -> None:
    other = visited.get(node.name)
    if other is node:
        return
    for value in node.inputs.values():
        for needed in _nodes_in(value):
            _visit(needed, visited)
    if other is not None:
        raise name_taken(node, other)
    visited[node.name] = node


def _nodes_in(value: Rows | Answers) -> list[Node[Any, Any]]:
    if isinstance(value, Rows):
        return [value.node]
    return [value.rows.node, value.api, *value.replaced.values()]


def specs_of(nodes: Iterable[Node[Any, Any]], root: Path) -> list[Spec]:
    """The nodes as plain data, fingerprinted against the project folder ``root``."""
    specs = [spec_of(node, root) for node in nodes]
    by_name = {spec.name: spec for spec in specs}
    for spec in specs:
        _check_use(spec, by_name)
        _check_former(spec, by_name)
    return specs


def spec_of(node: Node[Any, Any], root: Path) -> Spec:
    """One node as plain data."""
    patterns = tuple(p for policy in node.policies if isinstance(policy, Files) for p in policy.patterns)
    code = fingerprint(node.function, root=root, files=patterns)
    contract = None
    takes, gives = node.policy(Takes), node.policy(Gives)
    if takes and gives:
        contract = contract_of(takes.struct, gives.struct, place=node.place)
        _check_fallback(node, gives.struct)
        _check_logged(node, contract)
        code = _with_guards(_with_structs(code, (takes.struct, gives.struct), root), node, contract, root)
    return Spec(
        kind=node.kind,
        name=node.name,
        place=node.place,
        module=node.function.__module__,
        function=node.function.__qualname__,
        doc=(node.__doc__ or "").strip(),
        edges=tuple(_edge(name, value, node.forms[name]) for name, value in node.inputs.items()),
        settings=node.settings,
        places=node.places,
        secrets=node.secrets,
        batch=node.batch,
        batch_form=node.forms.get(node.batch, ""),
        result_form=node.result_form,
        policies=tuple(_plain(p) for p in node.policies if not isinstance(p, Takes | Gives)),
        contract=contract,
        fingerprint=code.digest,
        symbols=code.symbols,
        warnings=code.warnings,
    )


def _check_fallback(node: Node[Any, Any], gives: type[msgspec.Struct]) -> None:
    fallback = node.policy(Fallback)
    try:
        if fallback is not None:
            msgspec.convert(fallback.answer, gives)
    except msgspec.ValidationError as error:
        raise refusal(
            node,
            f"expected a fallback that keeps its contract, got: {error}",
            f"give each field of `{gives.__name__}` a value in fn.fallback(…)",
        ) from None


def _check_logged(node: Node[Any, Any], contract: Contract) -> None:
    """Refuse names in ``fn.log(without=…)`` that are no fields: a misspelt field would be logged after all."""
    known = [field.name for field in (*contract.takes_fields, *contract.gives_fields)]
    logged = node.policy(Logged) or Logged()
    for name in logged.without:
        if name not in known:
            what = f"expected fn.log(without=…) of its fields ({', '.join(known)}), got `{name}`"
            raise refusal(node, what, closest(name, known))


def _with_structs(code: Fingerprint, structs: Sequence[type], root: Path) -> Fingerprint:
    """The fingerprint with the code of the contract's structs (their ``__post_init__``) added."""
    reached: dict[str, str] = {}
    for struct in structs:
        reached |= symbol_reach(struct, root=root)
    digest = of_parts([code.digest, *(f"{k}={v}" for k, v in sorted(reached.items()))])
    return msgspec.structs.replace(code, digest=digest, symbols=code.symbols | reached)


def _plain(policy: Any) -> Any:
    return policy.declared if isinstance(policy, GuardFunction) else policy


def _with_guards(code: Fingerprint, node: Node[Any, Any], contract: Contract, root: Path) -> Fingerprint:
    """The fingerprint with the guards' functions and bounds added: they decide what the api answers."""
    guards = [p for p in node.policies if isinstance(p, Guard | GuardFunction)]
    if not guards:
        return code
    check_guards(node, guards, contract)
    reached = [fingerprint(p.function, root=root) for p in guards if isinstance(p, GuardFunction)]
    own = of_value([msgspec.to_builtins(_plain(p)) for p in guards])
    symbols = {f"{node.function.__module__}:{node.name} guards": own}
    for part in reached:
        symbols |= part.symbols
    return msgspec.structs.replace(
        code,
        digest=of_parts([code.digest, own, *(part.digest for part in reached)]),
        symbols=code.symbols | symbols,
        warnings=tuple(dict.fromkeys([*code.warnings, *(w for part in reached for w in part.warnings)])),
    )


def _edge(parameter: str, value: Rows | Answers, form: Any) -> Edge:
    rows = value if isinstance(value, Rows) else value.rows
    edge = Edge(parameter, rows.node.name, window=rows.window, part=rows.part, trust=rows.trusted, form=form)
    if isinstance(value, Rows):
        return edge
    replaced = {name: node.name for name, node in value.replaced.items()}
    return msgspec.structs.replace(edge, api=value.api.name, replaced=replaced)


def _check_use(spec: Spec, by_name: dict[str, Spec]) -> None:
    for name in spec.upstream():
        private = by_name[name].policy(Private)
        if private is None:
            continue
        allowed = spec.name in private.nodes if private.nodes else spec.module == by_name[name].module
        if not allowed:
            owners = ", ".join(private.nodes) or by_name[name].module
            raise refusal(
                spec,
                f"expected a node it may use, got `{name}`, which is private to {owners}",
                f"name it in fn.only_for(…) of `{name}`, or take another node",
            )


def _check_former(spec: Spec, by_name: dict[str, Spec]) -> None:
    for policy in spec.policies:
        if isinstance(policy, Was) and policy.name in by_name:
            bearer = f"`{policy.name}`, which {by_name[policy.name].kind} `{policy.name}` bears"
            raise refusal(
                spec, f"expected a name it no longer bears, got {bearer}", "take fn.was(…) away, or rename that node"
            )


def deprecations(specs: Iterable[Spec], today: date) -> list[str]:
    """One line for each use of a deprecated node.

    Raises:
        DeclarationError: a use after its date.
    """
    specs = list(specs)
    by_name = {spec.name: spec for spec in specs}
    lines: list[str] = []
    for spec in specs:
        for name in spec.upstream():
            old = by_name[name].policy(Deprecated)
            if old is None:
                continue
            if today > date.fromisoformat(old.until):
                raise refusal(spec, f"expected a node in use, got `{name}`, which ended on {old.until}", old.use)
            lines.append(
                f"{spec.kind} `{spec.name}` uses deprecated `{name}` (until {old.until}) - at {spec.place}; {old.use}"
            )
    return lines
