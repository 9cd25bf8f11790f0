PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-annotate \
	--custom-compile-command "make lock"
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

N ?= 10000

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz mutate lint lock bench-http bench-image bench-memory clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## Make a service, run it (in its image, with a Docker engine), and show its response
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/demo.sh

test: $(VENV)/installed ## Run all tests; those of images need a Docker engine
	$(BIN)/pytest --numprocesses 2

fuzz: $(VENV)/installed ## Try N sets of made-up answers (10000: half an hour), and count the results
	FUZZ_EXAMPLES=$(N) $(BIN)/pytest --numprocesses 0 tests/render/test_fuzz.py

mutate: $(VENV)/installed ## Break a copy in one place at a time (hours; KIND=validators, conditionals or dockerfile)
	PYTHONPATH=tests $(BIN)/python tools/mutate.py $(KIND)

lint: $(VENV)/installed ## Check the template's own files, and their types
	$(BIN)/pre-commit run --all-files
	$(BIN)/mypy

lock: $(BIN)/uv ## Pin the newest allowed tools here, and dependencies in the template
	$(COMPILE) --group dev --output-file requirements-dev.txt pyproject.toml
	$(COMPILE) --group bench --output-file benchmarks/apps/requirements.txt pyproject.toml
	$(MAKE) $(VENV)/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" tools/lock-template.sh

bench-http: $(VENV)/installed ## Measure what a request costs, with wrk (minutes), and write benchmarks/http.md
	PYTHONPATH=tests $(BIN)/python benchmarks/speed.py $(BENCH_FLAGS)

bench-image: $(VENV)/installed ## Measure images with a Docker engine (minutes), and write benchmarks/image.md
	PYTHONPATH=tests $(BIN)/python benchmarks/image.py $(BENCH_FLAGS)

bench-memory: $(VENV)/installed ## Measure what workers take in an image, with a Docker engine and wrk (minutes)
	PYTHONPATH=tests $(BIN)/python benchmarks/memory.py $(BENCH_FLAGS)

clean: ## Remove the files that the other targets made
	rm -rf $(VENV) .hypothesis .mutants.json .mypy_cache .pytest_cache .ruff_cache

$(VENV)/installed: requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --no-deps --require-hashes --requirement requirements-dev.txt
	touch $@

$(BIN)/uv:
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) uv
