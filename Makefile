# The front door. `make demo` shows everything; `make test` proves it.
.DEFAULT_GOAL := help
.PHONY: help demo test test-parts test-whole check bench serve docs clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
export MLFLOW_DISABLE_TELEMETRY := true
export BENTOML_DO_NOT_TRACK := True

help: ## What there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# Everything pinned, every file checked against its hash. The lock's own uv installs it in
# seconds; where uv cannot reach an index that pip is set up for, pip takes minutes.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; found $$($(PYTHON) --version). Try PYTHON=python3.11"; exit 2; }
	@echo "Setting up .venv (once) ..."
	@$(PYTHON) -m venv .venv
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	@$(PIP) --require-hashes --no-deps -r .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock || \
	  $(PIP) --require-hashes --no-deps -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: $(READY) ## The whole path, in under two minutes. DATA=FILE for your logs, ONCE=1 to exit
	@$(BIN)/escalon demo $(if $(DATA),--data "$(DATA)") $(if $(ONCE),--once)

test: $(READY) ## Every test, in two halves side by side
	@$(MAKE) --no-print-directory -j2 test-parts test-whole

# What one process can show: units, examples in docstrings, contracts, guarantees.
test-parts: $(READY)
	$(BIN)/python -m pytest -q tests/unit tests/parity tests/contract tests/guarantee features training serving escalon

# Real services, faults, browsers, and the notebooks.
test-whole: $(READY)
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/e2e tests/faults tests/browser
	$(BIN)/python -m pytest -q -p no:cacheprovider --nbmake --nbmake-timeout=600 notebooks

check: $(READY) ## Lint, format, types, import rules, docstrings of tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/interrogate -q tests

bench: $(READY) ## Every benchmark, results into benchmarks/results
	$(BIN)/python benchmarks/path.py --out benchmarks/results/path.json --readme README.md
	$(BIN)/python benchmarks/features.py --out benchmarks/results/features.json --readme README.md
	$(BIN)/python benchmarks/quality.py --out benchmarks/results/quality.json --readme README.md
	$(BIN)/python benchmarks/faults.py --out benchmarks/results/faults.json --readme README.md
	$(BIN)/python benchmarks/ablation.py --out benchmarks/results/ablation.json

docs: $(READY) ## The generated pages of docs/reference
	$(BIN)/python docs/make_reference.py

serve: $(READY) ## The service, with var/model and var/escalon.db
	@$(BIN)/escalon serve

clean: ## Remove what was made, keep what was written
	rm -rf .venv var dist build
