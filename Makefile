# Two commands set everything up: `make run` and `make test`. Each makes .venv when it is not there, and brings
# it up to date when pyproject.toml has changed; nothing but Python and make is needed beforehand.
# Another interpreter: make PYTHON=python3.13 run. Arguments for pytest: make test ARGS="-k purge".

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
SUITE := tests/conformance
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Each stamp says: this much is installed, as pyproject.toml had it then.
MADE := $(VENV)/.made
RUN := $(VENV)/.run
TEST := $(VENV)/.test
LINT := $(VENV)/.lint
NODE := $(SUITE)/node_modules/.installed

.DEFAULT_GOAL := help
.PHONY: help bench bench-report bench-nodes run test lint format docs conformance conformance-baseline clean

help:
	@echo "make run          an origin to play with and an edge in front of it (configs/demo.yaml)"
	@echo "make test         the whole test suite"
	@echo "make lint         ruff, mypy, import contracts"
	@echo "make conformance  the public test suite for HTTP caches (needs Node.js and npm)"
	@echo "make bench        beside nginx and Varnish, a quarter of an hour; ARGS=--quick or --full for less or more"
	@echo "make bench-report what that found: into docs/performance.md, with plots"
	@echo "make bench-nodes  what nodes cost together: purges through nine of them, crowds at a cold key"
	@echo "make consistency  readers, purgers and faults over real nodes, and an offline checker;"
	@echo "                  LEVELS=disk, redis or workers for nodes that keep more than their memory does"
	@echo "make torture      kills, bit rot and full disks, and a Redis in every trouble, for longer"
	@echo "make churn        an hour of more than a node can hold; MINUTES=5, WORKERS=2 for others"
	@echo "make format       format the code"
	@echo "make docs         write the generated pages of docs/ again"
	@echo "make clean        remove what these commands made"

run: $(RUN)
	@exec $(BIN)/seawall up configs/demo.yaml

test: $(TEST)
	@$(BIN)/python -m pytest $(ARGS)

lint: $(LINT)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(LINT)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TEST)
	@$(BIN)/python -m bench.peers $(ARGS)

bench-report: $(TEST)
	@$(BIN)/python -m bench.report $(ARGS)

bench-nodes: $(TEST)
	@$(BIN)/python -m bench.purge
	@$(BIN)/python -m bench.collapse

docs: $(RUN)
	$(BIN)/python -m seawall.config.document

conformance: $(RUN) $(NODE)
	@$(BIN)/python -m tests.conformance.run $(ARGS)

conformance-baseline: $(RUN) $(NODE)
	@$(BIN)/python -m tests.conformance.run --update-baseline

# The long randomised run over real processes, and the offline checker over what it saw. Two to five minutes.
# LEVELS says where the nodes keep what they store: memory, disk, redis or workers.
.PHONY: consistency
consistency: READS ?= 200000
consistency: PURGES ?= 2000
consistency: SEED ?= 1
consistency: LEVELS ?= memory
consistency: $(TEST)
	@$(BIN)/python -m tests.consistency.run --reads $(READS) --purges $(PURGES) --seed $(SEED) \
	  --levels $(LEVELS) $(ARGS)

# Kills, bit rot, full disks and Redis in trouble, for longer than a test run has time. About ten minutes.
.PHONY: torture
torture: KILLS ?= 500
torture: FLIPS ?= 2000
torture: WOES ?= 100
torture: SEED ?= 1
torture: $(TEST)
	@$(BIN)/python -m tests.torture.disk --kills $(KILLS) --flips $(FLIPS) --seed $(SEED)
	@$(BIN)/python -m tests.torture.diskwoes --woes $(WOES) --seed $(SEED)
	@$(BIN)/python -m tests.torture.rediswoes --woes $(WOES) --seed $(SEED)

# Far more passes through a small node than it holds: neither its memory nor what it stores may grow.
.PHONY: churn
churn: MINUTES ?= 60
churn: WORKERS ?= 1
churn: SEED ?= 1
churn: $(TEST)
	@$(BIN)/python -m tests.torture.churn --minutes $(MINUTES) --workers $(WORKERS) --seed $(SEED)

clean:
	rm -rf $(VENV) $(SUITE)/node_modules build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Seawall needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>/dev/null || echo not installed)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(RUN): $(MADE) pyproject.toml
	@echo "Installing Seawall in $(VENV)"
	@$(PIP) --editable .
	@touch $@

$(TEST): $(MADE) pyproject.toml
	@echo "Installing Seawall and what its tests need in $(VENV)"
	@$(PIP) --editable '.[test]'
	@touch $@ $(RUN)

$(LINT): $(MADE) pyproject.toml
	@echo "Installing Seawall and what checks its code in $(VENV)"
	@$(PIP) --editable '.[test,lint]'
	@touch $@ $(RUN) $(TEST)

$(NODE): $(SUITE)/package.json $(SUITE)/package-lock.json
	@command -v npm >/dev/null || { \
	  echo "The conformance suite needs Node.js and npm; on Debian: apt-get install nodejs npm" >&2; exit 1; }
	@echo "Installing the conformance suite in $(SUITE)/node_modules"
	@cd $(SUITE) && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error
	@touch $@
