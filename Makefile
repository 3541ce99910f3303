# What can be done here; `make` alone lists it. Needs python3 (3.11 or newer, with venv) and nothing else.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help setup run test test-slow check bench constraints clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

setup: $(INSTALLED) ## make the environment in .venv, pinned by constraints.txt
	@:

run: $(INSTALLED) ## the desk trades the bundled synthetic session in this terminal
	@$(BIN)/cdb up --feed demo --speed 7200 --exit-when-done

test: $(INSTALLED) ## all tests, with the real servers (minutes)
	@$(BIN)/pytest -q -n 2 --cov

test-slow: $(INSTALLED) ## the long rounds of kill -9 (many minutes)
	@$(BIN)/pytest -q -m slow --timeout 3600

check: $(INSTALLED) ## lint, types and the tests of the core (seconds)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pytest -q -n 2 tests/domain tests/test_architecture.py

bench: $(INSTALLED) ## every benchmark figure
	@$(BIN)/cdb bench

constraints: ## pin the newest versions that pyproject.toml allows
	@new=$$(mktemp -d) && trap 'rm -rf "$$new"' EXIT && $(PYTHON) -m venv "$$new" \
		&& "$$new/bin/pip" install -qq --disable-pip-version-check -e '.[dev]' \
		&& "$$new/bin/pip" freeze --exclude-editable > "$$new/pins" \
		&& { sed -n '/^#/p' constraints.txt; cat "$$new/pins"; } > "$$new/all" && cp "$$new/all" constraints.txt

clean: ## remove the environment and every cache
	rm -rf .venv .numba .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed, and '$(PYTHON)' is $$($(PYTHON) -V 2>&1 || true);" \
			"name another one: make $(or $(MAKECMDGOALS),setup) PYTHON=/path/to/python3"; exit 1; }
	@echo "Making the environment in .venv (a minute or two, once)"
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear .venv || { \
		echo "'$(PYTHON) -m venv' failed; Debian and Ubuntu need: apt install python3-venv"; exit 1; }
	@$(BIN)/pip install -qq --disable-pip-version-check --no-input -c constraints.txt -e '.[dev]' || { \
		echo "The packages could not be installed; the line above says which and why."; exit 1; }
	@touch $@
