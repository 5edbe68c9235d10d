# Bare `make` lists the targets. Everything runs in .venv, which is made when it is first needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8888
FUZZ ?= 600
HOSTS ?=
CHAOS ?=  # for example: make chaos CHAOS='--kills 20 --messages 100000'

QUICK := -m 'not browser' --ignore=tests/chaos --ignore=tests/fuzz

.PHONY: help demo test quick pythons lowest check lint audit hosts chaos fuzz bench pictures notebooks format clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 18

demo: $(VENV)/demo.ok  ## open the demo notebooks in JupyterLab
	@$(BIN)/python notebooks/demo.py --port $(PORT)

test: $(VENV)/test.ok  ## run every test, the notebooks included
	@$(BIN)/python -m pytest --nbval --numprocesses 3 --dist loadscope --no-loadscope-reorder

quick: $(VENV)/test.ok  ## all tests but those of browser, chaos and fuzz
	@$(BIN)/python -m pytest --nbval --numprocesses 3 --dist loadscope --no-loadscope-reorder $(QUICK)

pythons:  ## make quick with each other Python that is found here, in environments of their own
	@$(PYTHON) tests/pythons.py

lowest:  ## make quick with the lowest versions of everything that pyproject.toml allows
	@$(MAKE) --no-print-directory VENV=.venv-lowest .venv-lowest/lowest.ok
	@.venv-lowest/bin/python -m pytest --nbval --numprocesses 3 --dist loadscope --no-loadscope-reorder $(QUICK)

check: lint test  ## format, lint, types, import arrows, then every test

lint: $(VENV)/dev.ok  ## format, lint (security rules too), types and import arrows only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_arrows.py

audit: $(VENV)/audit.ok  ## look for known weaknesses in what is installed
	@$(BIN)/python tests/audit.py

hosts:  ## the panel in Voila and marimo, and with ipykernel 6 (environments of their own)
	@$(MAKE) --no-print-directory VENV=.venv-kernel6 .venv-kernel6/kernel6.ok
	@$(MAKE) --no-print-directory VENV=.venv-hosts .venv-hosts/hosts.ok
	@NBCHAT_KERNEL6=$(CURDIR)/.venv-kernel6/bin/python .venv-hosts/bin/python -m pytest tests/hosts $(HOSTS)

chaos: $(VENV)/test.ok  ## try to break the delivery contract for some minutes: kills, cuts, stops, every byte
	$(BIN)/python -m tests.chaos $(CHAOS)
	$(BIN)/python -m tests.chaos.cuts
	$(BIN)/python -m tests.chaos.measures

fuzz: $(VENV)/test.ok  ## random bytes and conversations at every door, for ten minutes (FUZZ=seconds)
	$(BIN)/python -m tests.fuzz $(FUZZ)

bench: $(VENV)/bench.ok  ## measure it all, beside other servers, and write docs/performance.md
	$(BIN)/python benchmarks/chat.py --write
	$(BIN)/python benchmarks/profiled.py --write
	$(BIN)/python benchmarks/busy.py --write
	$(BIN)/python benchmarks/classroom.py --write
	$(BIN)/python benchmarks/waits.py --write
	$(BIN)/python benchmarks/panel.py --write

pictures: $(VENV)/test.ok  ## take the README's pictures from the running product
	$(BIN)/python docs/pictures/make.py

format: $(VENV)/dev.ok  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

notebooks: $(VENV)/test.ok  ## run the notebooks and write their outputs into them
	$(BIN)/python notebooks/refresh.py

clean:  ## remove .venv and what tests and tools leave
	rm -rf $(VENV) .venv-* .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

# The resolver of pip takes the newest only; uv's takes the lowest as well.
.venv-lowest/lowest.ok: pyproject.toml
	@$(PYTHON) -m venv --clear .venv-lowest
	@echo "Installing the lowest versions into .venv-lowest ..."
	@.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	@.venv-lowest/bin/python -m uv pip install --quiet --python .venv-lowest/bin/python \
		--resolution lowest-direct --editable '.[test]'
	@touch $@

# One mark a set of packages; a changed pyproject.toml installs again.
$(VENV)/%.ok: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "nbchat needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (once; takes a minute) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
