"""The specs of imported nodes, with what their artifacts need to be loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from funade.declare.graph import specs_of
from funade.declare.node import Node
from funade.declare.policy import Onnx
from funade.declare.spec import Spec
from funade.fingerprint.fingerprint import symbol_reach
from funade.store import codecs


def specs_of_nodes(root: Path, nodes: Sequence[Node[Any, Any]]) -> list[Spec]:
    """The nodes as plain data; a model's codec and runtime follow from its annotated return type.

    Raises:
        DeclarationError: a model's return type is missing, or no codec fits it.
    """
    by_name = {node.name: node for node in nodes}
    specs = [_with_codec(spec, by_name[spec.name], root) for spec in specs_of(nodes, root)]
    # As the graph's cache will have them: a bound declared as 0 is 0.0 from the first use on, so digests never differ.
    return msgspec.json.decode(msgspec.json.encode(specs), type=list[Spec])


def _with_codec(spec: Spec, node: Node[Any, Any], root: Path) -> Spec:
    if spec.kind != "model":
        return spec
    codec = codecs.codec_for(node.returns, place=spec.place, what=f"model `{spec.name}`")
    if spec.policy(Onnx) is not None:
        codec = codecs.converted(codec, place=spec.place, what=f"model `{spec.name}`")
    return msgspec.structs.replace(
        spec,
        codec=codec,
        runtime=codecs.runtime(codec, node.returns),
        classes=symbol_reach(node.returns, root=root) if codec == "python" else {},
    )
