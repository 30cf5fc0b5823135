# Everything a developer does with this checkout. `make help` lists it.

VENV ?= .venv
MNT ?= mnt
PORT_BASE ?= 9000
ROUNDS ?= 3
LINES ?=
MINUTES ?= 5
SEED ?=
RUNS ?= 100
FIRST ?= 1
WITHOUT ?=
PYTHON := $(VENV)/bin/python
CLUSTER := $(PYTHON) -m dfs.cli.local_cluster
CHECKED := dfs tests scripts

.PHONY: help machine up down check lint unit test sim mutants bench torture format clean
.DEFAULT_GOAL := help

help: ## Show this list
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16
	@echo "Variables: VENV=$(VENV) MNT=$(MNT) PORT_BASE=$(PORT_BASE)"

machine:
	@scripts/setup-machine.sh $(VENV)

up: machine ## Install what is missing, start 1 meta-server and 4 data servers on loopback, mount MNT
	@$(CLUSTER) up --base-port $(PORT_BASE) --folder run --mount $(MNT)

down: ## Unmount MNT and stop all servers; the data stays in ./run
	@test ! -x $(PYTHON) || $(CLUSTER) down --base-port $(PORT_BASE) --folder run --mount $(MNT)

check: lint unit ## Lint, types and unit tests, in under a minute

lint: machine
	@$(VENV)/bin/ruff check $(CHECKED)
	@$(VENV)/bin/ruff format --check $(CHECKED)
	@$(VENV)/bin/mypy

unit: machine
	@$(PYTHON) -m pytest -q tests/unit

test: lint ## Everything: lint, types, and all tests, those with real processes and mounts too
	@$(PYTHON) -m pytest -q

sim: machine ## Replay a run of the simulator (SEED=n), or search for runs that fail (RUNS=n FIRST=n)
	@$(PYTHON) -m tests.sim $(SEED) --runs $(RUNS) --first $(FIRST) --without "$(WITHOUT)"

mutants: machine ## Put known bugs back, one at a time, into a copy of the tree: each must be caught
	@$(PYTHON) -m tests.sim.mutants

bench: machine ## Measure beside the null file system and the stock XML-RPC server (LINES=sequential,wire ROUNDS=1)
	@$(PYTHON) -m tests.bench --rounds $(ROUNDS) --lines "$(LINES)" --json build/bench.json

torture: machine ## Break a cluster in every way for MINUTES=5 while it is written to; tells what was lost (SEED=n ONLY="disk full")
	@$(PYTHON) -m tests.torture --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)")

format: machine ## Lay the code out and mend what can be mended without thinking
	@$(VENV)/bin/ruff check --fix $(CHECKED)
	@$(VENV)/bin/ruff format $(CHECKED)

clean: ## Remove caches and build products; the data in ./run stays
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find $(CHECKED) -name __pycache__ -prune -exec rm -rf {} +
