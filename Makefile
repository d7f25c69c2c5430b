# facetfx: every command of README.md. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

# Python 3.10 from PATH (if it runs: pyenv's shims may not), from pyenv's versions, else whatever uv can fetch.
PYTHON ?= $(shell for p in python3.10 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.10.*/bin/python3.10; do \
  "$$p" -c pass 2>/dev/null && { command -v "$$p"; exit; }; done; echo 3.10)
UV := $(shell command -v uv || echo .uv/bin/uv)
BIN := .venv/bin

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet uv

.venv/installed: requirements.lock pyproject.toml $(filter .uv/bin/uv,$(UV))
	@echo "Installing the locked packages into .venv (about 2.6 GB) ..."
	$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	$(UV) pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: help setup lock
help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

setup: .venv/installed ## install everything into .venv, nothing else

lock: $(filter .uv/bin/uv,$(UV)) ## renew requirements.lock from pyproject.toml
	$(UV) pip compile pyproject.toml --extra dev --extra landmarks --python $(PYTHON) --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet -o requirements.lock
