# Two commands do everything on a machine with only Python (3.11 or newer) and make:
#   make demo   installs, trains CMC and finetune on four restoration tasks, prints where the report is
#   make test   installs, checks style, types and imports, runs every test
# and one beside them is for the minute between two edits:
#   make quick  runs the tests that take no time, in about a minute on 2 cores

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test quick lint style types imports install clean

demo: install
	$(BIN)/python -m benchmark run --strategy cmc,finetune --stream four_tasks --preset quick --out runs/demo
	$(BIN)/python -m benchmark report runs/demo --out runs/demo/report

# One process more than cores, as some tests wait for what they start, but four at most; each has one thread. The tests of
# a file stay together, since they share what they prepare, and come in the order of tests/conftest.py.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(os.cpu_count() + 1, 4))')
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST)

quick: install
	$(PYTEST) -m "not slow"

lint: install
	$(MAKE) --no-print-directory --jobs=3 style types imports

style:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports

install: .venv/.installed

# The stamp depends on pyproject.toml alone: the packages are installed in place, so edits need no reinstall.
.venv/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv runs report build *.egg-info .pytest_cache .mypy_cache .ruff_cache
