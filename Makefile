# FairForge: `make all` runs the demo from nothing to the report, `make talk` that of clips, `make test` all tests.
PYTHON ?= python3
OUT ?= runs/demo
CONFIG ?= configs/demo.toml
TALK ?= runs/talk
BIN := .venv/bin
# Photographs for the second dataset, where there are some (see docs/data.md).
export FAIRFORGE_DATA ?= $(firstword $(wildcard data ../shared/data))

.PHONY: help all talk install test lint types docs clean
help: ## Show what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

all: install ## Install, then run every stage into runs/demo
	$(BIN)/fairforge run --config $(CONFIG) --out $(OUT)
	@echo "The report: $(OUT)/report/index.html"

talk: install ## Talking faces, their audit, and a model of sound and picture into runs/talk
	$(BIN)/python -m pip install --quiet 'av>=12'
	$(BIN)/fairforge talk --out $(TALK) --per-cell 4
	$(BIN)/fairforge audit $(TALK)/dataset --config configs/talk.toml
	$(BIN)/fairforge av features $(TALK)/dataset --out $(TALK)/features --workers 2
	$(BIN)/fairforge av train --features $(TALK)/features --out $(TALK)/model --encoder-steps 150 --steps 100 \
		--set streams=lips --set motion=true --set hidden=128 --set longest=75
	$(BIN)/fairforge av evaluate --checkpoint $(TALK)/model --features $(TALK)/features --split test --out $(TALK)/evaluation
	@echo "The page: $(TALK)/evaluation/index.html"

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
