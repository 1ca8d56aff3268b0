# Two commands do everything: `make up` and `make test`. Versions are pinned in requirements.lock and scripts/tools.

PYTHON  ?= python3
VENV    := .venv
SLIPWAY := $(VENV)/bin/slipway
PYTEST  := $(VENV)/bin/python -m pytest
LOCKED  := --require-hashes -r requirements.lock
UV      := VIRTUAL_ENV=$(VENV) $(VENV)/bin/uv pip install --quiet --compile-bytecode $(LOCKED)
PIP     := $(VENV)/bin/pip install --quiet --disable-pip-version-check $(LOCKED)

.DEFAULT_GOAL := help

.PHONY: help up down status test test-fast bench coverage soak faults lint venv tools lock

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: venv ## Bring the platform up, publish the pair, deliver the application
	@$(SLIPWAY) up

down: venv ## Remove everything that up made, except the cache
	@$(SLIPWAY) down

status: venv ## Show what runs where
	@$(SLIPWAY) status

test: venv ## Every test; the platform is taken down and brought up by them
	@$(SLIPWAY) tools build
	@$(PYTEST) -m "not long" --numprocesses 2 --dist loadgroup --durations=40 --quiet

test-fast: venv tools ## The inner loop: no platform, nothing that starts servers
	@$(PYTEST) -m "not platform and not slow" --numprocesses 2 --quiet

bench: venv ## Measure against what a user would run instead
	@$(SLIPWAY) up
	@$(VENV)/bin/python -m tests.perf

coverage: venv tools ## Branches of the edit and git modules that no test takes, each with its reason
	@$(VENV)/bin/python -m tests.branch_coverage

soak: venv ## Twenty rollouts under load, a hundred writers at once
	@$(SLIPWAY) up
	@$(PYTEST) tests/cli/test_bump_storm.py tests/platform/test_rollout_under_load.py -rP --writers 100 --rollouts 20

faults: venv ## Every fault under load with a table of its cost, and what else takes minutes: see the README
	@$(SLIPWAY) up
	@$(PYTEST) tests/platform -m long -rP --deselect tests/platform/test_rollout_under_load.py; ended=$$?; \
	$(PYTEST) tests/platform/test_faults.py --faults all || ended=$$?; \
	$(VENV)/bin/python -m tests.platform.faults; exit $$ended

lint: venv ## Style of the Python code
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

tools: venv
	@$(SLIPWAY) tools build cluster registry supplychain render crosscheck

venv: $(VENV)/.installed ## Make .venv with the slipway command

$(VENV)/.installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "make: Python 3.11 or newer is needed; fix: apt-get install python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2> /dev/null || { echo "make: Python's venv module is missing; fix: apt-get install python3-venv" >&2; exit 1; }
	@echo "installing Python packages into $(VENV) (a minute, the first time)"
	@$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/,!/\\$$/' requirements.lock > $(VENV)/uv.lock
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@$(UV) || { echo "uv did not install them (above); trying pip, which may know another index" >&2; $(PIP); }
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

lock: venv ## Resolve the lock files again
	@scripts/lock
