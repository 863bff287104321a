# `make run` and `make test` are all that a fresh machine needs: Python 3.11 or later, make, a package index.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# pip would look for what the packages need, though the lock files name it all, and compile one file after the other.
LOCKED := $(PIP) --no-deps --require-hashes
COMPILE := $(BIN)/python -m compileall -q -j 0 -x '/(mypy|mypyc|playwright|pip|setuptools)/' .venv/lib

.PHONY: run image test test-full lint types lock bench editor pictures clean

run: .venv/run.stamp
	@$(BIN)/webinar rehearse config/webinars/trilateral-2025.toml

# The image, with the version and the commit that it is made of in its labels. ENGINE=podman does as well.
ENGINE ?= docker
image:
	$(ENGINE) build --tag webinar-scheduler \
	    --build-arg VERSION=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	    --build-arg REVISION=$$(git describe --always --abbrev=40 --exclude='*' --dirty) .

# One worker more than processors: some tests wait for most of their time. Bytecode is kept even where Python is told
# not to: each worker, and each process that a test starts, would compile everything again.
PYTEST := PYTHONDONTWRITEBYTECODE= PYTEST_XDIST_AUTO_NUM_WORKERS=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) \
    $(BIN)/python -m pytest -n auto --dist worksteal -q

test: .venv/dev.stamp
	$(PYTEST) -m "not full" --durations=10

test-full: .venv/dev.stamp node_modules/.stamp
	$(PYTEST) -m full --durations=20

lint: .venv/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.stamp
	$(BIN)/mypy

# What is installed is exactly what the lock files name, hash by hash, the build backend included.
.venv/installed.stamp: requirements.lock pyproject.toml
	@echo "Setting up .venv (once, about half a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Python 3.11 or later is needed: make PYTHON=python3.11" && exit 1)
	@$(PYTHON) -m venv .venv
	@$(LOCKED) -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/run.stamp: .venv/installed.stamp
	@$(COMPILE)
	@touch $@

# It does without run.stamp: what both install is compiled once, at the end.
.venv/dev.stamp: .venv/installed.stamp requirements-dev.lock
	@echo "Setting up what the tests need (once)"
	@$(LOCKED) -r requirements-dev.lock
	@$(COMPILE)
	@touch $@

node_modules/.stamp: package.json package-lock.json
	npm ci --silent --no-audit --no-fund
	@touch $@

# Needs smtp-source, smtp-sink and postfix (Debian's postfix) and Node, and half an hour. QUICK=--quick: does it run?
# One after the other, each having the machine for itself; quickly, three at a time, for they wait more than they work.
BENCHMARKS := sending beside waiting distance flooded guest editing intake importing many_webinars keeping planning \
    registering entering rehearsal_2000
ifdef QUICK
MAKEFLAGS += --jobs=3 --output-sync=target
endif

.PHONY: $(BENCHMARKS:%=bench-%)
bench: $(BENCHMARKS:%=bench-%)
bench-%: GIVEN := $(QUICK)
bench-planning: GIVEN := $(or $(QUICK),--svg benchmarks/growth.svg)
bench-rehearsal_2000: GIVEN := $(if $(QUICK),6)
$(BENCHMARKS:%=bench-%): bench-%: .venv/bench.stamp node_modules/.stamp
	$(BIN)/python -m benchmarks.$* $(GIVEN)

.venv/bench.stamp: .venv/dev.stamp requirements-bench.lock
	@$(LOCKED) -r requirements-bench.lock
	@touch $@

pictures: run .venv/dev.stamp
	$(BIN)/python docs/pictures/take.py

# What is built is committed, so that neither `make run` nor `make test` needs Node; a test of `make test-full` builds it
# again and compares.
editor: node_modules/.stamp
	npm run --silent editor

# Needs uv on the PATH; the lock files name no index.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    --group build pyproject.toml -o requirements.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    -c requirements.lock --group pyproject.toml:dev -o requirements-dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	    -c requirements.lock -c requirements-dev.lock --group pyproject.toml:bench -o requirements-bench.lock

clean:
	rm -rf .venv node_modules rehearsal
