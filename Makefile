# Everything a developer or a newcomer runs; `make help` explains itself.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(wildcard protos/redemption/v1/*.proto)
# Three processes: on two cores, one of them usually waits. Each starts a ledger of its own. The tests of one file stay
# together.
ALL_TESTS := pytest -q -n 3 --dist loadfile

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[1m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# One environment for running, a second stamp for developing: `make run` installs no test tools.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV) (once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[server]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing into $(VENV), with the development tools (once)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[server,dev,bench]'
	@touch $(VENV)/.run $@

.PHONY: install
install: $(VENV)/.dev ## Make the environment with the development tools

.PHONY: run
run: $(VENV)/.run ## Start the server with the embedded ledger and an example program
	@exec $(BIN)/redemption serve

.PHONY: demo
demo: $(VENV)/.run ## Play a flash sale in the terminal against a private server
	@exec $(BIN)/redemption demo

.PHONY: test
test: $(VENV)/.dev ## Run the tests against the real ledger and a real gRPC port
	@$(BIN)/python tools/engine_version.py
	@$(BIN)/$(ALL_TESTS)

# The environment of the compiled build. The constraints hold for what builds it, too.
COMPILED := .venv-compiled
SOURCES := $(shell find src -name '*.py' -o -name '*.lua') tools/compile_hook.py pyproject.toml constraints.txt

$(COMPILED)/.stamp: $(SOURCES)
	@$(PYTHON) -m venv $(COMPILED)
	@echo "compiling into $(COMPILED) (1 to 2 minutes; needs a C compiler)"
	@REDEMPTION_COMPILE=1 PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	  $(COMPILED)/bin/pip install --quiet --disable-pip-version-check '.[server,dev,bench]'
	@touch $@

.PHONY: compiled
compiled: $(COMPILED)/.stamp ## Compile most of what an order runs through: .venv-compiled/bin/redemption serve

.PHONY: test-compiled
test-compiled: $(COMPILED)/.stamp ## Run the tests on the compiled build (5 minutes)
	@$(COMPILED)/bin/$(ALL_TESTS)

.PHONY: test-thorough
test-thorough: $(VENV)/.dev ## The same with ten times as many random examples (8 minutes)
	@$(BIN)/$(ALL_TESTS) --hypothesis-profile=thorough

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Throw junk, changed traffic and random frames at the transport (EXAMPLES=20000 of each)
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),20000) $(BIN)/pytest -q tests/rpc/transport/test_fuzz.py

.PHONY: soak-crashes
soak-crashes: $(VENV)/.dev ## Crash the ledger's machine 40 times under load; needs a C compiler (4 minutes)
	@$(BIN)/pytest -q -s tests/soak/crashes.py

.PHONY: check
check: $(VENV)/.dev ## Format, lint, types, protos: everything but the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory proto-check

.PHONY: format
format: $(VENV)/.dev ## Format the source and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: proto
proto: $(VENV)/.dev ## Generate src/redemption/v1 from protos/
	$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=src --pyi_out=src --grpc_python_out=src $(PROTOS)

.PHONY: proto-check
proto-check: $(VENV)/.dev ## Lint the protos, and fail when the generated code is not what they say
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code protos
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh"' EXIT; \
	$(BIN)/python -m grpc_tools.protoc -Iprotos --python_out=$$fresh --pyi_out=$$fresh --grpc_python_out=$$fresh $(PROTOS); \
	diff -r -x __init__.py -x __pycache__ $$fresh/redemption/v1 src/redemption/v1 \
	  || { echo "src/redemption/v1 is not what protos/ says: run 'make proto' and commit" >&2; exit 1; }

.PHONY: docs
docs: $(VENV)/.dev ## Write docs/coupons.md from the example campaigns and orders
	@$(BIN)/python tools/coupons_document.py

# A bench that measured well ends with this when an aim was missed, which its table says: no reason to stop make.
AIM_MISSED := 3
BENCH_OPTIONS = $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(HOST),--host $(HOST)) $(if $(LEDGER),--ledger $(LEDGER)) \
  $(if $(SCALE),--scale $(SCALE)) $(if $(PROCESSES),--processes $(PROCESSES)) $(if $(WORKERS),--workers $(WORKERS)) \
  $(if $(FAULT),--fault $(FAULT)) $(if $(COMPARE),--compare $(COMPARE))
