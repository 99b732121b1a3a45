# make demo    the whole journey on the embedded data set; opens no window, writes ./demo/report.html
# make test    tests, lint, types and the rules of the house
# Both set everything up first; any Python from 3.10 on will do: make test PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test clean

demo: .venv/.export
	$(BIN)/allweather demo --out demo

test: .venv/.dev
	$(BIN)/python -m pytest

.venv/.python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "allweather needs Python 3.10 or newer; run: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/.export: .venv/.python pyproject.toml constraints.txt
	$(PIP) -e '.[export]'
	touch $@

.venv/.dev: .venv/.python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	touch $@ .venv/.export

clean:
	rm -rf .venv build demo *.egg-info
