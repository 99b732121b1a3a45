# make setup       only the environment, .venv, with the command allweather
# make demo        the whole journey on the embedded data set; opens no window, writes ./demo/report.html
# make demo-quick  the drive of the demo with the models of samples/bundles, without training
# make test        every test, lint, types and the rules of the architecture
# make test-fast   the tests that a developer runs all day: no slow and no end-to-end ones
# make fuzz        parsers with very many damaged inputs; an hour. Fewer: make fuzz EXAMPLES=1000
# make lint        ruff, as in the tests
# make types       mypy, over a link tree that editors use, too
# make docs        builds the documentation into ./site, where index.html opens without a server
# make release     builds and checks the source distribution and the wheel in ./dist
# Each sets everything up first; any Python from 3.10 on will do: make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# One thread for each of the processes: torch's threads would wait for one another on the same cores, busily. Bytecode is
# kept, whatever the environment says: the tests start hundreds of commands, each of which would compile the package.
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.PHONY: setup demo demo-quick test test-fast fuzz lint types docs release clean

setup: .venv/.export

demo: .venv/.export
	$(BIN)/allweather demo --out demo

demo-quick: .venv/.export
	$(BIN)/allweather demo --quick --out demo

test: .venv/.dev
	$(PYTEST)

test-fast: .venv/.dev
	$(PYTEST) -m "not slow and not end_to_end"

EXAMPLES := 100000
fuzz: .venv/.dev
	ALLWEATHER_FUZZ_EXAMPLES=$(EXAMPLES) $(PYTEST) tests/fuzz

lint: .venv/.dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

# Neither mypy nor an editor can see through an editable install whose folders have other names than its packages.
types: .venv/.dev .types
	cd .types && MYPYPATH=. ../$(BIN)/python -m mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache -p allweather

.types: $(wildcard sdk/*)
	rm -rf $@
	mkdir -p $@/allweather
	ln -s ../../exporters ../../trainers ../../runtimes $(addprefix ../../,$(filter-out %__pycache__,$(wildcard sdk/*))) $@/allweather

docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

release: .venv/.dev
	$(PIP) -e '.[release]'
	rm -rf dist
	$(BIN)/python -m build --outdir dist . # the source distribution first, the wheel from it
	$(BIN)/python -m twine check --strict dist/*
	ALLWEATHER_DIST=dist $(BIN)/python -m pytest tests/sdk/test_wheel.py

.venv/.python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "allweather needs Python 3.10 or newer; run: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.export: .venv/.python pyproject.toml constraints.txt
	$(PIP) -e '.[export]'
	touch $@

.venv/.docs: .venv/.python pyproject.toml constraints.txt
	$(PIP) -e '.[docs]'
	touch $@

.venv/.dev: .venv/.python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	touch $@ .venv/.export .venv/.docs

clean:
	rm -rf .venv .types build dist demo site *.egg-info
