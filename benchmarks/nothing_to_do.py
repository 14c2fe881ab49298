"""A build with nothing to do: 200 nodes in modules that import pandas and LightGBM, from process start to end."""

from __future__ import annotations

from pathlib import Path

from measure import HERE, PEERS, Row, alternate, process

NODES = 200
MODULES = 10
GOAL = "≤ 0.3 s"
TITLE = "Nothing-to-do build of 200 nodes whose modules import pandas and LightGBM"


def write_funade(root: Path) -> None:
    (root / "wide").mkdir(parents=True)
    (root / "funade.toml").write_text('[project]\nname = "wide"\nmodules = ["wide"]\ntimezone = "UTC"\n')
    (root / "wide/__init__.py").write_text("")
    source = [
        "import pandas as pd, lightgbm, pyarrow as pa, numpy as np, funade as fn",
        '@fn.source(fn.every("1 day", since="2022-01-01"))',
        "def rows(day: str) -> pa.Table:",
        '    return pa.table({"x": np.arange(10.0)})',
    ]
    (root / "wide/rows.py").write_text("\n".join(source) + "\n")
    for m in range(MODULES):
        lines = [
            "import pandas as pd, lightgbm, funade as fn",
            "from wide.rows import rows",
            "def double(x): return 2 * x",
        ]
        for i in range(m, NODES - 1, MODULES):
            lines += [
                "@fn.threshold(rows=rows)",
                f"def n{i}(rows: pd.DataFrame, k: float = {i}.0) -> float:",
                "    return double(float(rows['x'].sum() + k))",
            ]
        (root / f"wide/part{m}.py").write_text("\n".join(lines) + "\n")


def write_peer_module(path: Path, decorator: str = "") -> None:
    lines = ["import pandas as pd, lightgbm", "def _double(x): return 2 * x"]
    if decorator:
        lines.append("from dagster import asset, AssetIn")
    lines += [decorator, "def rows() -> pd.DataFrame:", "    return pd.DataFrame({'x': range(10)})"]
    for i in range(NODES - 1):
        lines += [decorator, f"def n{i}(rows: pd.DataFrame) -> float:"]
        lines += [f"    return _double(float(rows['x'].sum() + {i}))"]
    path.write_text("\n".join(lines) + "\n")


def run(scratch: Path, runs: int) -> list[Row]:
    root = scratch / "funade"
    write_funade(root)
    funade = str(HERE / "funade")
    process([funade, "load", "--to", "2022-01-02"], root)()
    process([funade, "build"], root)()
    peers = scratch / "peers"
    peers.mkdir()
    write_peer_module(peers / "hamilton_nodes.py")
    write_peer_module(peers / "dagster_nodes.py", "@asset(code_version='1')")
    here = Path(__file__).parent / "peers"
    python = str(PEERS / "python")
    for script in ("hamilton_nothing.py", "dagster_nothing.py"):
        process([python, str(here / script), "--first"], peers, {"DAGSTER_HOME": str(peers)})()
    return alternate(
        runs,
        funade_build=process([funade, "build"], root),
        Hamilton_with_cache=process([python, str(here / "hamilton_nothing.py")], peers),
        Dagster_staleness_of_every_asset=process(
            [python, str(here / "dagster_nothing.py")], peers, {"DAGSTER_HOME": str(peers)}
        ),
    )
