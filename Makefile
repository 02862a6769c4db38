# `make` lists the targets. Every target sets up what it needs first; a second run does nothing it need not.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PY := .venv/bin/python

.PHONY: help setup setup-dev demo test check bench fuzz simulate kafka kafka-stop lock docs system-deps reset

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: ## set up .venv with what the product needs
	@python3 scripts/bootstrap.py

setup-dev: ## set up .venv with the tools for tests and checks as well
	@python3 scripts/bootstrap.py --dev

demo: setup ## the sample shop on embedded stores; ends with a URL (EXIT=1 stops by itself)
	@.venv/bin/whence demo $(if $(EXIT),--exit) $(if $(LOG),--log $(LOG))

test: setup-dev ## all tests; the last line counts what was skipped and why
	@$(PY) -m pytest $(ARGS)

check: setup-dev ## format, lint, types, import arrows, unit tests
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@$(PY) -m pytest -q tests/unit

bench: setup-dev ## benchmarks; WHAT=embedded runs one
	@PYTHONPATH=tests $(PY) -m bench $(WHAT)

fuzz: setup-dev ## the property tests with many more examples
	@WHENCE_FUZZ=1 $(PY) -m pytest -q tests/unit -m "not needs_data" $(ARGS)

simulate: setup-dev ## simulated lives of consumers and compactors; SEEDS=20000 FIRST=0 choose which
	@WHENCE_SIMULATION_SEEDS=$(or $(SEEDS),20000) WHENCE_SIMULATION_FIRST=$(or $(FIRST),0) $(PY) -m pytest -q tests/chaos/test_simulation.py -k whatever_fails

docs: setup-dev ## write the pages that are made from the code
	@$(PY) scripts/document_settings.py
	@$(PY) scripts/document_apis.py

lock: ## make the lock files anew (needs uv)
	@uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra embedded --extra parquet pyproject.toml scripts/build-backend.in -o requirements.lock
	@uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 pyproject.toml scripts/build-backend.in -c requirements.lock -o deploy/requirements.lock
	@uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 --extra embedded --extra parquet --group dev pyproject.toml scripts/build-backend.in -c requirements.lock -o requirements-dev.lock

kafka: setup ## a real Apache Kafka on free ports (BROKERS=3 a cluster); make kafka-stop ends it
	@.venv/bin/whence kafka start $(if $(BROKERS),--brokers $(BROKERS))

kafka-stop: setup ## stop it
	@.venv/bin/whence kafka stop

system-deps: ## the Debian packages that some tests use (needs root)
	@bash scripts/system-deps

reset: setup ## delete the state of the embedded stores
	@.venv/bin/whence reset --yes
