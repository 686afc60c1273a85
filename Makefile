# Two commands do everything on a fresh machine: `make demo` and `make test`.
# PYTHON picks another interpreter (3.11 to 3.13), VENV another place.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV_PIP := $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode

# Debian packages that tests and benchmarks of real parts need.
REAL_PARTS := mosquitto mosquitto-clients mbpoll openssl strace systemd gcc g++ libc6-dev
BENCH_PARTS := libmodbus-dev libmosquitto-dev

# Installs the Debian packages in $(1) where they are missing and this user may, else says what is left out.
define debian
	@missing=; \
	for package in $(1); do \
	  dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q '^install ok installed' || missing="$$missing $$package"; \
	done; \
	test -z "$$missing" && exit 0; \
	if test "$$(id -u)" = 0; then sudo=; \
	elif sudo -n true 2>/dev/null; then sudo=sudo; \
	else sudo=none; fi; \
	if test "$$sudo" != none && command -v apt-get >/dev/null; then \
	  echo "Installing$$missing ..."; \
	  $$sudo apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -qq -y --no-install-recommends $$missing >/dev/null; \
	else \
	  echo "Not installed:$$missing. $(2) (sudo apt install$$missing)"; \
	fi
endef

.PHONY: help demo test check bench soak lock lock-check docs wheel clean

help:
	@echo "make demo    install into $(VENV) and show the whole system on this machine"
	@echo "make test    install, then lint, types, floors and tests"
	@echo "make bench   print the figures that the documentation promises"
	@echo "make soak    break everything for half an hour and print what survived; goes on where it was interrupted"
	@echo "make docs    write docs/reference.md anew from the code"
	@echo "make lock    resolve the dependencies anew into requirements.lock"
	@echo "make wheel   build the wheel into dist/"

demo: $(VENV)/.demo
	@$(BIN)/ampedge demo

test: $(VENV)/.dev
	$(call debian,$(REAL_PARTS),Tests that need them are skipped.)
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist loadfile

bench: $(VENV)/.dev
	$(call debian,$(REAL_PARTS) $(BENCH_PARTS),The benchmarks need them.)
	@for bench in $(basename $(notdir $(wildcard tests/benchmarks/bench_*.py))); do echo "== $$bench"; $(BIN)/python -m tests.benchmarks.$$bench || exit 1; done

soak: $(VENV)/.dev
	$(call debian,$(REAL_PARTS),The faults need them.)
	@$(BIN)/python -m tests.faults.soak

docs: $(VENV)/.dev
	$(BIN)/python -m tests.support.reference --write

wheel: $(BIN)/uv
	rm -rf dist
	$(BIN)/uv build --quiet --wheel --out-dir dist

# The lock names every package with its hashes and no address.
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --all-extras --group dev \
  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --no-header

lock: $(BIN)/uv
	$(COMPILE) --output-file requirements.lock

lock-check: $(BIN)/uv
	@cp requirements.lock $(VENV)/requirements.lock
	$(COMPILE) --output-file $(VENV)/requirements.lock
	@cmp requirements.lock $(VENV)/requirements.lock || { echo "requirements.lock is not current: run make lock"; exit 1; }
	@! grep -n '://' requirements.lock

clean:
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "ampedge needs Python 3.11 to 3.13; choose one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory venv-module
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

.PHONY: venv-module
venv-module:
	$(call debian,python3-venv,A virtual environment needs it.)
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Install that first, then run make again."; exit 1; }

$(VENV)/.demo: $(BIN)/uv requirements.lock pyproject.toml
	@echo "Installing ampedge with what training needs ..."
	@$(UV_PIP) --constraints requirements.lock --editable '.[train,broker]'
	@$(BIN)/python -m compileall -q ampedge
	@touch $@

$(VENV)/.dev: $(BIN)/uv requirements.lock pyproject.toml
	@echo "Installing ampedge with everything ..."
	@$(UV_PIP) --require-hashes --requirements requirements.lock
	@$(UV_PIP) --no-deps --editable .
	@$(BIN)/python -m compileall -q ampedge
	@touch $@
