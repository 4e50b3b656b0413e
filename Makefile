# Every target sets the machine up first; that takes a moment only when something is missing.
# `make` alone lists the targets.

python := .venv/bin/python
veritas := .venv/bin/veritas
sources := kernel sql warehouse ingest core_api pipeline loadtests deploy tests
compile := .venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --quiet

BENCH ?= all
KILLS ?= 100
REQUESTS ?= 100000
USERS ?= 100
SECONDS ?= 30
DATA ?= ../shared/data/epm/activity.csv.gz

# Processes are started hundreds of times: each would compile what it imports, where the environment forbids to keep that.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup tools detector demo run test pytest faults fuzz bench locust accept example lint format lock doctor clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what runs, where it is missing: Python packages, PostgreSQL with TimescaleDB, Redis
	@bash deploy/setup/setup.sh

tools: ## the same, and what only tests and measures: linters, generators of clients, Chromium
	@bash deploy/setup/setup.sh tools

detector: ## the same as setup, and the face detector, an optional install
	@bash deploy/setup/setup.sh detector

demo: setup ## show the whole chain at work for about a minute, then stop everything
	@$(veritas) demo

run: setup ## start the whole stack and keep serving until Ctrl-C
	@$(veritas) up

test: ## lint, and beside it all tests on real servers of their own, three workers for two cores; shows the ten slowest
	@$(MAKE) --no-print-directory --jobs=2 lint pytest

pytest: tools
	$(python) -m pytest -n $$((($$(nproc) * 3 + 1) / 2)) --maxprocesses=8 --dist=loadfile --no-loadscope-reorder \
		--durations=10 --durations-min=1

faults: tools ## the long form of the fault tests: KILLS=100 random kills under load
	$(python) -m pytest tests/faults --kills=$(KILLS)

fuzz: tools ## the long form of the requests nobody thought of: REQUESTS=100000, SEED=… for those of an older run
	$(python) -m pytest tests/fuzz -s --requests=$(REQUESTS) $(if $(SEED),--fuzz-seed=$(SEED))

bench: tools ## measure: BENCH="ingest soak core ledger fold live evidence school analytics import lifecycle", all by default; figures in build/bench/
	$(python) -m loadtests.bench $(BENCH)

locust: tools ## a bounded, headless locust run against a stack of its own, then the checker: USERS=100 SECONDS=30
	$(python) -m loadtests.locust_run --users $(USERS) --seconds $(SECONDS)

accept: setup ## replay real monitoring data through a stack of its own and count the events back: DATA=FILE
	@test -r "$(DATA)" || { echo "$(DATA) is not there: make accept replays the EPM data set's activity.csv, which" \
		"Veritas does not bring along; name your copy, make accept DATA=FILE (docs/load-testing.md)" >&2; exit 2; }
	$(python) -m loadtests.replay.accept "$(DATA)"

example: tools ## take a real course through all of it, and draw the pictures of docs/example.md: DATA=FOLDER
	$(python) -m loadtests.example.run "$(patsubst %/activity.csv.gz,%,$(DATA))"

lint: tools ## style, formatting, types, import contracts, migrations
	.venv/bin/ruff check $(sources)
	.venv/bin/ruff format --check $(sources)
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/squawk sql/migrations/*.sql sql/optional/*.sql

format: tools ## let ruff fix and format what it can
	.venv/bin/ruff check --fix $(sources)
	.venv/bin/ruff format $(sources)

lock: tools ## resolve pyproject.toml anew into the locks: what runs, and all that tests too, for every supported Python
	$(compile) --output-file requirements.lock
	$(compile) --extra detector --constraints requirements.lock --output-file requirements-detector.lock
	$(compile) --extra dask --constraints requirements.lock --output-file requirements-dask.lock
	$(compile) --extra detector --extra dask --group dev --group bench --constraints requirements.lock --output-file requirements-dev.lock

doctor: setup ## say what is there, what is not, and how to mend it
	@$(veritas) doctor

clean: ## remove build output and caches; the Python environment and the stack's state stay
	rm -rf build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
