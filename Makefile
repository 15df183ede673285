# Two commands matter: `make demo` and `make test`. Each sets up what it needs, from the package registries alone.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Where it is set, each of the many processes that are started compiles all it imports once more.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

$(READY): requirements/uv.txt requirements/dev.txt shared/pyproject.toml services/api/pyproject.toml services/worker/pyproject.toml testing/pyproject.toml tests/probe/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Offload needs Python 3.11 or newer; name one: make PYTHON=python3.13 ..." >&2; exit 1; }
	@echo "Setting up $(VENV) ..."
	@$(PYTHON) -m venv --clear $(VENV) \
	  || { echo "This Python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements/dev.txt requirements/uv.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation \
	  -e shared -e services/api -e services/worker -e testing -e tests/probe
	@touch $@

setup: $(READY) ## Make the virtual environment

SCHEMAS := shared/schemas --of offload_shared

check: $(READY) ## Lint, check formatting, types, the direction of imports, and what a change of a task breaks
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/lint-imports --no-logo
	@$(BIN)/offload-tasks check $(SCHEMAS)

schemas: $(READY) ## Keep the schemas of the shipped tasks as they are now, unless that breaks a version
	@$(BIN)/offload-tasks keep $(SCHEMAS)

test: $(READY) ## Run every test, on real servers: Docker's, or ones it starts (and on Debian installs) itself
	@$(BIN)/python -m tests.servers
	@$(BIN)/pytest $(PYTEST)

test-unit: $(READY) ## Run the tests that need no server
	@$(BIN)/pytest tests/unit tests/contract $(PYTEST)

test-servers: $(READY) ## Run the tests that need servers
	@$(BIN)/python -m tests.servers
	@$(BIN)/pytest tests/integration tests/acceptance tests/failpoints tests/chaos $(PYTEST)

demo: $(READY) ## Train a model in a worker while the API stays free; BROKER=amqp://... STORE=postgresql+psycopg://... URL=http://...
	@OFFLOAD_BROKER_URL="$(BROKER)" OFFLOAD_STORE_URL="$(STORE)" $(BIN)/python -m demo $(if $(URL),--url $(URL))

demo-flow: $(READY) ## Train, then predict and report side by side, then mail both: one flow; BROKER and STORE as for demo
	@OFFLOAD_BROKER_URL="$(BROKER)" OFFLOAD_STORE_URL="$(STORE)" $(BIN)/python -m demo.flow

up: $(READY) ## Start the API and a worker, print the address, and stay until Ctrl-C; BROKER and STORE as for demo, OFFLOAD_PORT=8000
	@OFFLOAD_BROKER_URL="$(BROKER)" OFFLOAD_STORE_URL="$(STORE)" $(BIN)/python -m demo.up

simulate: $(READY) ## Run the protocol under simulated faults; SEEDS=2000 SEED=1 replays exactly
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),2000) --seed $(or $(SEED),1)

failpoints: $(READY) ## Reach each crash point on purpose, with a kill, an error, a hang and a lost answer
	@$(BIN)/python -m tests.servers
	@$(BIN)/pytest tests/failpoints $(PYTEST)

bench-latency: $(READY) ## Measure what computing outside the web process buys; writes docs/latency.md; ARGS=--quick
	@$(BIN)/python -m benchmarks.latency $(ARGS)

bench-cancel: $(READY) ## Measure how long a cancel takes under load; writes docs/cancelling.md; ARGS=--embedded (--help)
	@$(BIN)/python -m benchmarks.cancelling $(ARGS)

chaos: $(READY) ## Break everything under load and check every promise; SEED=4711 MINUTES=10 ARGS="--lease=5" (--help)
	@$(BIN)/python -m tests.servers
	@$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

LOCK := uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-package offload-shared

lock: $(READY) ## Renew the pinned, hashed requirements
	@echo uv | $(BIN)/$(LOCK) - -o requirements/uv.txt
	@echo hatchling | $(BIN)/$(LOCK) - -o requirements/build.txt
	@echo openapi-python-client | $(BIN)/$(LOCK) - -o requirements/generator.txt
	@$(BIN)/$(LOCK) shared/pyproject.toml services/api/pyproject.toml -o requirements/api.txt
	@$(BIN)/$(LOCK) shared/pyproject.toml services/worker/pyproject.toml -o requirements/worker.txt
	@$(BIN)/$(LOCK) --group dev shared/pyproject.toml services/api/pyproject.toml services/worker/pyproject.toml \
	  -o requirements/dev.txt

clean: ## Remove everything that was made
	rm -rf $(VENV) .offload .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help setup check schemas test test-unit test-servers demo demo-flow up simulate failpoints bench-latency bench-cancel chaos lock clean
