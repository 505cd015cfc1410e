# demo       compress a photograph and compare it with JPEG, WebP and AVIF at equal bytes: make demo [IMAGE=mine.png]
# test       every test                    test-fast  all but those marked slow
# coverage   every test, and which lines none of them ran; fails below the floor in pyproject.toml
# lint       ruff, and mypy --strict
# clean      remove the environment, builds and caches
#
# Each target creates .venv and installs what it needs; only demo does without torch.

PYTHON ?= python3
IMAGE ?=
# The files of tests are shared out among so many processes, those that take longest first (tests/kit/order.py).
PARALLEL ?= --numprocesses 3 --dist loadfile --no-loadscope-reorder

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Stamps: an installation is repeated only when what it is made from changes.
BASE := $(VENV)/.installed-base
TEST := $(VENV)/.installed-test

.PHONY: demo test test-fast coverage lint clean

demo: $(BASE)
	$(BIN)/python samples/demo.py $(if $(IMAGE),"$(IMAGE)")

test: $(TEST)
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(TEST)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

coverage: $(TEST)
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p aez

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* *.egg-info

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# setuptools comes first, so that the build uses the pinned one instead of fetching its own.
$(BASE): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation --editable . matplotlib
	touch $@

$(TEST): pyproject.toml setup.py constraints.txt | $(BIN)/python
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation --editable '.[test]'
	touch $@
