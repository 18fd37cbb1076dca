# Each target sets up what it needs and can be run again at any time.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help setup demo test lint proto http bench clean
.DEFAULT_GOAL := help

help:  ## Show the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[all]" --group dev
	@touch $@

setup: $(VENV)/.installed  ## Make the virtual environment

demo: setup  ## Train, guide and predict on the sample data, and show the result
	$(BIN)/slcolm demo --out build/demo

test: setup  ## Run the tests
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup  ## Formatting, lint, types, import contracts, protos
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/proto.py --check
	$(BIN)/python scripts/envoy.py --check

proto: setup  ## Generate the Python code of the contracts
	$(BIN)/python scripts/proto.py

http: setup  ## Generate Envoy's configurations in deploy/http
	$(BIN)/python scripts/envoy.py

bench: setup  ## Run the benchmarks; results go to benchmarks/out
	$(BIN)/python -m benchmarks

clean:  ## Remove everything that was made
	rm -rf $(VENV) build dist benchmarks/out .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