ROUNDS_AND_SECONDS = $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS))

.PHONY: bench
bench: $(VENV)/.dev ## Play a flash sale with locust, and judge it (1 minute; SCENARIO HOST LEDGER SCALE PROCESSES WORKERS FAULT COMPARE)
	@$(BIN)/python bench/flash_sale.py $(BENCH_OPTIONS)

.PHONY: bench-ui
bench-ui: $(VENV)/.dev ## The same scenarios from locust's web page on http://127.0.0.1:8089
	@$(BIN)/python bench/flash_sale.py $(BENCH_OPTIONS) --ui

.PHONY: bench-growth
bench-growth: $(VENV)/.dev ## Cost and bytes of a redeem with 10,000 to 1,000,000 coupons used (4 minutes)
	@$(BIN)/python bench/growth.py || [ $$? -eq $(AIM_MISSED) ]

.PHONY: profile
profile: $(VENV)/.dev ## What a redeem costs in CPU and bytes, and a flame graph of the worker (SECONDS=…)
	@$(BIN)/python bench/profile_redeem.py $(if $(SECONDS),--seconds $(SECONDS))

.PHONY: trace
trace: $(VENV)/.dev ## What Python does for one Redeem: calls of functions, files, objects made
	@$(BIN)/python tools/trace_redeem.py

.PHONY: bench-quotes
bench-quotes: $(VENV)/.dev ## Quotes of 10 coupons and 20 lines, and redeeming beside them
	@$(BIN)/python bench/quotes.py || [ $$? -eq $(AIM_MISSED) ]

.PHONY: bench-editing
bench-editing: $(VENV)/.dev ## Editing a campaign ten times a second while it sells: right decisions, and the price
	@$(BIN)/python bench/editing.py

.PHONY: bench-ceiling
bench-ceiling: $(VENV)/.dev ## The service against grpcio and its ledger alone (6 minutes; ROUNDS=… SECONDS=…)
	@$(BIN)/python bench/ceiling.py $(ROUNDS_AND_SECONDS) || [ $$? -eq $(AIM_MISSED) ]

.PHONY: bench-transports
bench-transports: $(VENV)/.dev ## Our transport against grpcio's, with an empty handler (3 minutes; ROUNDS=… SECONDS=…)
	@$(BIN)/python bench/transports.py $(ROUNDS_AND_SECONDS) || [ $$? -eq $(AIM_MISSED) ]

.PHONY: bench-overload
bench-overload: $(VENV)/.dev ## More calls than can be answered: goodput, refusals, health (6 minutes; ROUNDS=… SECONDS=…)
	@$(BIN)/python bench/overload.py $(ROUNDS_AND_SECONDS) || [ $$? -eq $(AIM_MISSED) ]

.PHONY: bench-rules
bench-rules: $(VENV)/.dev ## What velocity rules cost the ledger: none, one, three, six (2 minutes; ROUNDS=…)
	@$(BIN)/python bench/rules.py $(if $(ROUNDS),--rounds $(ROUNDS)) || [ $$? -eq $(AIM_MISSED) ]

.PHONY: bench-guessing
bench-guessing: $(VENV)/.dev ## Somebody guesses tokens and codes at full speed, shoppers beside them buy (1 minute; SECONDS=…)
	@$(BIN)/python bench/guessing.py $(if $(SECONDS),--seconds $(SECONDS))

.PHONY: bench-attacks
bench-attacks: $(VENV)/.dev ## Callers who mean harm: memory, and what an ordinary caller feels (6 minutes; ROUNDS=… SECONDS=…)
	@$(BIN)/python bench/attacks.py $(ROUNDS_AND_SECONDS)

.PHONY: try-clients
try-clients: $(VENV)/.dev ## Clients of other languages and tools, such as grpcurl, against our own transport (ONLY="go h2spec")
	@$(BIN)/python tools/try_clients.py $(ONLY)

.PHONY: clean
clean: ## Remove the environment and caches; the ledger and the keyset stay
	rm -rf $(VENV) $(COMPILED) build/clients .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +
