"""What every build needs beside its plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from funade.declare.graph import Graph
from funade.declare.node import Node
from funade.declare.spec import Spec
from funade.store.store import Store


class BuildContext(msgspec.Struct, frozen=True):
    """What every build needs beside its plan: the store, the imported nodes and the project's circumstances."""

    store: Store
    graph: Graph
    nodes: Mapping[str, Node[Any, Any]]
    zone: ZoneInfo
    now: Callable[[], datetime]
    root: Path
    arguments: Callable[[Spec], dict[str, Any]]
    lock: str = ""
