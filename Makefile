# Every target works as the first command on a fresh machine: what it needs is made first.

PYTHON ?= python3
CHROMIUM ?= /usr/bin/chromium
ARGS ?=
ONLY ?=
# A worker for each core; those that are done take over tests of the others.
PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal
QUICK ?=

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements/dev.lock
STAMP := $(VENV)/.setup-done
BENCH_VENV := .venv-bench
BENCH_LOCK := bench/requirements.lock
BENCH_STAMP := $(BENCH_VENV)/.setup-done
CPP_PEERS := bench/cpp/peers.so
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test bench test-browser browser explorer check-explorer lint format lock clean check-python

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  ARGS goes to pytest:  make test ARGS="-k grad -x -n 0"'
	@echo '  ONLY and QUICK go to the benchmark:  make bench ONLY=rosenbrock QUICK=1'
	@echo '  PYTHON picks the interpreter of a new .venv:  make setup PYTHON=python3.12'

setup: $(STAMP) ## make .venv and install the locked packages and hopgrad (editable)

# An environment $(1) with the packages of $(2). The stamp comes last, so that an interrupted set-up starts over. An
# environment that cannot run pip, or whose interpreter is too old or gone, is made anew.
define make-environment
	@$(1)/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		$(MAKE) --no-print-directory check-python && \
		echo "making $(1) with $(PYTHON)" && \
		{ $(PYTHON) -m venv --clear $(1) || { \
			rm -rf $(1); \
			echo 'hopgrad: could not make $(1); on Debian: apt-get install python3-venv' >&2; \
			exit 1; }; }; }
	@echo "installing $(2) and hopgrad into $(1)"
	@$(1)/bin/python $(PIP_INSTALL) -r $(2)
	@$(1)/bin/python $(PIP_INSTALL) --no-build-isolation --no-deps -e .
	@touch $@
endef

$(STAMP): pyproject.toml $(LOCK)
	$(call make-environment,$(VENV),$(LOCK))

$(BENCH_STAMP): pyproject.toml $(BENCH_LOCK)
	$(call make-environment,$(BENCH_VENV),$(BENCH_LOCK))

check-python:
	@command -v $(PYTHON) >/dev/null || { \
		echo 'hopgrad: $(PYTHON) not found; install Python 3.11 or newer, or say make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "hopgrad needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
			'point to a newer one: make PYTHON=python3.11' >&2; exit 1; }

demo: $(STAMP) ## show what hopgrad does
	@$(BIN)/python examples/demo.py

test: $(STAMP) ## run all tests that need no browser, doctests included
	@$(BIN)/python -m pytest -m 'not browser' $(PARALLEL) $(ARGS); status=$$?; \
		echo; echo '*** BROWSER TESTS WERE NOT RUN: make test-browser runs them ***'; \
		command -v node >/dev/null || echo "*** NO NODE: THE EXPLORER'S INTERPRETER WAS NOT TESTED ***"; exit $$status

bench: $(BENCH_STAMP) $(CPP_PEERS) ## time hopgrad beside C++, JAX, PyTorch, autograd and CasADi (ONLY=name, QUICK=1)
	@$(BENCH_VENV)/bin/python -m bench --only '$(ONLY)' $(if $(QUICK),--quick)

# The gradients written in C++ are compiled for this machine. The benchmark runs without them where there is no compiler.
$(CPP_PEERS): bench/cpp/peers.cpp
	@compiler=$$(command -v $(CXX) || command -v clang++) || { \
		echo '*** NO C++ COMPILER: THE COLUMN C++ WILL BE EMPTY; on Debian: apt-get install g++ ***' >&2; exit 0; }; \
		echo "compiling $< with $$compiler" && \
		$$compiler -std=c++17 -O3 -march=native -Wall -Wextra -shared -fPIC $< -o $@ && \
		$$compiler --version | head -n 1 > $(@:.so=.txt)

# The built explorer is part of the package: only who changes its source needs node.
EXPLORER_STAMP := explorer/node_modules/.setup-done

explorer: $(EXPLORER_STAMP) ## build the explorer's page from explorer/src into the package (needs node 20)
	@cd explorer && npm run --silent check && npm run --silent build

check-explorer: ## check that the built explorer is what its source gives (skipped without node)
	@command -v npm >/dev/null || { \
		echo '*** NO NODE: THE BUILT EXPLORER WAS NOT CHECKED AGAINST ITS SOURCE; on Debian: apt-get install npm ***' >&2; exit 0; }; \
		$(MAKE) --no-print-directory $(EXPLORER_STAMP) && \
		cd explorer && npm run --silent check && npm run --silent build -- --check

$(EXPLORER_STAMP): explorer/package.json explorer/package-lock.json
	@cd explorer && npm ci --silent --no-audit --no-fund
	@touch $@

test-browser: $(STAMP) browser $(if $(shell command -v npm),$(EXPLORER_STAMP)) ## run the browser tests (installs Debian's chromium when missing)
	@HOPGRAD_REQUIRE_BROWSER=1 HOPGRAD_CHROMIUM=$(CHROMIUM) $(BIN)/python -m pytest -m browser $(ARGS)

browser:
	@[ -x $(CHROMIUM) ] || { \
		command -v apt-get >/dev/null || { \
			echo 'hopgrad: $(CHROMIUM) is missing and there is no apt-get to install it;' \
				'install chromium and say make test-browser CHROMIUM=/path/to/it' >&2; exit 1; }; \
		[ -z "$(SUDO)" ] || command -v sudo >/dev/null || { \
			echo 'hopgrad: $(CHROMIUM) is missing; as root: apt-get install chromium' >&2; exit 1; }; \
		echo 'installing chromium with apt-get'; \
		$(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends chromium >/dev/null && \
		[ -x $(CHROMIUM) ] || { \
			echo 'hopgrad: apt-get did not give $(CHROMIUM); see its messages above' >&2; exit 1; }; }

lint: $(STAMP) ## ruff check, ruff format --check, mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP) ## format the code and apply ruff's safe fixes
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: check-python ## renew requirements/dev.lock from the ranges in pyproject.toml
	@rm -rf .venv-lock
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python $(PIP_INSTALL) -e '.[dev]'
	@{ grep '^#' $(LOCK); .venv-lock/bin/python -m pip freeze --exclude-editable; } > .venv-lock/new.lock
	@mv .venv-lock/new.lock $(LOCK)
	@rm -rf .venv-lock

clean: ## remove .venv, caches and everything built
	@rm -rf $(VENV) $(BENCH_VENV) .venv-lock explorer/node_modules $(CPP_PEERS) $(CPP_PEERS:.so=.txt) build dist out .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find src tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
