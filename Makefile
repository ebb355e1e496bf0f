# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check conformance bench clean

demo: $(VENV)/.installed
	$(BIN)/exchange-push --demo

test: $(VENV)/.tested
	$(BIN)/python -m pytest -q

# What CI runs: lint, types, then the tests (import rules among them).
check: $(VENV)/.checked
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

conformance: $(VENV)/.installed
	$(BIN)/python -m tests.conformance.run

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[test]'
	touch $@

$(VENV)/.checked: $(VENV)/.tested
	$(BIN)/python -m pip install -q -e '.[test,check]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
