# make run    set everything up on a fresh machine, then open the web page
# make demo   set up, then answer a question about each bundled sample and write demo_report.html
# make test   set up with the development tools, then every check and test
# make test-tiers  the tests of the conversation once more on a scripted model, a loopback endpoint and a tiny local model
# make bench  set up, then measure on the real data sets under TELLTALE_DATA
# make docs   renew README's table and docs/detectors.md from the catalogue
#
# WORKERS=1 runs the tests in one process. PYTHON=python3.12 chooses the interpreter (3.11 or newer). PIP_ARGS is passed to pip,
# e.g. to name the index of torch CPU builds, which are smaller by gigabytes.

VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3 python3.13 python3.12 python3.11)
PIP_ARGS ?=
WORKERS ?= 2

export HF_HUB_OFFLINE := 1
export LANGSMITH_TRACING := false
export GRADIO_ANALYTICS_ENABLED := False

.DEFAULT_GOAL := run
.PHONY: run demo test test-tiers bench docs setup setup-dev

run: setup
	$(BIN)/telltale ui $(ARGS)

demo: setup
	$(BIN)/python -m ui.demo

test-tiers: setup-dev
	for tier in scripted endpoint local; do \
	  TELLTALE_TEST_TIER=$$tier $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/agent || exit 1; \
	done

test: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks.run $(or $(SUITE),all)

docs: setup
	$(BIN)/python -m tools.catalog_docs

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

# The stamps make setup a matter of milliseconds until the dependencies change. The dev stamp counts for both.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(BIN)/python:
	@for python in $(CANDIDATES); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "Setting up in $(VENV) with $$("$$python" --version) (a few minutes, once)"; \
	    "$$python" -m venv $(VENV) && exit 0; \
	    echo "$$python cannot make a virtual environment; on Debian or Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; \
	  fi; \
	done; \
	echo "Telltale needs Python 3.11 or newer; none of these is: $(CANDIDATES). Name one: make run PYTHON=/path/to/python3.12" >&2; exit 1
