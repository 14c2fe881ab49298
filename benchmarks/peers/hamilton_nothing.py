"""Hamilton: 200 functions with its cache on; run twice, the second run reads every result from the cache."""

import importlib
import sys

sys.path.insert(0, ".")
nodes = importlib.import_module("hamilton_nodes")
from hamilton import driver  # noqa: E402

names = [f"n{i}" for i in range(199)]
built = driver.Builder().with_modules(nodes).with_cache(path="./hamilton_cache").build()
built.execute(names)
