"""Dagster: 200 assets with code versions; materialised once, then the newest code version of each is looked up."""

import importlib
import sys

sys.path.insert(0, ".")
nodes = importlib.import_module("dagster_nodes")
from dagster import DagsterInstance, load_assets_from_modules, materialize  # noqa: E402

assets = load_assets_from_modules([nodes])
instance = DagsterInstance.get()
if "--first" in sys.argv:
    materialize(assets, instance=instance)
else:
    stale = []
    for one in assets:
        record = instance.get_latest_materialization_event(one.key)
        tags = record.asset_materialization.tags if record else {}
        if tags.get("dagster/code_version") != "1":
            stale.append(one)
    if stale:
        materialize(stale, instance=instance)
