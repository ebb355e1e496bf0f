# Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Clients of others, for the tests only. An environment of their own: they may want other versions of libraries than we do.
CLIENTS := .venv-clients

.PHONY: demo test check wheel chart screenshots conformance bench spec clean

demo: $(VENV)/.installed
	$(BIN)/exchange-push --demo

test: $(VENV)/.tested $(CLIENTS)/.installed
	$(BIN)/python -m pytest -q

# What CI runs: lint, types, a wheel that works, then the tests (import rules among them).
check:
	$(MAKE) -j2 $(VENV)/.checked $(CLIENTS)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) wheel
	$(MAKE) test

# A wheel, installed and tried in another folder: a checkout on sys.path would prove nothing. First one from where there
# is no compiler, then one with the compiled loop where there is one.
wheel: $(BIN)/python
	rm -rf build
	CC=false $(BIN)/python -m pip wheel -q --no-deps -w build/plain .
	$(BIN)/python -m pip wheel -q --no-deps -w build/wheel .
	$(BIN)/python -m venv build/venv
	build/venv/bin/python -m pip install -q build/plain/*.whl
	cd / && $(CURDIR)/build/venv/bin/python -c "from exchange_push.edge.sending import *; assert send_each is send_each_in_python"
	cd / && $(CURDIR)/build/venv/bin/python -c "from exchange_push.pubsub.handing import *; assert hand_each is hand_each_in_python"
	build/venv/bin/python -m pip install -q --no-deps --force-reinstall build/wheel/*.whl
	cd / && ! command -v cc || $(CURDIR)/build/venv/bin/python -c "import exchange_push.edge._sending, exchange_push.pubsub._handing"
	cd / && $(CURDIR)/build/venv/bin/python $(CURDIR)/tests/wheel.py \
		$(CURDIR)/build/venv/bin/exchange-push $(CURDIR)/exchange_push/web/chart/lightweight-charts.js
	cd / && for command in "twistd -n exchange-push" "twist exchange-push" exchange-push; do \
		$(CURDIR)/build/venv/bin/$$command --check-config || exit 1; \
	done

# The chart library of the page, where it is not yet.
chart:
	$(PYTHON) tools/chart.py

# Pictures of the page, of a demo that runs: start `make demo` minutes before. Needs Chromium, and pngquant.
screenshots: $(VENV)/.tested
	$(BIN)/python -m tests.screenshots http://127.0.0.1:6790/

conformance: $(VENV)/.installed
	$(BIN)/python -m tests.conformance.run

bench: $(VENV)/.installed
	$(BIN)/python -m benchmarks

# The protocols as documents, in build/.
spec: $(VENV)/.installed
	mkdir -p build
	$(BIN)/python -m exchange_push.schema asyncapi > build/asyncapi.json
	$(BIN)/python -m exchange_push.schema openapi > build/openapi.json

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# pip keeps to itself what a build says, so the chart library of the page is brought here, which says where there is none.
$(VENV)/.installed: $(VENV)/bin/python setup.cfg setup.py pyproject.toml tools/chart.py $(wildcard exchange_push/*/*.c)
	@$(BIN)/python tools/chart.py
	$(BIN)/python -m pip install -q -e .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(BIN)/python -m pip install -q -e '.[test]'
	touch $@

$(VENV)/.checked: $(VENV)/.tested
	$(BIN)/python -m pip install -q -e '.[test,check]'
	touch $@

# What the extra asks for, and not the package itself: clients know nothing of it, and pip may work on the checkout here.
$(CLIENTS)/.installed: setup.cfg
	$(PYTHON) -m venv --clear $(CLIENTS)
	$(PYTHON) -c 'from configparser import ConfigParser as Parser; extras = Parser(); extras.read("setup.cfg"); \
		print(extras["options.extras_require"]["clients"])' > $(CLIENTS)/requirements.txt
	$(CLIENTS)/bin/python -m pip install -q --no-compile -r $(CLIENTS)/requirements.txt
	touch $@

clean:
	rm -rf $(VENV) $(CLIENTS) build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
