# Every target does its own set-up in .venv, and is quick the second time. `make help` lists them.

HOST ?= 127.0.0.1
PORT ?= 8000
WORKERS ?=
MODELS ?= models
DEFAULT_MODEL ?= $(if $(filter models,$(MODELS)),bodymass)
PYTHON ?= python3
TABLES ?= tables
PASSES ?= parallel alone

VENV := .venv
PY := $(VENV)/bin/python
CLIENTS := build/clients
REQUIREMENTS := deploy/requirements
SHIPPED := build service service-tracing service-arrow-tracing trainer
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' pigeonhole/__init__.py)
REVISION = $(shell git describe --always --abbrev=40 --dirty --exclude '*' 2> /dev/null)
COMPOSE = $$(docker compose version > /dev/null 2>&1 && echo docker compose || echo docker-compose)
PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r

.PHONY: help serve install test thorough chaos test-pythons check format train bench bench-trainer bench-serving bench-quality up down roll images sbom dashboards lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r target text; do printf 'make %-15s %s\n' "$$target" "$$text"; done

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

$(VENV)/command.stamp: $(REQUIREMENTS)/build.txt pyproject.toml | $(PY)
	@$(PIP_INSTALL) $<
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/dev.stamp: $(REQUIREMENTS)/dev.txt pyproject.toml | $(PY)
	@echo "Installing what the tests and checks need"
	@$(PIP_INSTALL) $<
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@ $(VENV)/service.stamp $(VENV)/trainer.stamp $(VENV)/command.stamp

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
	@exec $(PY) -m pigeonhole serve --models $(MODELS) --host $(HOST) --port $(PORT) \
		$(if $(WORKERS),--workers $(WORKERS)) $(if $(DEFAULT_MODEL),--default-model $(DEFAULT_MODEL))

install: $(VENV)/service.stamp $(VENV)/trainer.stamp $(VENV)/command.stamp ## install service, trainer and the command pigeonhole in .venv
	@echo "Activate it with: . $(VENV)/bin/activate"

test: $(VENV)/dev.stamp $(CLIENTS)/stamp ## run every test that this machine can run (PASSES)
	@$(PY) -m tests.passes $(PASSES)

thorough: $(VENV)/dev.stamp $(CLIENTS)/stamp ## run long forms of tests: many examples, real tables in full, a million hostile requests
	@$(PY) -m tests.passes thorough
	@$(PY) -m tests.service.hostile_soak

chaos: $(VENV)/dev.stamp ## run restarts, kills and drains under long load
	@$(PY) -m tests.passes chaos

test-pythons: ## run the quick tests with Python 3.13 of Debian 13 (as root, with debootstrap; MIRROR)
	@tests/pythons/run

check: $(VENV)/dev.stamp ## lint and types
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy

format: $(VENV)/dev.stamp ## format the code
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

train: $(VENV)/trainer.stamp ## fit the two sample models again, each as its next version
	@mkdir -p build
	@$(PY) -m pigeonhole sample bodymass > build/bodymass.csv
	@$(PY) -m pigeonhole fit build/bodymass.csv --target bodymass --name bodymass --preset classic --hidden 3 --models $(MODELS)
	@$(PY) -m pigeonhole sample animals > build/animals.csv
	@$(PY) -m pigeonhole fit build/animals.csv --target animal --name animals --preset classic --hidden 6,6 --models $(MODELS)

bench: bench-trainer bench-serving ## measure trainer and service beside their peers

bench-trainer: $(VENV)/trainer.stamp ## measure the trainer beside its peers (about an hour, 3 GB of peers)
	@$(PY) -m benchmarks.trainer

bench-serving: $(VENV)/service.stamp $(VENV)/trainer.stamp ## measure the service beside its peers (40 minutes, 4 GB of peers; needs wrk)
	@$(PY) -m benchmarks.serving

bench-quality: $(VENV)/trainer.stamp ## compare scores with its peers on a folder of tables (TABLES)
	@$(PY) -m benchmarks.quality $(TABLES)

up: ## start service, Prometheus and Grafana in containers (needs Docker and Compose; settings in .env)
	@COMPOSE="$(COMPOSE)" deploy/compose/up

down: ## stop them; their volumes stay
	@$(COMPOSE) down --remove-orphans

roll: ## replace two services behind nginx by new ones, one after the other
	@COMPOSE="$(COMPOSE)" deploy/compose/roll --build

images: ## build the images of service and trainer (needs Docker)
	@for program in service trainer; do \
		docker build --file deploy/$$program.Dockerfile --tag pigeonhole-$$program --tag pigeonhole-$$program:$(VERSION) \
			--build-arg VERSION=$(VERSION) --build-arg REVISION=$(or $(REVISION),unknown) . || exit 1; \
	done

sbom: images $(VENV)/dev.stamp ## list what the images hold, as CycloneDX in build/sbom
	@# What is in the images, not what stands in the locks: those serve every platform.
	@rm -rf build/sbom && mkdir -p build/sbom && for program in service trainer; do \
		$(PY) -m venv --clear --without-pip build/sbom/packages && \
		docker run --rm --entrypoint sh pigeonhole-$$program -c 'cd /opt/venv/lib/python3*/site-packages && tar -c *.dist-info' \
			| tar -x -C build/sbom/packages/lib/python3*/site-packages && \
		$(VENV)/bin/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
			--output-file build/sbom/$$program.json build/sbom/packages || exit 1; \
	done
	@rm -r build/sbom/packages && ls build/sbom/*.json

dashboards: $(VENV)/dev.stamp ## write Grafana's dashboards from deploy/grafana/*.py
	@$(PY) -m deploy.grafana.dashboards deploy/grafana/dashboards

lock: $(VENV)/dev.stamp ## resolve the requirements again, with hashes
	@# First what the tests run with; what is shipped keeps to it. A file is called by its extras.
	@resolve() { \
		$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
			$$(echo $$1 | sed -E 's/^|-/ --extra /g') $$2 pyproject.toml -o $(REQUIREMENTS)/$$1.txt; \
	}; \
	resolve dev --upgrade && resolve clients --upgrade && for name in $(SHIPPED); do \
		resolve $$name "--upgrade --constraints $(REQUIREMENTS)/dev.txt" || exit 1; \
	done

clean: ## remove the virtual environment and what the tools left
	@rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
