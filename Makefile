# Two commands: `make demo` runs the main job, `make test` passes the tests.
# Each makes .venv in this checkout first, if it isn't there, and installs what is needed.

PYTHON ?= python3
RUN := .venv/bin/

.PHONY: help demo test lint types table nightly clean

help:            ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/'

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(RUN)python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: .venv/.ready   ## train, ask which rows drove a decision, remove them, sign the certificate
	rm -rf traceprop-demo
	$(RUN)traceprop demo

test: lint types     ## everything that CI checks
	$(RUN)python -m pytest -m 'not nightly'

lint: .venv/.ready   ## style
	$(RUN)ruff check .
	$(RUN)ruff format --check .

types: .venv/.ready  ## types, strictly
	$(RUN)mypy

table: .venv/.ready  ## the goals of the main job, measured
	$(RUN)python -m asv_bench.table main

nightly: .venv/.ready ## the longer checks
	TRACEPROP_HYPOTHESIS_PROFILE=long $(RUN)python -m pytest -m nightly

clean:           ## forget the environment and the caches
	rm -rf .venv traceprop-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .asv .bench-envs
