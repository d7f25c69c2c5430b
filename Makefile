# facetfx: every command of README.md. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

EXPERIMENT ?= dmm_cnn/synthetic
OUTPUT_DIR ?= out
export EXPERIMENT DATA_DIR SEED SET OUTPUT_DIR BEAM_RUNNER BEAM_ARGS

ifneq ($(words $(OUTPUT_DIR)),1)
  $(error OUTPUT_DIR is a path without blanks, which make can't have in a target; received '$(OUTPUT_DIR)')
endif

# What the tfx command remembers of its pipelines lies with the rest of the output, not in the home folder.
export LOCAL_HOME := $(abspath $(OUTPUT_DIR))/tfx
# Google's packages warn of Python 3.10 and TensorFlow of what the processor has; neither helps a person.
export PYTHONWARNINGS := ignore
export TF_CPP_MIN_LOG_LEVEL := 3
# TensorFlow's own kernels for the CPU have no gradient of a grouped convolution; oneDNN's have.
export TF_ENABLE_ONEDNN_OPTS := 1

# Python 3.10 from PATH (if it runs: pyenv's shims may not; of an activated .venv what it was made from), from pyenv's
# versions, else whatever uv can fetch.
PYTHON ?= $(shell for p in python3.10 $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.10.*/bin/python3.10; do \
  "$$p" -c 'import os, sys; print(os.path.realpath(sys.executable))' 2>/dev/null && exit; done; echo 3.10)
UV := $(shell command -v uv || echo .uv/bin/uv)
BIN := .venv/bin
# Two workers that take a file each, in the order of tests/conftest.py.
# tfx itself, but that Ctrl-C is told in a line also while it is imported.
TFX := python -m pipeline.tfx_command
PYTEST := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
# tfx starts `python` by name for the runner.
export PATH := $(abspath $(BIN)):$(PATH)

BENCHMARKS := parsing_latency serving_batch task_latency branching_latency training_step group_attention augmentation \
  validation_pass export

.PHONY: help setup run predict serve runs experiments compare record results tensorboard check-data test test-fast bench faults flink cluster lint lock

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

setup: .venv/installed $(if $(GPU),.venv/cuda) ## install everything into .venv, nothing else; GPU=1 with CUDA's libraries

run: .venv/installed $(LOCAL_HOME)/facetfx/pipeline_args.json ## run EXPERIMENT (on the files in DATA_DIR, with SEED and SET)
	@python -m pipeline.request
	@$(TFX) run create --engine local --pipeline_name facetfx

experiments: .venv/installed ## list the experiments (whose names fit FILTER='mgg_net/*-tiny')
	@python -m pipeline.experiments "$(or $(FILTER),*)"

runs: .venv/installed ## what ran so far, when, and how it ended
	@python -m pipeline.runs

compare: .venv/installed ## the runs so far side by side, mean and spread over seeds
	@python -m pipeline.compare

record: .venv/installed ## keep the runs so far among the records beside the experiments, then `make results`
	@python -m pipeline.results --keep

results: .venv/installed ## published figures and ours, from the records: pipeline/experiments/results/README.md
	@python -m pipeline.results

predict: .venv/installed ## answers for photographs: IMAGES (a folder, file or pattern) by MODEL, into OUT, .csv or .parquet
	@python -m pipeline.predict "$(IMAGES)" --model "$(MODEL)" --out "$(OUT)" $(if $(filter-out 0,$(AS_IS)),--as-is) --beam="$(if $(BEAM_RUNNER),--runner=$(BEAM_RUNNER)) $(BEAM_ARGS)"

check-data: .venv/installed ## whether new IMAGES are of the kind that MODEL knows: sentences, and a page OUT (drift.html)
	@python -m pipeline.check_data "$(IMAGES)" --model "$(MODEL)" --out "$(or $(OUT),drift.html)" $(if $(filter-out 0,$(AS_IS)),--as-is)

# HOST counts on the command line alone: some environments have a variable of that name.
serve: .venv/installed ## the pushed MODEL, or all, by TensorFlow Serving's REST API and on a page: PORT, HOST
	@python -m pipeline.serve $(if $(MODEL),--model "$(MODEL)") --port $(or $(PORT),8501) --host $(if $(filter command,$(origin HOST)),$(HOST),127.0.0.1)

tensorboard: .venv/installed ## training curves, test figures and hyperparameters of the runs so far, also while one trains
	@python -m pipeline.board

test: lint ## lint, types and all tests
	$(PYTEST)

test-fast: lint ## lint, types and what is quick to test: no whole networks, trainings or pipelines
	$(PYTEST) -m "not slow and not e2e"

bench: .venv/installed ## how fast it is, in ratios: what of tests/benchmarks needs no data; with nothing else running
	@for each in $(BENCHMARKS); do echo "== $$each"; python -m tests.benchmarks.$$each || exit; done

faults: .venv/installed ## kill N runs, fill N disks (as root), damage files of N more, start them again and compare
	@python -m tests.faults --trials $(or $(N),10)

flink: .venv/installed ## the Beam steps on Flink against the direct runner: records, figures, seconds; needs a JDK 17 and Maven
	@tests/flink/job_server.sh $(OUTPUT_DIR)/flink
	@python -m tests.benchmarks.beam_runners --flink $(OUTPUT_DIR)/flink/job-server.jar

cluster: .venv/installed ## the same on a Flink cluster of five processes, with a worker killed: IMAGES drawn faces (20,000)
	@tests/flink/job_server.sh $(OUTPUT_DIR)/flink
	@python -m tests.flink.cluster $(OUTPUT_DIR)/flink --images $(or $(IMAGES),20000)

lint: .venv/installed ## ruff's checks and format, which folder may import which, types
	ruff check .
	ruff format --check .
	lint-imports
	mypy

lock: $(filter .uv/bin/uv,$(UV)) ## renew requirements.lock, and what a GPU needs beside it, from pyproject.toml
	$(UV) pip compile pyproject.toml --extra dev --extra landmarks --extra lite0 --extra serve --python $(PYTHON) --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet -o requirements.lock
	$(UV) pip compile pyproject.toml --extra gpu --constraint requirements.lock --python $(PYTHON) --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet -o requirements-gpu.lock \
	  $$(sed -nE 's/^([a-z0-9_.-]+)==.*/--no-emit-package \1/p' requirements.lock)

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet uv

.venv/installed: requirements.lock pyproject.toml $(filter .uv/bin/uv,$(UV))
	@echo "Installing the locked packages into .venv (about 3.2 GB): a minute or two ..."
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
	@$(UV) pip sync --quiet --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock \
	  $(if $(wildcard .venv/cuda),requirements-gpu.lock)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

.venv/cuda: requirements-gpu.lock .venv/installed
	@echo "Installing CUDA's libraries into .venv (some GB more) ..."
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes --requirement requirements-gpu.lock
	@touch $@

# The tfx command knows one pipeline, facetfx; which experiment it runs is read from the environment at each run.
$(LOCAL_HOME)/facetfx/pipeline_args.json: | .venv/installed
	@python -m pipeline.request
	@$(TFX) pipeline create --engine local --pipeline_path pipeline/local_runner.py
