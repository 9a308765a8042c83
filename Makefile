# Everything a developer or a build machine does with Vafa. `make help` lists it; `setup` is implied by the rest.

PYTHON ?= python3
OLDEST_PYTHON := 3.11

VENV := .venv
BIN := $(VENV)/bin
# Written last, holds the checkout's path: a half-made or a moved environment is made again.
STAMP := $(VENV)/.complete
SYSTEM_PACKAGES := tools/system-packages.txt

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup system-packages micropython card-desk run test lint soak mutations fuzz bench bench-codec bench-crypto bench-hsm bench-switch bench-size budget clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < tuple(map(int, "$(OLDEST_PYTHON)".split("."))))' \
	    || { echo "error: $(PYTHON) is missing or older than Python $(OLDEST_PYTHON); try make PYTHON=python$(OLDEST_PYTHON)"; exit 4; }
	@echo "setup: Python environment in $(VENV)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { \
	    rm -rf $(VENV); \
	    if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	        echo "setup: system package python3-venv"; \
	        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null; \
	    fi; \
	    $(PYTHON) -m venv $(VENV); } \
	    || { rm -rf $(VENV); echo "error: no virtual environment; on Debian: apt-get install python3-venv"; exit 4; }
	@echo "setup: pinned packages of requirements.lock"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@echo "setup: vafa itself, editable"
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@echo "$(CURDIR)" > $(STAMP)

setup: $(STAMP) system-packages micropython card-desk ## make the Python environment, system packages and MicroPython

# Only what is not installed yet is asked of apt, and only when root; otherwise the missing names are told.
system-packages: $(STAMP)
	@wanted=$$(sed 's/#.*//' $(SYSTEM_PACKAGES)); missing=; \
	for name in $$wanted; do \
	    dpkg-query -W -f='$${db:Status-Status}' "$$name" 2>/dev/null | grep -qx installed || missing="$$missing $$name"; \
	done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "setup: system packages$$missing"; \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	else \
	    echo "setup: not root, so these system packages are left to you: apt-get install$$missing"; \
	fi

micropython: $(STAMP)
	@echo "setup: MicroPython is $$($(BIN)/python -m tools.micropython)" ; test -x .tools/bin/micropython

# pyscard is built against Debian's PC/SC, so it comes after the system packages; without them all but the card
# desk works.
card-desk: $(STAMP) system-packages
	@$(BIN)/python -c 'import smartcard.scard' 2>/dev/null || { \
	    echo "setup: pyscard, for the card desk"; \
	    $(BIN)/python -m pip install --quiet --require-hashes --no-deps --no-build-isolation -r tools/card-desk.lock \
	    || echo "setup: pyscard was not built; apt-get install libpcsclite-dev swig gcc python3-dev, then make setup"; }

run: setup ## start the switch, play one scripted visit through the real firmware, stay up
	@$(BIN)/vafa demo --data data

LINT = echo "lint: ruff" && $(BIN)/ruff check . && echo "lint: mypy" && $(BIN)/mypy

lint: setup ## ruff and mypy
	@$(LINT)

# How many workers is told in tests/conftest.py; one whose own tests are done takes over another's.
# Of a fresh checkout, one process compiles the tests while lint runs; else every worker would.
test: setup ## everything that must hold: lint, then all tests
	@if [ ! -d tests/__pycache__ ]; then \
	    $(BIN)/python -m pytest --collect-only -qq --numprocesses 0 >/dev/null 2>&1 & \
	fi; \
	$(LINT); code=$$?; wait; exit $$code
	@echo "test: pytest"
	@$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Long campaigns on the real processes; `make test` plays short seeded versions of the same.
SEED ?= 1
REPLIES ?= 10000000
CUTS ?= 1000000
soak: setup ## everything that may go wrong, full campaigns: some hours (SEED=n, REPLIES=n, CUTS=n)
	@$(BIN)/python -m simulators.campaigns.switch_kills --kills 100 --terminals 10 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.firmware_kills --kills 100 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.updates --cuts 50 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.offline_kills --rounds 20 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.hsm_kills --kills 100 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.postgres_kills --kills 100 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.owners_kills --replies 300000 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.garbage --attacks 300 --idle 1000 --seed $(SEED)
	@$(BIN)/python -m tests.server.test_partner_stories 0 200 60
	@$(BIN)/python -m tests.server.partner_trade $(SEED) 30
	@$(BIN)/python -m simulators.campaigns.disk_errors --errors 60 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.full_disk --times 20 --seed $(SEED) \
	    --disk $$([ "$$(id -u)" = 0 ] && echo ext4 || echo tmpfs)
	@$(BIN)/python -m simulators.campaigns.clock_jumps --jumps 60 --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.power_cuts --cuts $(CUTS) --seed $(SEED)
	@$(BIN)/python -m simulators.campaigns.load_kills --replies $(REPLIES) --seed $(SEED)

mutations: setup ## plant bugs that ledgers are known to have, and show in docs/faults.md what caught them
	@$(BIN)/python -m simulators.campaigns.mutations --write

SECONDS ?= 3600
fuzz: setup ## damaged messages against every dialect for an hour (SECONDS=n, SEED=n)
	@$(BIN)/python -m tests.iso8583.fuzz --seconds $(SECONDS) --seed $(SEED)

bench: bench-codec bench-crypto bench-hsm bench-switch ## all benchmarks

bench-codec: setup ## the message codec
	@$(BIN)/python -m benchmarks.codec

bench-crypto: setup ## CMAC, DUKPT and PIN blocks beside psec and pydukpt, a transaction's whole cryptography
	@$(BIN)/python -m benchmarks.crypto

bench-hsm: setup ## a transaction through every HSM adapter, and 2 000 a second through the simulator
	@$(BIN)/python -m benchmarks.hsm

bench-switch: setup ## authorizations per second over TCP, durable, and the ledger alone
	@$(BIN)/python -m benchmarks.switch_authorizations
	@$(BIN)/python -m benchmarks.ledger_sqlite

bench-size: setup ## cost of an authorization, start and verification on ledgers of 10^4 to 10^7 transfers: an hour
	@$(BIN)/python -m benchmarks.ledger_size --full

TRANSACTIONS ?= 1000
budget: setup ## what the firmware takes of a terminal: code, heap, largest allocation, growth (TRANSACTIONS=n)
	@$(BIN)/python -m simulators.campaigns.firmware_budget --transactions $(TRANSACTIONS)

clean: ## remove everything that the other targets made (data included)
	rm -rf $(VENV) .tools build data .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
