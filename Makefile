# Two commands for a fresh machine: `make demo` and `make test`. `make check` is what every change must pass; `make docs`
# makes the guide anew.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO ?= runs/demo
# Processes of the tests; those of one file stay together, for they share what is made for the file.
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: demo test check docs format clean

demo: $(VENV)/.demo
	@if [ -f $(DEMO)/run.json ]; then rm -rf $(DEMO); fi
	$(BIN)/zerosum train --out $(DEMO)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(VENV)/.check
	$(BIN)/ruff format --check src tests benchmarks docs
	$(BIN)/ruff check src tests benchmarks docs
	$(BIN)/mypy
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Runs every command of the guide and puts its real output and pictures in place; some minutes.
docs: $(VENV)/.demo
	$(BIN)/python docs/build.py

format: $(VENV)/.check
	$(BIN)/ruff format src tests benchmarks docs
	$(BIN)/ruff check --fix src tests benchmarks docs

clean:
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache

# One environment; each goal adds what it needs. Versions are held by constraints.txt.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.check: $(VENV)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
