# Two commands for everybody:  make demo   and   make test
# Each sets up what it needs (a virtual environment in .venv) on a machine with
# Python 3.11 or later and pip; on Debian, as root, it installs python3-venv too.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$p && break; done)
BIN := .venv/bin
WHEEL_BIN := build/wheel-venv/bin
PIP := -m pip install -q --disable-pip-version-check --no-warn-script-location

.PHONY: help demo test test-wheel test-simulation test-rest test-stores \
	test-stores-long test-long lint types unit wheel dev clean bench chaos simulate

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 20

dev: .venv/.ready  ## set up the virtual environment for development

.venv/.ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or later is needed (set PYTHON=...)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		apt-get update -qq && apt-get install -y -qq python3-venv; } || \
		{ echo "this Python has no venv: apt-get install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) -U 'pip>=25.1' 'setuptools>=77'
	$(BIN)/python $(PIP) -e '.[all]' --group dev
	mkdir -p build/types && ln -sfn ../.. build/types/storagebus
	touch $@

demo: dev  ## store a real tree and a 1 GiB blob through a bus, read back, compare
	$(BIN)/python tests/demo/demo.py

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: dev
	nice $(BIN)/mypy

wheel: dev
	rm -rf dist build/lib build/bdist* build/wheel-venv
	$(BIN)/python -m build -q --wheel
	$(PYTHON) -m venv build/wheel-venv
	$(WHEEL_BIN)/python $(PIP) -U 'pip>=25.1'
	$(WHEEL_BIN)/python $(PIP) "$$(echo dist/*.whl)[all]" --group dev

# The order is that of `make -j3`: the two long ones first, as they wait for servers and
# for time to pass most of the while, and what only computes takes what they leave.
test: lint test-stores test-rest types test-wheel test-simulation  ## everything that CI checks: style, types, tests, wheel

test-wheel: wheel
	cd build && nice wheel-venv/bin/python -m pytest -q -c ../pyproject.toml --rootdir .. \
		-m "not long and not stores" -k "not test_requirement or bus-filesystem" \
		../tests/test_packaging.py ../tests/test_exports.py ../tests/test_conformance.py

test-simulation: dev
	nice $(BIN)/python -m pytest -q tests/simulation

test-rest: dev
	$(BIN)/python -m pytest -q -m "not long and not stores" --ignore tests/simulation --durations 25

unit: dev  ## the tests alone, and none that needs a storage server
	$(BIN)/python -m pytest -q -m "not long and not stores"

test-stores: dev  ## the part of `test` that needs storage servers, which it installs
	$(BIN)/python -m pytest -q -m "stores and not long" --durations 25

test-stores-long: dev  ## every server by every way, 5 and 6 GiB objects: hours
	$(BIN)/python -m pytest -q -m "stores and long"

test-long: dev  ## upstream's sizes (5 GiB streams) and long chaos: about an hour
	$(BIN)/python -m pytest -q -m "long and not stores" --timeout 3600

chaos: dev  ## 5,000 transfers, a process killed every 300 ms (ARGS=--help for more)
	PYTHONPATH=tests:tests/support $(BIN)/python -m chaos --transfers 5000 --resumes 15 --store $(ARGS)
	PYTHONPATH=tests:tests/support $(BIN)/python -m chaos --upgrades 4

bench: dev  ## the figures of the README, in one run (ARGS=--help for more)
	$(BIN)/python tests/benchmarks/run.py $(ARGS)

simulate: dev  ## simulated worlds full of faults, as many as wanted (SEEDS=10000)
	$(BIN)/python tests/simulation/run.py --seeds $(or $(SEEDS),10000) $(ARGS)

clean:  ## remove what was made
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
