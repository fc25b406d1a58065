# Everything runs in .venv, which `make install` makes (and so does any target that needs it).
PYTHON ?= python3
PIP_FLAGS ?=
DEMO_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo lab test test-paper test-fast test-all notebooks figures site lint clean

help:  ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## make .venv and install everything into it (PYTHON=..., PIP_FLAGS=...)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "alrp_ref needs Python 3.11 or newer, but $(PYTHON) is: `$(PYTHON) --version 2>&1`"; \
	  echo "name another one: make PYTHON=python3.12 $(or $(MAKECMDGOALS),install)"; exit 2; }
	@echo "installing into $(VENV): a few minutes, and on Linux about 6 GB, since PyTorch brings CUDA along ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile $(PIP_FLAGS) -e '.[all]'
	@# pip compiles on one core, this on all: half a minute less. A file that does not compile is never imported.
	@$(BIN)/python -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib >/dev/null 2>&1 || true
	@touch $@

demo: $(STAMP)  ## draw a data set of shapes, train a small detector on it, write a report
	$(BIN)/alrp demo $(DEMO_FLAGS)

lab: $(STAMP)  ## open the course
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

# One run for tests and notebooks, so that its last line counts both; -rs names what was skipped, and why. A process for
# each core, up to four, takes a file at a time. Each has one thread, since small networks gain nothing from a second.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs -n logical --maxprocesses 4 --dist loadfile
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=1800 notebooks

lint: $(STAMP)  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

test: lint  ## check everything, the notebooks too (about ten minutes)
	$(PYTEST) -m "not slow" tests $(NBVAL)

test-paper: $(STAMP)  ## the tests of the paper's files alone (about a minute)
	$(PYTEST) tests/paper

test-fast: lint  ## the same without the notebooks
	$(PYTEST) -m "not slow" tests --ignore tests/test_notebooks.py --ignore tests/test_jupyterlab.py

test-all: lint  ## the long tests, too
	$(PYTEST) tests $(NBVAL)

notebooks: $(STAMP)  ## run the notebooks and keep their outputs; a second run changes nothing
	COCO_ROOT= $(BIN)/python notebooks/execute.py  # empty: shapes, since pictures made from photographs are not ours to keep

figures: $(STAMP)  ## make the paper's figures and tables again
	$(BIN)/python -m figures

site: $(STAMP)  ## build the course, the API and the documentation as a static site in site/
	$(BIN)/python docs/site/build.py site

clean:  ## remove .venv and caches (runs/ stays: it may hold hours of training)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis *.egg-info build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
