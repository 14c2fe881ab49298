# Everything a fresh machine needs is made here: Python 3.11+, make and a package index are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test drills bench bench-batch bench-queue bench-serve lint types lock clean

demo: $(READY) ## taxi rides from data to served answers, then a bad release, a switch and a rollback
	$(BIN)/python examples/demo.py

test: $(READY) $(VENV)-clients/.ready lint types ## lint, types and every test not marked slow
	$(BIN)/python -m pytest -m "not slow" -q -n auto --maxprocesses 4 --dist loadfile --durations=10

drills: $(READY) $(VENV)-clients/.ready ## crash, switch and load drills; seeds are printed
	$(BIN)/python -m pytest -m slow -q --durations=10

bench: $(READY) $(VENV)/.bench ## the figures of docs/benchmarks.md, beside their references
	$(BIN)/python benchmarks/run.py

bench-serve: $(VENV)-serve/client $(VENV)/.bench-serve ## the figures of docs/benchmarks-serve.md; ARGS="--model lightgbm"
	$(VENV)-serve/bin/python benchmarks/bench_serve.py $(ARGS)

bench-batch: $(VENV)-serve/.ready ## rows of a table answered into a table, beside a bare loop; ARGS="--millions 1"
	$(VENV)-serve/bin/python benchmarks/bench_batch.py $(ARGS)

bench-queue: $(READY) ## how many asynchronous requests a second are submitted, answered and read
	$(BIN)/python benchmarks/bench_queue.py

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(READY)
	$(BIN)/mypy

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "funade needs Python 3.11 or newer, got " + sys.version)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# The stock clients that tests ask a server with.
$(VENV)-clients/.ready: requirements/clients.txt
	$(PYTHON) -m venv $(VENV)-clients
	$(VENV)-clients/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/clients.txt
	touch $@

# The peers that benchmarks stand beside live in an environment of their own.
$(VENV)/.bench: requirements/peers.txt
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers.txt
	touch $@

# funade as it is served, and its peers apart: their pins conflict.
SERVERS := web bentoml mlserver
$(VENV)/.bench-serve: $(VENV)-serve/.ready $(SERVERS:%=$(VENV)-peers-%/.ready)
	mkdir -p $(VENV) && touch $@

$(VENV)-serve/.ready: requirements/bench-serve.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)-serve
	$(VENV)-serve/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench-serve.txt
	$(VENV)-serve/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)-peers-%/.ready: requirements/peers-serve-%.txt
	$(PYTHON) -m venv $(VENV)-peers-$*
	$(VENV)-peers-$*/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/peers-serve-$*.txt
	touch $@

$(VENV)-serve/client: benchmarks/client.c $(VENV)-serve/.ready
	gcc -O2 -Wall -Wextra -o $@ $< -lm

lock: ## lock requirements/*.in again, with hashes (needs uv)
	for set in dev clients peers bench-serve peers-serve-web peers-serve-bentoml peers-serve-mlserver; do uv pip compile requirements/$$set.in --python-version 3.11 --universal --generate-hashes \
		--quiet --no-header --no-annotate --output-file requirements/$$set.txt; done

clean:
	rm -rf $(VENV) $(VENV)-clients $(VENV)-peers* $(VENV)-serve .demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
