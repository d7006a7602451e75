# FairForge: `make all` runs the demo from nothing to the report, `make test` the whole test suite.
PYTHON ?= python3
OUT ?= runs/demo
CONFIG ?= configs/demo.toml
BIN := .venv/bin
# Photographs for the second dataset, where there are some (see docs/data.md).
export FAIRFORGE_DATA ?= $(firstword $(wildcard data ../shared/data))

.PHONY: help all install test lint types docs clean
help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

all: install ## Install, then run every stage into runs/demo
	$(BIN)/fairforge run --config $(CONFIG) --out $(OUT)
	@echo "The report: $(OUT)/report/index.html"

install: .venv/.installed ## Install into .venv

.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-dev: .venv/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

test: .venv/.installed-dev ## Install what is missing, then run all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: .venv/.installed-dev ## ruff, the layers, and nothing written twice
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python -m benchmarks.written_twice

types: .venv/.installed-dev ## mypy, strict on manifests and pipeline
	$(BIN)/mypy

docs: .venv/.installed-dev ## The documentation site into site/; a warning is an error
	$(BIN)/fairforge docs --no-open --fresh

clean: ## Remove the demo's run directory
	rm -rf $(OUT)
