# demo       compress a photograph and compare it with JPEG, WebP and AVIF at equal bytes: make demo [IMAGE=mine.png]
# test       every test                    test-fast  all but those marked slow
# coverage   every test, and which lines none of them ran; fails below the floor in pyproject.toml
# js         build, lint and test the decoder in JavaScript (needs clang and lld, and an npm registry)
# site       the documentation as pages in build/site, every link within it checked
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
# The C and C++ headers of ONNX Runtime, whose wheel has the library alone; of this package nothing else is kept.
HEADERS := $(VENV)/include/onnxruntime
HEADERS_FROM := com.github.asus4.onnxruntime@0.4.9

# Tests start many programs, and each would compile every module again where Python is told to keep no bytecode.
test test-fast coverage: export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-fast coverage js site lint clean

demo: $(BASE)
	$(BIN)/python samples/demo.py $(if $(IMAGE),"$(IMAGE)")

test: $(TEST) $(HEADERS)
	$(BIN)/python -m pytest $(PARALLEL)

test-fast: $(TEST) $(HEADERS)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

coverage: $(TEST) $(HEADERS)
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term

lint: $(TEST)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p aez

# Node and npm are those of the environment; what is built has to be what is committed.
js: export PATH := $(CURDIR)/$(BIN):$(PATH)
js: $(TEST)
	cd codec/js && npm ci --no-fund --no-audit && npm run check

site: $(TEST)
	rm -rf build/site
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --doctree-dir build/site-doctrees --conf-dir docs . build/site
	$(BIN)/python docs/check_links.py build/site

clean:
	rm -rf codec/js/build codec/js/node_modules $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* *.egg-info

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

$(HEADERS): Makefile | $(TEST)
	rm -rf $@ $@.part && mkdir -p $@.part
	cd $@.part && PATH="$(CURDIR)/$(BIN):$$PATH" npm pack --silent $(HEADERS_FROM) >/dev/null
	tar -xzf $@.part/*.tgz -C $@.part --wildcards --strip-components=6 '*/ios-arm64/*/Headers/*'
	mv $@.part/Headers $@ && rm -rf $@.part
