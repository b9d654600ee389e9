# Every target does its own set-up in .venv, and is quick the second time. `make help` lists them.

HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?=
MODELS ?= models
DEFAULT_MODEL ?= $(if $(filter models,$(MODELS)),bodymass)
PYTHON ?= python3
TABLES ?= tables

VENV := .venv
PY := $(VENV)/bin/python
CLIENTS := build/clients
REQUIREMENTS := deploy/requirements
PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r

.PHONY: help serve install test check format train bench bench-trainer bench-serving bench-quality lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12"; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "On Debian and Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/service.stamp: $(REQUIREMENTS)/service.txt | $(PY)
	@echo "Installing what the service needs"
	@$(PIP_INSTALL) $<
	@touch $@

$(VENV)/trainer.stamp: $(REQUIREMENTS)/trainer.txt | $(PY)
	@echo "Installing what the trainer needs"
	@$(PIP_INSTALL) $<
	@touch $@

$(VENV)/dev.stamp: $(REQUIREMENTS)/dev.txt pyproject.toml | $(PY)
	@echo "Installing what the tests and checks need"
	@$(PIP_INSTALL) $<
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@ $(VENV)/service.stamp $(VENV)/trainer.stamp

$(CLIENTS)/stamp: $(REQUIREMENTS)/clients.txt | $(PY)
	@echo "Installing clients to test with in $(CLIENTS)"
	@$(PY) -m venv --clear $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

serve: $(VENV)/service.stamp ## serve the models (HOST, PORT, WORKERS, MODELS can be set)
ifeq ($(DEFAULT_MODEL),bodymass)
	@echo "Try it from another terminal; stop with Ctrl-C:"
	@echo "  curl http://$(HOST):$(PORT)/predict -d '{\"instances\": [{\"height_cm\": 172, \"weight_kg\": 95}]}'"
endif
	@exec $(PY) -m service run --models $(MODELS) --host $(HOST) --port $(PORT) \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(DEFAULT_MODEL),--default-model $(DEFAULT_MODEL))

install: $(VENV)/service.stamp $(VENV)/trainer.stamp ## install service and trainer into .venv
	@echo "Activate it with: . $(VENV)/bin/activate"

test: $(VENV)/dev.stamp $(CLIENTS)/stamp ## run every test that this machine can run
	@# Those that start servers and measure what they bear have the machine to themselves.
	@$(PY) -m pytest --numprocesses auto --dist worksteal -m "not slow"
	@$(PY) -m pytest -m slow

check: $(VENV)/dev.stamp ## lint and types
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy

format: $(VENV)/dev.stamp ## format the code
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

train: $(VENV)/trainer.stamp ## fit the two sample models again, each as its next version
	@mkdir -p build
	@$(PY) -m trainer sample bodymass > build/bodymass.csv
	@$(PY) -m trainer fit build/bodymass.csv --target bodymass --name bodymass --preset classic --hidden 3 --models $(MODELS)
	@$(PY) -m trainer sample animals > build/animals.csv
	@$(PY) -m trainer fit build/animals.csv --target animal --name animals --preset classic --hidden 6,6 --models $(MODELS)

bench: bench-trainer bench-serving ## measure trainer and service beside their peers

bench-trainer: $(VENV)/trainer.stamp ## measure the trainer beside its peers (about an hour, 3 GB of peers)
	@$(PY) -m benchmarks.trainer

bench-serving: $(VENV)/service.stamp $(VENV)/trainer.stamp ## measure the service beside its peers (40 minutes, 4 GB of peers; needs wrk)
	@$(PY) -m benchmarks.serving

bench-quality: $(VENV)/trainer.stamp ## compare scores with its peers on a folder of tables (TABLES)
	@$(PY) -m benchmarks.quality $(TABLES)

lock: $(VENV)/dev.stamp ## resolve the requirements again, with hashes
	@for extra in service trainer dev clients; do \
		$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
			--extra $$extra --upgrade pyproject.toml -o $(REQUIREMENTS)/$$extra.txt || exit 1; \
	done

clean: ## remove the virtual environment and what the tools left
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
